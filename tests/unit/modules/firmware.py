"""What the tests of OTAO share: the far ends that it talks to, and short words for what is said to it.

The register of endpoints and the instance that delivers are played here: they answer from what the test has put into
them, and keep what they were told.
"""

from collections.abc import Mapping
from typing import Any

from house import House, Reply
from pydantic_core import from_json, to_json
from waiting import until

from kaa.modules.otao.module import MODULE as OTAO
from kaa.protocols import cdtp, efe, efmp, elce, eme, epmmp, x_configurations

API = "/otao/api/v1/applications/home/software"
APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"]}
_EFFECTIVE = x_configurations.effective_configurations("otao")


class FakeRegister:
    """Answers about filters and metadata, and counts how often it is asked."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.members: dict[str, set[str]] = {}
        self.metadata: dict[str, Mapping[str, Any]] = {}
        self.status = 200
        self.asked: list[str] = []

    async def open(self) -> "FakeRegister":
        for subject, handler in (
            (efmp.filters_of("epr"), self._on_filters),
            (efmp.endpoints_by_filter("epr"), self._on_members),
            (epmmp.metadata("epr"), self._on_metadata),
        ):
            heard = self.house.bus.subscribe(subject, handler, queue="epr", concurrency=32)
            await self.house._stack.enter_async_context(heard)
        return self

    async def _on_filters(self, request: efmp.EndpointFiltersRequest) -> efmp.EndpointFiltersResponse:
        self.asked.append(f"filters of {request.endpoint_id}")
        found = tuple(f for f, members in self.members.items() if request.endpoint_id in members)
        return efmp.EndpointFiltersResponse(
            **self._common(request), endpoint_id=request.endpoint_id, filter_ids=found, status_code=self.status
        )

    async def _on_members(self, request: efmp.EndpointListByFilterRequest) -> efmp.EndpointListByFilterResponse:
        self.asked.append(f"members of {request.filter_id}")
        known = request.filter_id in self.members
        return efmp.EndpointListByFilterResponse(
            **self._common(request),
            filter_id=request.filter_id,
            app_versions_to_endpoints={"home-v1": tuple(sorted(self.members.get(request.filter_id, ())))},
            status_code=self.status if known else 404,
        )

    async def _on_metadata(self, request: epmmp.EndpointMetadataGetRequest) -> epmmp.EndpointMetadataGetResponse:
        self.asked.append(f"metadata of {request.endpoint_id}")
        found = self.metadata.get(request.endpoint_id)
        return epmmp.EndpointMetadataGetResponse(
            **self._common(request),
            endpoint_id=request.endpoint_id,
            payload=None if found is None else to_json(found),
            status_code=self.status if found is not None else 404,
        )

    def _common(self, request: Any) -> dict[str, Any]:
        return {"correlation_id": request.correlation_id, "timestamp_ms": self.house.clock.now_ms()}

    def matched(self, endpoint_id: str, filter_id: str) -> None:
        """Have an endpoint match a filter, and tell."""
        self.members.setdefault(filter_id, set()).add(endpoint_id)
        self._tell(efe.endpoint_matched, filter_id, endpoint_id)

    def unmatched(self, endpoint_id: str, filter_id: str) -> None:
        """Have an endpoint match a filter no longer, and tell."""
        self.members[filter_id].discard(endpoint_id)
        self._tell(efe.endpoint_unmatched, filter_id, endpoint_id)

    def _tell(self, subject: Any, filter_id: str, endpoint_id: str) -> None:
        self.house.publish(
            subject(filter_id, originator="epr"),
            filter_id=filter_id,
            application_name="home",
            app_version_name="home-v1",
            filter_name=None,
            endpoint_id=endpoint_id,
        )

    def tell_filter(self, subject: Any, filter_id: str) -> None:
        """Tell what has become of a filter."""
        self.house.publish(
            subject(filter_id, originator="epr"), filter_id=filter_id, application_name="home", filter_name=None
        )

    def set_metadata(self, endpoint_id: str, metadata: Mapping[str, Any]) -> None:
        """Change an endpoint's metadata, and tell."""
        self.metadata[endpoint_id] = metadata
        self.house.publish(
            eme.metadata_updated("epr"),
            app_version_name="home-v1",
            endpoint_id=endpoint_id,
            removed={},
            added={key: to_json(value).decode() for key, value in metadata.items()},
            updated={},
        )

    def moved(self, endpoint_id: str, app_version: str) -> None:
        """Tell that an endpoint has moved to another application version."""
        self.house.publish(
            elce.app_version_updated("epr"),
            app_version_name=app_version,
            previous_app_version_name="home-v1",
            endpoint_id=endpoint_id,
        )

    def unregistered(self, endpoint_id: str, *, at_ms: int | None = None) -> None:
        """Tell that an endpoint is no more."""
        at = {} if at_ms is None else {"timestamp_ms": at_ms}
        self.house.publish(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id=endpoint_id, **at)


class Orchestra:
    """OTAO with its far ends."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.register = FakeRegister(house)

    async def open(self) -> "Orchestra":
        self.pushed = await self.house.hear(cdtp.config_updated("otao"), name="cmx_ota")
        await self.register.open()
        await self.house.start(OTAO, applications=APPLICATIONS)
        return self

    async def restart(self) -> "Orchestra":
        """Restart everything on the same directory; the far ends know what they knew."""
        await self.house.restart()
        again = Orchestra(self.house)
        again.register.members, again.register.metadata = self.register.members, self.register.metadata
        return await again.open()

    async def make(self, version: str, *after: str, app: str = "home", **fields: Any) -> Reply:
        """Make a version that may be installed over others; for everybody, unless it is said otherwise."""
        body = {"version": version, "upgradableFrom": list(after), "rolloutStrategy": "general"}
        body["specification"] = {"link": f"https://files.example/{version}"}
        reply = await self.house.call("POST", f"/otao/api/v1/applications/{app}/software", body | fields)
        assert reply.status == 201, reply
        return reply

    async def made(self, version: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.house.get(f"{API}/{version}")
        return found

    async def put(self, version: str, **fields: Any) -> Reply:
        """Change some of what a version says."""
        shown = await self.made(version)
        kept = {name: shown[name] for name in ("specification", "upgradableFrom", "downgradableTo", "rolloutStrategy")}
        kept |= {"filters": shown["filters"], "compatibleWith": shown["compatibleWith"]}
        reply = await self.house.call("PUT", f"{API}/{version}", kept | fields)
        assert reply.status == 200, reply
        return reply

    def applied(self, endpoint_id: str, version: str, code: int = 200, reason: str | None = None, **more: Any) -> Any:
        """Report that a version runs, or could not be installed."""
        fields = {"app_version_name": "home-v1", "config_id": version, "status_code": code, "reason_phrase": reason}
        return self.house.publish(cdtp.config_applied("cmx_ota"), endpoint_id=endpoint_id, **(fields | more))

    async def runs(self, endpoint_id: str, version: str, **more: Any) -> None:
        """Report that a version runs, and wait until that is known."""
        self.applied(endpoint_id, version, **more)
        await self.has(endpoint_id, version=version)

    async def ask(self, endpoint_id: str, running: str | None = None, **more: Any) -> Any:
        """Ask for what an endpoint is to install."""
        fields = {"app_version_name": "home-v1", "config_id": running}
        return await self.house.request(cdtp.configuration("otao"), endpoint_id=endpoint_id, **(fields | more))

    async def offer(self, endpoint_id: str, running: str | None = None) -> str | None:
        """Give the version that an endpoint is answered."""
        reply = await self.ask(endpoint_id, running)
        assert reply.status_code == 200, reply
        assert (reply.config_id is None) == (reply.content is None)
        found: str | None = reply.config_id
        return found

    async def effective(self, *asked: tuple[str, str | None]) -> dict[str, str]:
        """Give what endpoints are to have, by their ids."""
        endpoints = tuple(
            x_configurations.EndpointVersion(endpoint_id=one, app_version_name="home-v1", config_id=running)
            for one, running in asked
        )
        reply = await self.house.request(_EFFECTIVE, endpoints=endpoints)
        assert reply.status_code == 200
        assert {one.config_name for one in reply.configurations} <= {"default"}
        return {one.endpoint_id: one.config_id for one in reply.configurations}

    async def pushes(self) -> list[tuple[str, str]]:
        """Give the endpoints and versions that were pushed, once nothing more is under way."""
        await self.is_idle()
        return [(event.endpoint_id, event.config_id) for event in self.pushed]

    async def status(self, endpoint_id: str) -> dict[str, Any] | None:
        page = await self.house.get(f"{API}/statuses", endpointId=endpoint_id)
        return page["content"][0] if page["content"] else None

    async def has(self, endpoint_id: str, **fields: Any) -> dict[str, Any]:
        """Wait until an endpoint's status has these fields, and give it."""

        async def found() -> dict[str, Any] | None:
            one = await self.status(endpoint_id)
            return one if one is not None and all(one[name] == value for name, value in fields.items()) else None

        status: dict[str, Any] = await until(found, what=f"{endpoint_id} has {fields}")
        return status

    async def is_idle(self) -> None:
        """Wait until nothing is rolled out any more, and everything that was told has been heard."""
        await self.house.quiet("otao_rollout")


def content(event: Any) -> Any:
    """Give the content of a push or an answer."""
    return from_json(event.content)
