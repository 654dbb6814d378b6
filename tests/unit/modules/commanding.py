"""What the tests of commands share: a register that is asked, and a device at the other end of the bus."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from house import House, Reply
from waiting import until

from kaa.modules.cex.module import MODULE as CEX
from kaa.protocols import elce, esp, x_register
from kaa.protocols.esp import ExtensionData

API = "/cex/api/v1"
APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"]}


class Register:
    """Stands for the endpoint register: knows endpoints by their versions, and how often it was asked."""

    def __init__(self, house: House, endpoints: Mapping[str, str]) -> None:
        self.endpoints = dict(endpoints)
        self.asked: list[tuple[str, ...]] = []
        self._house = house
        self.answer = self.on_find  # a test may put another one in its place

    async def on_request(self, request: x_register.FindRequest) -> x_register.FindResponse:
        return await self.answer(request)

    async def on_find(self, request: x_register.FindRequest) -> x_register.FindResponse:
        self.asked.append(request.endpoint_ids)
        return x_register.FindResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._house.clock.now_ms(),
            endpoints=tuple(
                x_register.FoundEndpoint(
                    endpoint_id=one, app_name=self.endpoints[one].split("-")[0], app_version_name=self.endpoints[one]
                )
                for one in request.endpoint_ids
                if one in self.endpoints
            ),
            status_code=200,
        )


class Device:
    """Stands for the communication service and a device behind it: hears what is pushed, asks and tells."""

    def __init__(self, house: House, endpoint_id: str = "dev-1", version: str = "home-v1") -> None:
        self._house, self.endpoint_id, self.version = house, endpoint_id, version
        self.pushes: list[tuple[str, str, str, Any]] = []
        self._answers: dict[str, asyncio.Future[ExtensionData]] = {}
        self._requests = 0

    async def hear(self) -> None:
        """Begin to hear; everything stops with the house."""
        stack, bus = self._house._stack, self._house.bus
        await stack.enter_async_context(bus.subscribe(esp.extension_data("kpc"), self._on_push, queue="kpc"))
        answers = esp.extension_data_to_replica("kpc-1")
        await stack.enter_async_context(bus.subscribe(answers, self._on_answer, queue="kpc-1"))

    async def send(
        self, path: str, payload: Any = None, *, has_request_id: bool = True, endpoint_id: str | None = None
    ) -> ExtensionData:
        """Send to a resource and give the answer; bytes go as they are, anything else as JSON."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._requests += 1
        message = self._house.message(
            esp.client_data("cex"),
            app_version_name=self.version,
            endpoint_id=endpoint_id or self.endpoint_id,
            resource_path=path,
            request_id=self._requests if has_request_id else None,
            payload=data,
        )
        self._answers[message.correlation_id] = asyncio.get_running_loop().create_future()
        self._house.bus.publish(esp.client_data("cex"), message, reply_to=esp.extension_data_to_replica("kpc-1"))
        return await self._answers[message.correlation_id]

    async def ask(self, type_: str = "switch", payload: Any = None, **options: Any) -> Any:
        """Ask for commands and give what came, as JSON."""
        answer = await self.send(f"/command/{type_}", {} if payload is None else payload, **options)
        assert answer.status_code == 200, answer
        return None if answer.payload is None else json.loads(answer.payload)

    async def tell(self, type_: str, results: Any, **options: Any) -> ExtensionData:
        """Tell results and give the answer."""
        return await self.send(f"/result/{type_}", results, **options)

    async def done(self, *ids: int, type_: str = "switch", status: int = 200) -> None:
        """Tell that commands have been run."""
        answer = await self.tell(type_, [{"id": one, "statusCode": status} for one in ids])
        assert answer.status_code == 200, answer

    def connect(self, **versions: str) -> None:
        """Have endpoints connect, this one unless it is said otherwise."""
        endpoints = {name.replace("_", "-"): version for name, version in versions.items()}
        self._house.publish(elce.connected("kpc"), endpoints=endpoints or {self.endpoint_id: self.version})

    async def forget(self, count: int) -> None:
        """Wait until so many commands have been pushed, and let go of them."""
        await until(lambda: len(self.pushed_ids) == count)
        self.pushes.clear()

    @property
    def pushed_ids(self) -> list[int]:
        """The ids of all commands that were pushed, in order."""
        return [command["id"] for *_, commands in self.pushes for command in commands]

    async def _on_push(self, data: ExtensionData) -> None:
        assert (data.extension_instance_name, data.request_id, data.status_code) == ("cex", None, 200)
        assert data.payload is not None
        push = (data.endpoint_id, data.app_version_name, data.resource_path, json.loads(data.payload))
        self.pushes.append(push)  # type: ignore[arg-type]

    async def _on_answer(self, data: ExtensionData) -> None:
        self._answers.pop(data.correlation_id).set_result(data)


async def register(house: House, endpoints: Mapping[str, str] | None = None) -> Register:
    """Have a register of these endpoints."""
    made = Register(house, endpoints or {"dev-1": "home-v1", "dev-2": "home-v1", "tree-1": "garden-v1"})
    subject = x_register.find_endpoints("epr")
    await house._stack.enter_async_context(house.bus.subscribe(subject, made.on_request, queue="epr"))
    return made


async def start(house: House, *, endpoints: Mapping[str, str] | None = None, **config: Any) -> Device:
    """Have CEX run with a register and a device."""
    house.register = await register(house, endpoints)  # type: ignore[attr-defined]
    device = Device(house)
    await device.hear()
    written = {name.replace("_", "-"): value for name, value in config.items()}
    await house.start(CEX, config=written, applications=APPLICATIONS)
    return device


def command_path(*parts: object, endpoint: str = "dev-1") -> str:
    """Give the path of an endpoint's commands, and what is below it."""
    return "/".join([f"{API}/endpoints/{endpoint}/commands", *map(str, parts)])


async def post(
    house: House, type_: str = "switch", *, endpoint: str = "dev-1", body: Any = None, data: Any = None, **params: Any
) -> Reply:
    """Post a command."""
    headers = {"Content-Type": "application/json"} if data is not None else None
    return await house.call(
        "POST", command_path(type_, endpoint=endpoint), body, params=params, data=data, headers=headers
    )


def begin(house: House, call: Any) -> "asyncio.Task[Reply]":
    """Have a call go on beside the test."""
    return house.tasks.spawn(call, name="a caller")


async def waits(house: House) -> None:
    """Wait until somebody waits for the result of a command."""
    await until(lambda: b"kaa_cex_waiting 1.0" in house.metrics.render())


async def rows(house: House, query: str) -> list[Any]:
    """Ask the database."""
    return await house.storage.read(lambda connection: [tuple(row) for row in connection.exec_driver_sql(query)])
