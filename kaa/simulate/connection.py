"""One MQTT connection, and the devices that speak over it: gmqtt, as a maker of devices would use it."""

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gmqtt

from kaa.core.clock import Clock
from kaa.core.dates import iso

from .description import Fleet
from .signals import Source
from .tally import Tally

_MOST_PENDING = 1_000
_KEPT = 10
_LAST_REQUEST_ID = (1 << 31) - 1
_RECONNECT_S = 1.0

# it tells of every connection that ends; the table shows that already
logging.getLogger("gmqtt").setLevel(logging.CRITICAL)


@dataclass(slots=True)
class Device:
    """A device: its token, and where its values come from."""

    token: str
    sources: Mapping[str, Source]


class Connection:
    """Sends what its devices measure, answers their commands, and takes their configurations."""

    def __init__(
        self, client_id: str, version: str, fleet: Fleet, devices: Sequence[Device], *, tally: Tally, clock: Clock
    ) -> None:
        self._version, self._fleet, self._tally, self._clock = version, fleet, tally, clock
        self._devices = {device.token: device for device in devices}
        self._gathered: dict[str, list[dict[str, Any]]] = {token: [] for token in self._devices}
        self._intervals = dict.fromkeys(self._devices, fleet.interval)
        self._pending: dict[tuple[str, str], int] = {}
        self._numbers = itertools.count(1)
        self._is_connected = False
        self._client = gmqtt.Client(client_id, clean_session=True)
        self._client.set_config({"reconnect_retries": gmqtt.constants.UNLIMITED_RECONNECTS})
        self._client.reconnect_delay = _RECONNECT_S
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    @property
    def is_answered(self) -> bool:
        """Whether nothing that was sent waits for its answer."""
        return not self._pending

    async def open(self, host: str, port: int) -> None:
        """Connect; OSError or a refusal of the server's if that cannot be done."""
        await self._client.connect(host, port)

    async def close(self) -> None:
        """Say farewell; what is counted stays as it was."""
        self._client.on_disconnect = lambda *_: None
        await self._client.disconnect()

    async def run(self, begun_ms: int) -> None:
        """Send until cancelled: each device in its own rhythm, all of them spread over the interval."""
        async with asyncio.TaskGroup() as group:
            for number, token in enumerate(self._devices):
                wait_ms = self._fleet.interval * number / len(self._devices)
                group.create_task(self._measure(token, begun_ms, wait_ms))

    async def _measure(self, token: str, begun_ms: int, wait_ms: float) -> None:
        await self._clock.sleep_ms(wait_ms)
        while True:
            now_ms = self._clock.monotonic_ms()
            self._sample(token, (now_ms - begun_ms) / 1000)
            await self._clock.sleep_ms(self._intervals[token])

    def _sample(self, token: str, at_s: float) -> None:
        sample = {name: source(at_s) for name, source in self._devices[token].sources.items()}
        if self._fleet.timestamp is not None:
            sample[self._fleet.timestamp] = iso(self._clock.now_ms())
        gathered = self._gathered[token]
        gathered.append(sample)
        # what cannot be sent is kept for a while, as a device with little memory does
        is_due = len(gathered) >= self._fleet.batch
        if not is_due or not self._is_connected or len(self._pending) >= _MOST_PENDING:
            del gathered[: -max(self._fleet.batch, _KEPT)]
            return
        number = str(next(self._numbers) & _LAST_REQUEST_ID)
        self._pending[token, number] = self._clock.monotonic_ms()
        self._tally.sent += 1
        self._publish("dcx", token, f"json/{number}", gathered if len(gathered) > 1 else gathered[0])
        gathered.clear()

    def _publish(self, extension: str, token: str, path: str, body: object) -> None:
        self._client.publish(f"kp1/{self._version}/{extension}/{token}/{path}", json.dumps(body), qos=1)

    def _on_connect(self, *_: object) -> None:
        self._is_connected = True
        self._tally.connected += 1
        for token in self._devices:
            self._publish("cmx", token, f"config/json/{next(self._numbers)}", {"observe": True})

    def _on_disconnect(self, *_: object) -> None:
        if self._is_connected:
            self._is_connected = False
            self._tally.connected -= 1
            self._pending.clear()  # gmqtt sends them again, but nobody will tell of them

    def _on_message(self, _client: object, topic: str, payload: bytes, _qos: int, _properties: object) -> int:
        parts = topic.split("/")
        if len(parts) < 6 or parts[3] not in self._devices:
            return 0
        _, _, extension, token, *path = parts
        if extension == "dcx":
            self._on_answer(token, path, payload)
        elif extension == "cex" and path[0] == "command":
            self._on_commands(token, path[1], json.loads(payload) if payload else [])
        elif extension == "cmx" and path[0] == "config" and path[-1] == "status":
            self._on_configuration(token, json.loads(payload) if payload else {})
        return 0

    def _on_answer(self, token: str, path: Sequence[str], payload: bytes) -> None:
        sent_ms = self._pending.pop((token, path[-2]), None)
        if sent_ms is not None:
            self._tally.times_ms.append(self._clock.monotonic_ms() - sent_ms)
        if path[-1] == "status":
            self._tally.stored += 1
        else:
            self._tally.refused += 1
            self._tally.last_refusal = json.loads(payload).get("reasonPhrase") or ""

    def _on_commands(self, token: str, type_: str, commands: Sequence[Mapping[str, Any]]) -> None:
        if commands:
            self._tally.commands += len(commands)
            results = [{"id": one["id"], "statusCode": 200, "payload": {"done": True}} for one in commands]
            self._publish("cex", token, f"result/{type_}", results)

    def _on_configuration(self, token: str, told: Mapping[str, Any]) -> None:
        config = told.get("config")
        if config is None:
            return
        self._tally.configurations += 1
        answer: dict[str, Any] = {"configId": told["configId"], "statusCode": 200}
        interval = config.get("interval") if isinstance(config, dict) else None
        if isinstance(interval, int | float) and not isinstance(interval, bool) and interval >= 0.01:
            self._intervals[token] = round(interval * 1000)
        elif interval is not None:
            answer |= {"statusCode": 400, "reasonPhrase": "interval: a number of seconds, 0.01 or more"}
        self._publish("cmx", token, "applied/json", answer)
