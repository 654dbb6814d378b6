"""Devices that do as they are told: commands are run, configurations taken and reported as applied."""

import json
from collections.abc import Callable
from time import perf_counter

from kaa.bench.devices import Device, Message, packet, string

Note = Callable[[float, float], None]
"""Takes when a message was due, and the seconds until it was acknowledged."""

Got = Callable[[bytes, int], None]
"""Takes a token and the number of the configuration that has come for it."""


class Attendant(Device):
    """A connection of one device, or of several behind a gateway."""

    is_reader = True

    def __init__(self, client_id: str, version: str, tokens: tuple[str, ...], note: Note, got: Got) -> None:
        super().__init__(client_id)
        self._messages = [Message(f"kp1/{version}/dcx/{token}/json", 1) for token in tokens]
        self._prefix = f"kp1/{version}".encode()
        self._note, self._got = note, got
        self._due: dict[int, float] = {}
        self._spoken = 0

    def greet(self) -> None:
        """Have every device speak once: from then on it counts as connected."""
        for _ in self._messages:
            self.send(None)

    def send(self, due: float | None) -> None:
        """Have the next device send what was due at that time, or what is not to be noted."""
        out: list[bytes] = []
        if due is not None:
            self._due[self._next_id] = due
        self._messages[self._spoken % len(self._messages)].write(self.sent, out)
        self._spoken += 1
        self.sent += 1
        self.transport.write(b"".join(out))

    def on_pubacks(self, data: bytes, count: int) -> None:
        """Note the times."""
        now = perf_counter()
        for at in range(2, 4 * count, 4):
            due = self._due.pop(int.from_bytes(data[at : at + 2], "big"), None)
            if due is not None:
                self._note(due, now - due)

    def on_message(self, topic: bytes, payload: bytes) -> None:
        """Run commands, and take configurations."""
        _, _, extension, token, resource, what, *_ = topic.split(b"/")
        if extension == b"cex" and resource == b"command":
            results = [{"id": one["id"], "statusCode": 200, "payload": {"done": True}} for one in json.loads(payload)]
            self._say(b"cex/%b/result/%b" % (token, what), results)
        elif extension == b"cmx" and resource == b"config":
            told = json.loads(payload)
            if told.get("config") is not None:
                self._got(token, told["config"]["number"])
                self._say(b"cmx/%b/applied/json" % token, {"configId": told["configId"], "statusCode": 200})

    @property
    def _next_id(self) -> int:
        return self.sent % 0xFFFF + 1

    def _say(self, path: bytes, body: object) -> None:
        rest = string(self._prefix + b"/" + path) + self._next_id.to_bytes(2, "big") + json.dumps(body).encode()
        self.sent += 1
        self.transport.write(packet(0x32, len(rest)) + rest)
