"""A thermostat that says what it is, is configured and reports. `thermostat.py HOST PORT VERSION TOKEN`."""

import itertools
import json
import sys
import threading
from typing import Any

import paho.mqtt.client as mqtt


class Thermostat:
    """Heats towards the target of its configuration, and knows what it cannot do."""

    MODEL = "TH-2"
    HIGHEST = 30.0

    def __init__(self, host: str, port: int, version: str, token: str) -> None:
        self._address, self._version, self._token = (host, port), version, token
        self._numbers = itertools.count()
        self._config: dict[str, Any] | None = None
        self._configured = threading.Event()
        self._temperature = 17.0
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def run(self) -> None:
        """Live until killed."""
        self._client.connect(*self._address)
        self._client.loop_start()
        while True:
            self._configured.wait()
            assert self._config is not None
            self._temperature += (self._config["target"] - self._temperature) / 2
            sample = {"temperature": round(self._temperature, 2), "target": self._config["target"]}
            self._publish("dcx", "json", sample)
            threading.Event().wait(self._config["every"])

    def _on_connect(self, *_: object) -> None:
        self._publish("epmx", f"update/keys/{next(self._numbers)}", {"model": self.MODEL, "highest": self.HIGHEST})
        self._publish("epmx", f"get/{next(self._numbers)}", {})
        self._publish("cmx", f"config/json/{next(self._numbers)}", {"observe": True})

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if not message.payload:
            return
        answer = json.loads(message.payload)
        if "/cmx/" in message.topic and "/config/" in message.topic and answer.get("config") is not None:
            self._configure(answer["configId"], answer["config"])
        elif "/epmx/" in message.topic and "/get/" in message.topic:
            self._publish("dcx", "json", {"boot": {"room": answer.get("room")}, "booted": 1})

    def _configure(self, config_id: str, config: dict[str, Any]) -> None:
        if config["target"] > self.HIGHEST:
            refusal = {"configId": config_id, "statusCode": 422, "reasonPhrase": f"no more than {self.HIGHEST}"}
            self._publish("cmx", "applied/json", refusal)
            return
        self._config = config
        self._configured.set()
        self._publish("cmx", "applied/json", {"configId": config_id, "statusCode": 200})

    def _publish(self, extension: str, path: str, body: object) -> None:
        self._client.publish(f"kp1/{self._version}/{extension}/{self._token}/{path}", json.dumps(body), qos=1)


if __name__ == "__main__":
    Thermostat(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]).run()
