"""A device that installs what it is offered. `updater.py HOST PORT VERSION TOKEN SOFTWARE`."""

import json
import sys

import paho.mqtt.client as mqtt


class Updater:
    """Says what it runs, installs what comes, and says what it runs again; a broken image it refuses once."""

    def __init__(self, host: str, port: int, version: str, token: str, software: str) -> None:
        self._base, self._address, self._software = f"kp1/{version}/cmx_ota/{token}", (host, port), software
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def run(self) -> None:
        """Live until killed."""
        self._client.connect(*self._address)
        self._client.loop_forever()

    def _on_connect(self, *_: object) -> None:
        self._report({"configId": self._software})

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if not message.topic.endswith("/config/json/status") or not message.payload:
            return
        offer = json.loads(message.payload)
        if offer.get("statusCode") != 200 or offer.get("configId") in {None, "", self._software}:
            return
        if not offer["config"]["link"].startswith("https://"):
            refusal = {"configId": offer["configId"], "statusCode": 415, "reasonPhrase": "only https is fetched"}
            self._report(refusal)
            return
        self._software = offer["configId"]  # fetched, checked, written, started again
        self._report({"configId": self._software, "statusCode": 200})

    def _report(self, body: dict[str, object]) -> None:
        self._client.publish(f"{self._base}/applied/json", json.dumps(body), qos=1)


if __name__ == "__main__":
    Updater(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]).run()
