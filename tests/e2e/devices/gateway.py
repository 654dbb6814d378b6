"""A gateway: many meters behind one connection. `gateway.py HOST PORT VERSION TOKEN [TOKEN …]`."""

import json
import sys
import threading

import paho.mqtt.client as mqtt


class Gateway:
    """Speaks for each meter with the meter's own token, and hands commands on to the right one."""

    def __init__(self, host: str, port: int, version: str, tokens: list[str]) -> None:
        self._version, self._address = version, (host, port)
        self._readings = dict.fromkeys(tokens, 0)
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message

    def run(self) -> None:
        """Read every meter again and again, until killed."""
        self._client.connect(*self._address)
        self._client.loop_start()
        while True:
            for token in self._readings:
                self._readings[token] += 1
                self._client.publish(self._topic("dcx", token, "json"), json.dumps({"kwh": self._readings[token]}), 1)
            threading.Event().wait(0.05)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        _, _, extension, token, *path = message.topic.split("/")
        if extension != "cex" or path != ["command", "reset", "status"]:
            return
        results = []
        for command in json.loads(message.payload):
            before, self._readings[token] = self._readings[token], 0
            results.append({"id": command["id"], "statusCode": 200, "payload": {"was": before}})
        self._client.publish(self._topic("cex", token, "result/reset"), json.dumps(results), qos=1)

    def _topic(self, extension: str, token: str, path: str) -> str:
        return f"kp1/{self._version}/{extension}/{token}/{path}"


if __name__ == "__main__":
    Gateway(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]).run()
