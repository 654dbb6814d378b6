"""What the tests of CMX and ECR share: a house with both, a register that the test writes, devices without wires."""

import json
from collections.abc import Mapping
from typing import Any

from house import House
from waiting import until

from kaa.modules.cmx.module import MODULE as CMX
from kaa.modules.ecr.module import MODULE as ECR
from kaa.protocols import efmp, elce, esp, x_presence, x_register
from kaa.protocols.esp import ClientData, ExtensionData

API = "/ecr/api/v1"
NOW = "2025-11-24T16:00:00.000Z"
APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"]}


class Register:
    """EPR's side of the contracts, with the endpoints and filters that the test wants."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.endpoints: dict[str, tuple[str, str]] = {}
        self.filters: dict[str, list[str]] = {}
        self.pending: set[str] = set()
        self.asked = 0

    async def open(self) -> None:
        stack, bus = self.house._stack, self.house.bus
        await stack.enter_async_context(bus.subscribe(x_register.find_endpoints("epr"), self.on_find, queue="epr"))
        await stack.enter_async_context(bus.subscribe(efmp.endpoints_by_filter("epr"), self.on_filter, queue="epr"))

    async def on_find(self, request: x_register.FindRequest) -> x_register.FindResponse:
        found = tuple(
            x_register.FoundEndpoint(endpoint_id=one, app_name=app, app_version_name=version)
            for one in request.endpoint_ids
            if one in self.endpoints
            for app, version in [self.endpoints[one]]
        )
        return x_register.FindResponse(
            correlation_id=request.correlation_id, timestamp_ms=1, endpoints=found, status_code=200
        )

    async def on_filter(self, request: efmp.EndpointListByFilterRequest) -> efmp.EndpointListByFilterResponse:
        self.asked += 1
        status, by_version = 200, dict[str, list[str]]()
        if request.filter_id not in self.filters:
            status = 404
        elif request.filter_id in self.pending:
            status = 409
        else:
            for one in self.filters[request.filter_id]:
                by_version.setdefault(self.endpoints[one][1], []).append(one)
        return efmp.EndpointListByFilterResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=1,
            filter_id=request.filter_id,
            app_versions_to_endpoints={version: tuple(ids) for version, ids in by_version.items()},
            status_code=status,
            reason_phrase=None if status == 200 else f"the filter says {status}",
        )


class Devices:
    """KPC's side of the contracts: what devices send, and what is sent to them."""

    def __init__(self, house: House, extension: str = "cmx") -> None:
        self.house, self.extension = house, extension
        self.answers: dict[str, ExtensionData] = {}
        self.pushed: list[ExtensionData] = []
        self.connected: dict[str, str] = {}
        self.is_answering_presence = False

    async def open(self) -> None:
        stack, bus = self.house._stack, self.house.bus
        self.reply_to = esp.extension_data_to_replica(f"kpc-of-{self.extension}")
        await stack.enter_async_context(bus.subscribe(self.reply_to, self._on_answer, queue=f"kpc-{self.extension}"))
        await stack.enter_async_context(
            bus.subscribe(esp.extension_data("kpc"), self._on_push, queue=f"kpc-{self.extension}")
        )

    async def open_presence(self) -> None:
        """Answer who is connected, too, as KPC does."""
        subject = x_presence.connected_endpoints("kpc")
        await self.house._stack.enter_async_context(self.house.bus.subscribe(subject, self._on_presence, queue="kpc"))

    async def _on_answer(self, answer: ExtensionData) -> None:
        self.answers[answer.correlation_id] = answer

    async def _on_push(self, data: ExtensionData) -> None:
        if data.extension_instance_name == self.extension and data.endpoint_id in self.connected:
            self.pushed.append(data)

    async def _on_presence(self, request: x_presence.ConnectedRequest) -> x_presence.PresenceResponse:
        behind = sorted(one for one in self.connected if request.after is None or one > request.after)
        page = tuple(
            x_presence.PresentEndpoint(
                endpoint_id=one, app_version_name=self.connected[one], replica_id="r", since_ms=1
            )
            for one in behind[:2]
        )
        return x_presence.PresenceResponse(
            correlation_id=request.correlation_id, timestamp_ms=1, endpoints=page, status_code=200
        )

    # what they do

    async def connect(self, *endpoint_ids: str, version: str = "home-v1") -> None:
        """Have devices connect, and wait until that is known."""
        self.connected |= dict.fromkeys(endpoint_ids, version)
        self.house.publish(elce.connected("kpc"), endpoints=dict.fromkeys(endpoint_ids, version))
        await self.quiet()

    async def disconnect(self, *endpoint_ids: str) -> None:
        gone = {one: self.connected.pop(one) for one in endpoint_ids}
        self.house.publish(elce.disconnected("kpc"), endpoints=gone)
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until nothing is under way: no message, no event that has not been heard, no rollout."""
        await self.house.quiet("ecr_rollout")

    async def send(
        self,
        path: str,
        payload: Any = None,
        *,
        endpoint: str | None = "dev-1",
        version: str = "home-v1",
        request_id: int | None = 7,
    ) -> ExtensionData:
        """Send a message, and give the answer that lets KPC acknowledge it."""
        data = payload if isinstance(payload, bytes) else b"" if payload is None else json.dumps(payload).encode()
        message = self.message(path, data, endpoint=endpoint, version=version, request_id=request_id)
        self.house.bus.publish(esp.client_data(self.extension), message, reply_to=self.reply_to)
        await until(lambda: message.correlation_id in self.answers, what=f"an answer to {path}")
        return self.answers.pop(message.correlation_id)

    def message(
        self, path: str, data: bytes, *, endpoint: str | None, version: str, request_id: int | None
    ) -> ClientData:
        made: ClientData = self.house.message(
            esp.client_data(self.extension),
            app_version_name=version,
            endpoint_id=endpoint,
            resource_path=path,
            request_id=request_id,
            payload=data,
        )
        return made

    async def pull(self, payload: Any = None, *, name: str | None = None, **rest: Any) -> Any:
        """Ask for a configuration, and give the answer's JSON; anything but a success fails the test."""
        answer = await self.send("/config/json" + (f"/{name}" if name else ""), payload, **rest)
        assert answer.status_code == 200, answer
        return None if answer.payload is None else json.loads(answer.payload)

    async def applied(self, config_id: str, *, name: str | None = None, **rest: Any) -> ExtensionData:
        """Say that a configuration has been applied; `code` and `phrase` say otherwise."""
        body = {"configId": config_id, "statusCode": rest.pop("code", None), "reasonPhrase": rest.pop("phrase", None)}
        return await self.send("/applied/json" + (f"/{name}" if name else ""), body, **rest)

    def pushes(self) -> list[tuple[str, str, Any]]:
        """Give what has been pushed since the last time: endpoint, resource path, configuration."""
        taken, self.pushed = self.pushed, []
        return [(one.endpoint_id or "", one.resource_path, json.loads(one.payload or b"")["config"]) for one in taken]


class World:
    """A house with CMX and ECR, one register and some devices."""

    def __init__(self, house: House, settings: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.house, self.settings = house, settings or {}
        self.register, self.devices = Register(house), Devices(house)
        self.register.endpoints = {
            "dev-1": ("home", "home-v1"),
            "dev-2": ("home", "home-v1"),
            "dev-3": ("home", "home-v2"),
            "plant-1": ("garden", "garden-v1"),
        }
        self.config: dict[str, Any] = {}

    async def open(self) -> "World":
        await self.register.open()
        await self.devices.open()
        await self.house.start(ECR, applications=APPLICATIONS, settings=self.settings, config=self.config or None)
        await self.house.start(CMX, applications=APPLICATIONS)
        return self

    async def restart(self) -> None:
        """Stop all and start again on the same directory; devices have to connect again."""
        await self.house.restart()
        self.devices.connected = {}
        await self.open()

    async def put(self, path: str, config: Any, *, status: int = 200, **params: Any) -> str:
        """Write a configuration, and give its identifier."""
        reply = await self.house.call("PUT", API + path, data=json.dumps(config).encode(), params=params)
        assert reply.status == status, reply
        await self.devices.quiet()
        return reply.json["configId"] if status == 200 else ""

    async def statuses(self, **params: Any) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = (await self.house.get(f"{API}/statuses", **params))["content"]
        return content

    async def state(self, endpoint: str = "dev-1", **params: Any) -> dict[str, str]:
        """Give the states of an endpoint's configurations, by their content."""
        return {one["config"]: one["status"] for one in await self.statuses(endpointId=endpoint, **params)}
