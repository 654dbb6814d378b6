"""What the tests of ECR share: ECR alone, and beside it whoever asks it and hears of what has changed."""

import json
from collections.abc import Mapping
from typing import Any

from configuring import API, APPLICATIONS, World
from house import House, Reply

from kaa.core.auth import Keys, Role
from kaa.core.key_store import SqlKeyStore
from kaa.modules.ecr.module import MODULE as ECR
from kaa.protocols import cdtp, x_configurations

ONE = "/endpoints/dev-1/app-versions/home-v1"
ALL = "/app-versions/home-v1"
BATCH = "/endpoints/batch"
SIZED = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}
TABLES = ("ecr_config", "ecr_content", "ecr_member", "ecr_status", "ecr_told", "ecr_rollout", "ecr_system")
NO_BODY = object()


class Keeper(World):
    """A house with ECR; what it tells consumers gathers in `told`, and each is answered with `status`."""

    def __init__(
        self,
        house: House,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        status: int | None = 200,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(house, settings)
        self.status, self.config = status, dict(config or {})
        self.told: list[cdtp.ConfigUpdated] = []

    async def open(self) -> "Keeper":
        await self.register.open()
        self.told = await self.house.hear(cdtp.config_updated("ecr"), name="cmx", status=self.status)
        await self.house.start(ECR, applications=APPLICATIONS, settings=self.settings, config=self.config or None)
        return self

    # over HTTP

    async def call(
        self,
        method: str,
        path: str,
        /,
        body: Any = NO_BODY,
        *,
        headers: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Reply:
        """Ask; a body that is bytes goes as it is."""
        data = None if body is NO_BODY else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.house.call(method, API + path, data=data, headers=headers, params=params)

    async def refused(
        self, status: int, words: str, method: str, path: str, /, body: Any = NO_BODY, **rest: Any
    ) -> None:
        """Ask for what is refused; the sentence is to name the cause, and nothing is to have changed or been told."""
        await self.devices.quiet()
        before, told = await self.kept(), len(self.told)
        reply = await self.call(method, path, body, **rest)
        assert reply.status == status, (method, path, reply)
        assert words in reply.message, (method, path, reply)
        await self.devices.quiet()
        assert await self.kept() == before, (method, path)
        assert len(self.told) == told, (method, path)

    async def delete(self, path: str, **params: Any) -> None:
        reply = await self.call("DELETE", path, **params)
        assert (reply.status, reply.data) == (204, b""), reply
        await self.devices.quiet()

    async def batch(self, config: Any, endpoints: Mapping[str, list[str]], **params: Any) -> None:
        reply = await self.call("PUT", BATCH, {"configPayload": config, "endpoints": endpoints}, **params)
        assert (reply.status, reply.data) == (204, b""), reply
        await self.devices.quiet()

    async def found(self, path: str, **params: Any) -> Any:
        """Give the configuration at a path, parsed."""
        return json.loads((await self.house.get(API + path, **params))["config"])

    async def viewer(self) -> dict[str, str]:
        """Give the header of a key that may only read."""
        house = self.house
        _, key = await Keys(store=SqlKeyStore(house.storage), ids=house.ids, clock=house.clock).make(Role.VIEWER)
        return {"Authorization": f"Bearer {key}"}

    async def kept(self) -> dict[str, set[Any]]:
        """Give all that ECR has on the disk."""

        def rows(connection: Any) -> dict[str, set[Any]]:
            return {one: {tuple(r) for r in connection.exec_driver_sql(f"select * from {one}")} for one in TABLES}

        return await self.house.storage.read(rows)

    # over the bus

    def news(self) -> list[tuple[str, str, Any]]:
        """Give what has been told since the last time: endpoint, version, configuration."""
        taken = list(self.told)
        self.told.clear()
        return [(one.endpoint_id, one.app_version_name, json.loads(one.content)) for one in taken]

    async def ask(
        self, endpoint: str = "dev-1", version: str = "home-v1", *, has: str | None = None, name: str | None = None
    ) -> cdtp.ConfigResponse:
        """Ask as a consumer does; `has` is the identifier that the endpoint has."""
        answer: cdtp.ConfigResponse = await self.house.request(
            cdtp.configuration("ecr"), endpoint_id=endpoint, app_version_name=version, config_id=has, config_name=name
        )
        return answer

    async def has_to_have(self, endpoint: str = "dev-1", version: str = "home-v1", name: str | None = None) -> Any:
        """Give what an endpoint is to have, without having it noted; KeyError where that is nothing."""
        found = await self.effective((endpoint, version))
        config_id = found[endpoint, name or "default"]
        contents = {row[0]: row[2] for row in (await self.kept())["ecr_content"]}
        return json.loads(contents[config_id])

    async def effective(self, *endpoints: tuple[str, str]) -> dict[tuple[str, str], str]:
        """Give the identifiers of what endpoints are to have, by endpoint and name."""
        asked = tuple(
            x_configurations.EndpointVersion(endpoint_id=one, app_version_name=version) for one, version in endpoints
        )
        answer = await self.house.request(x_configurations.effective_configurations("ecr"), endpoints=asked)
        assert answer.status_code == 200, answer
        return {(one.endpoint_id, one.config_name): one.config_id for one in answer.configurations}

    async def report(
        self,
        config_id: str,
        endpoint: str = "dev-1",
        version: str = "home-v1",
        *,
        code: int = 200,
        phrase: str | None = None,
        at_ms: int | None = None,
    ) -> None:
        """Say what an endpoint has done with a configuration, and wait until that has been noted."""
        more = {} if at_ms is None else {"timestamp_ms": at_ms}
        self.house.publish(
            cdtp.config_applied("cmx"),
            endpoint_id=endpoint,
            app_version_name=version,
            config_id=config_id,
            status_code=code,
            reason_phrase=phrase,
            **more,
        )
        await self.devices.quiet()
