"""What the tests of EPTS share: samples in over the bus, points out over REST, rows as they lie in the files."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from house import House
from waiting import until

from kaa.modules.epts.module import MODULE as EPTS
from kaa.protocols import dstp, x_register
from kaa.protocols.dstp import DataSamplesProcessed

API = "/epts/api/v1"
APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"]}
ENDPOINTS = {"dev-1": "home", "dev-2": "home", "dev-3": "home", "plant-1": "garden"}


class Telemetry:
    """EPTS in a house, and the two who talk to it: DCX over the bus, somebody over REST."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._reply_to = dstp.data_samples_processed("dcx-of-the-test")

    async def start(self, **more: Any) -> "Telemetry":
        """Start EPTS; `settings` and `config` as the house takes them."""
        await self.house.start(EPTS, **({"applications": APPLICATIONS} | more))
        self._answers = await self.house.hear(self._reply_to, name="dcx-of-the-test")
        subject = x_register.find_endpoints("epr")
        await self.house._stack.enter_async_context(
            self.house.bus.subscribe(subject, self._on_find, queue="register-of-the-test")
        )
        return self

    async def _on_find(self, request: x_register.FindRequest) -> x_register.FindResponse:
        return x_register.FindResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=0,
            endpoints=tuple(
                x_register.FoundEndpoint(endpoint_id=one, app_name=ENDPOINTS[one], app_version_name="-")
                for one in request.endpoint_ids
                if one in ENDPOINTS
            ),
            status_code=200,
        )

    async def send_all(self, *messages: Sequence[bytes | str], **more: Any) -> list[DataSamplesProcessed]:
        """Send messages, each a sequence of samples, in one burst; give the answers in their order."""
        return await self.send_events(
            *[{"data_samples": tuple(s.encode() if isinstance(s, str) else s for s in m), **more} for m in messages]
        )

    async def send_events(self, *events: Mapping[str, Any]) -> list[DataSamplesProcessed]:
        """The same with whole events; endpoint and version are filled in."""
        subject = dstp.data_samples_received("dcx")
        sent = []
        for fields in events:
            common = {"app_version_name": "home-v1", "endpoint_id": "dev-1"}
            message = self.house.message(subject, **(common | fields))
            self.house.bus.publish(subject, message, reply_to=self._reply_to)
            sent.append(message.correlation_id)
        answers = await until(lambda: self._found(sent), what="every message is answered")
        return [answers[correlation_id] for correlation_id in sent]

    def _found(self, sent: list[str]) -> dict[str, DataSamplesProcessed] | None:
        answers = {answer.correlation_id: answer for answer in self._answers}
        return answers if answers.keys() >= set(sent) else None

    async def send(self, *samples: bytes | str, **more: Any) -> DataSamplesProcessed:
        """Send one message."""
        return (await self.send_all(samples, **more))[0]

    async def put(self, series: str, *points: Any, endpoint: str = "dev-1", version: str = "home-v1") -> Any:
        """Write points (time, and values or the one value) by hand."""
        listed = [
            {"timestamp": at, "values": value if isinstance(value, dict) else {"value": value}} for at, value in points
        ]
        return await self.put_all({endpoint: {series: listed}}, version=version)

    async def put_all(self, body: Any, version: str = "home-v1") -> Any:
        """Write points by hand."""
        return await self.house.call("PUT", f"{API}/app-versions/{version}/time-series/data", body)

    async def data(self, series: str, start: Any = 0, end: Any = "now+1y", app: str = "home", **more: Any) -> Any:
        """Read a window."""
        params = {"timeSeriesName": series, "fromDate": start, "toDate": end, **more}
        return await self.house.get(f"{API}/applications/{app}/time-series/data", **params)

    async def csv(self, series: str, start: Any = 0, end: Any = "now+1y", **more: Any) -> str:
        """Read a window as CSV."""
        reply = await self.house.call(
            "GET",
            f"{API}/applications/home/time-series/data",
            params={"timeSeriesName": series, "fromDate": start, "toDate": end, **more},
            headers={"Accept": "text/csv"},
        )
        assert reply.status == 200, reply
        assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
        return reply.data.decode()

    async def values(self, series: str, **more: Any) -> list[Any]:
        """Read the values of one series of one endpoint, oldest first."""
        found = await self.data(series, **more)
        return [point["values"].get("value", point["values"]) for point in _only(found)] if found else []

    async def last(self, app: str = "home", **params: Any) -> Any:
        """Read the last points."""
        return await self.house.get(f"{API}/applications/{app}/time-series/last", **params)

    def rows(self) -> list[tuple[int, int, Any]]:
        """Channel, microseconds and value of all rows in all files."""
        found = []
        for file in sorted((self.house.directory / "epts").glob("*.db")):
            connection = sqlite3.connect(file)
            found += connection.execute("select channel, at_us, value from epts_point where channel > 0").fetchall()
            connection.close()
        return found

    def files(self) -> list[str]:
        """The names of the files."""
        return sorted(file.name for file in (self.house.directory / "epts").glob("*.db"))


def _only(found: Any) -> list[Any]:
    ((_, series),) = [item for element in found for item in element.items()]
    ((_, points),) = series.items()
    return list(points)
