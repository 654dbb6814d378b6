"""A relay: does what it is told, once, and says what became of it. `relay.py HOST PORT VERSION TOKEN`."""

import json
import sys
from typing import Any

import paho.mqtt.client as mqtt


class Relay:
    """Switches on and off; a command that comes twice is answered twice and done once."""

    def __init__(self, host: str, port: int, version: str, token: str) -> None:
        self._base, self._address = f"kp1/{version}/cex/{token}", (host, port)
        self._is_on = False
        self._switched = 0
        self._done: dict[int, dict[str, Any]] = {}
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def run(self) -> None:
        """Live until killed."""
        self._client.connect(*self._address)
        self._client.loop_forever()

    def _on_connect(self, *_: object) -> None:
        self._client.subscribe(f"{self._base}/#", qos=1)
        self._client.publish(f"{self._base}/command/switch", json.dumps({"observe": True}), qos=1)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if not message.topic.endswith("/command/switch/status"):
            return
        results = [self._done.setdefault(command["id"], self._do(command)) for command in json.loads(message.payload)]
        if results:
            self._client.publish(f"{self._base}/result/switch", json.dumps(results), qos=1)

    def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        wanted = command.get("payload")
        if command["id"] in self._done:
            return self._done[command["id"]]
        if not isinstance(wanted, dict) or not isinstance(wanted.get("on"), bool):
            return {"id": command["id"], "statusCode": 400, "reasonPhrase": 'say {"on": true} or {"on": false}'}
        self._is_on = wanted["on"]
        self._switched += 1
        return {"id": command["id"], "statusCode": 200, "payload": {"on": self._is_on, "switched": self._switched}}


if __name__ == "__main__":
    Relay(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]).run()
