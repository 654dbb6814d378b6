"""OTAO over HTTP."""

from collections.abc import AsyncIterator

from kaa.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, TimedOut, Unavailable
from kaa.core.http import Answer, Call, Page, Route, Stream
from kaa.core.http.render import to_json

from .insight import Insight
from .models import Software
from .versions import Check, Versions
from .views import (
    CompatibilityQuery,
    CompatibilityView,
    NewSoftware,
    PlanBody,
    PlanView,
    RollbackBody,
    SoftwareBody,
    SoftwareView,
    StatusesQuery,
    StatusView,
    TakenBackView,
    compatibility_view,
    draft_of,
    etag_of,
    plan_view,
    software_view,
    status_view,
    taken_back_view,
)

_EVERY = "/applications/{app}/software"
_ONE = f"{_EVERY}/{{version}}"
_ROLLBACK = f"{_ONE}/rollback"


def routes(versions: Versions, insight: Insight) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(versions, insight)
    return [*_questions(api), *_versions(api), *_rollbacks(api)]


def _questions(api: "_Api") -> list[Route]:
    return [
        Route(
            method="GET",
            path=f"{_EVERY}/statuses",
            handler=api.get_statuses,
            summary="What endpoints run and are offered",
            query=StatusesQuery,
            returns=Page[StatusView],
            errors=(InvalidInput, NotFound),
        ),
        Route(
            method="GET",
            path=f"{_EVERY}/compatibility",
            handler=api.get_compatibility,
            summary="How many endpoints run each version, by the values of a metadata key",
            description="For deciding what hardware a version is for.",
            means={503: "The register of endpoints does not answer"},
            query=CompatibilityQuery,
            returns=CompatibilityView,
            errors=(InvalidInput, NotFound, Unavailable, TimedOut),
        ),
        Route(
            method="POST",
            path=f"{_EVERY}/plan",
            handler=api.post_plan,
            summary="The versions that an endpoint would go through from one on",
            description="One version a report; where filters or metadata decide who takes a step, it says so.",
            example={"from": "1.0.0"},
            means={
                404: "There is no such application, or the endpoint has reported nothing there",
                503: "The register of endpoints does not answer",
            },
            body=PlanBody,
            returns=PlanView,
            writes=False,
            errors=(InvalidInput, NotFound, Unavailable, TimedOut),
        ),
    ]


def _versions(api: "_Api") -> list[Route]:
    return [
        Route(
            method="GET",
            path=_EVERY,
            handler=api.get_all,
            summary="All software versions of an application, the smallest first",
            returns=list[SoftwareView],
            errors=(NotFound,),
        ),
        Route(
            method="POST",
            path=_EVERY,
            handler=api.post,
            summary="Make a software version",
            description="It is offered at once to whom the strategy names.",
            example={
                "version": "1.1.0",
                "upgradableFrom": ["1.0.0"],
                "downgradableTo": ["1.0.0"],
                "specification": {"link": "https://example.org/1.1.0.bin"},
                "rolloutStrategy": "general",
            },
            means={409: "There is that version already, there are as many as may be, or upgrades would go in a circle"},
            body=NewSoftware,
            returns=SoftwareView,
            status=201,
            errors=(InvalidInput, NotFound, Conflict),
        ),
        Route(
            method="GET",
            path=_ONE,
            handler=api.get,
            summary="One software version",
            returns=SoftwareView,
            errors=(NotFound,),
            tagged=True,
        ),
        Route(
            method="PUT",
            path=_ONE,
            handler=api.put,
            summary="Replace what a software version says",
            description="What is not in the body is gone.",
            example={"upgradableFrom": ["1.0.0"], "rolloutStrategy": "suspended"},
            means={409: "It is being taken back, or upgrades would go in a circle"},
            body=SoftwareBody,
            returns=SoftwareView,
            errors=(InvalidInput, NotFound, Conflict, PreconditionFailed),
        ),
        Route(
            method="DELETE",
            path=_ONE,
            handler=api.delete,
            summary="Delete a software version",
            description="Endpoints that run it go on doing so.",
            means={409: "It is being taken back; end the roll-back first"},
            status=204,
            errors=(NotFound, Conflict, PreconditionFailed),
        ),
    ]


def _rollbacks(api: "_Api") -> list[Route]:
    return [
        Route(
            method="POST",
            path=_ROLLBACK,
            handler=api.post_rollback,
            summary="Take a software version back",
            description=(
                "Nobody is offered it any more, and whoever runs it is offered an earlier one, where "
                "`downgradableTo` allows it."
            ),
            example={"to": "1.0.0"},
            means={404: "There is no such application, or no such software version"},
            body=RollbackBody,
            body_optional=True,
            returns=TakenBackView,
            errors=(InvalidInput, NotFound),
        ),
        Route(
            method="GET",
            path=_ROLLBACK,
            handler=api.get_rollback,
            summary="How far a roll-back has come",
            means={404: "There is no such software version, or it is not being taken back"},
            returns=TakenBackView,
            errors=(NotFound,),
        ),
        Route(
            method="DELETE",
            path=_ROLLBACK,
            handler=api.delete_rollback,
            summary="End a roll-back; the version stays suspended",
            means={404: "There is no such software version, or it is not being taken back"},
            status=204,
            errors=(NotFound,),
        ),
    ]


class _Api:
    def __init__(self, versions: Versions, insight: Insight) -> None:
        self._versions, self._insight = versions, insight

    async def get_all(self, call: Call) -> Stream:
        return Stream(chunks=_listed(self._versions.find(call.path["app"])))

    async def post(self, call: Call) -> Answer:
        new: NewSoftware = call.body
        made = await self._versions.add(call.path["app"], new.version, draft_of(new))
        location = f"/applications/{made.application}/software/{made.version}"
        return Answer(body=software_view(made), etag=etag_of(made), location=location)

    async def get(self, call: Call) -> Answer:
        found = await self._versions.get(call.path["app"], call.path["version"])
        return Answer(body=software_view(found), etag=etag_of(found))

    async def put(self, call: Call) -> Answer:
        new: SoftwareBody = call.body
        application, version = call.path["app"], call.path["version"]
        kept = await self._versions.put(application, version, new.version, draft_of(new), check=_matching(call))
        return Answer(body=software_view(kept), etag=etag_of(kept))

    async def delete(self, call: Call) -> Answer:
        await self._versions.remove(call.path["app"], call.path["version"], check=_matching(call))
        return Answer()

    async def get_statuses(self, call: Call) -> Page[StatusView]:
        query: StatusesQuery = call.query
        found, total = await self._insight.find(
            call.path["app"],
            endpoint_ids=query.endpoint_id,
            versions=query.version,
            statuses=query.status,
            offset=query.offset,
            limit=query.limit,
        )
        return Page[StatusView](content=[status_view(one) for one in found], total_elements=total)

    async def post_plan(self, call: Call) -> PlanView:
        body: PlanBody = call.body
        return plan_view(*await self._insight.plan(call.path["app"], body.from_, body.endpoint_id))

    async def get_compatibility(self, call: Call) -> CompatibilityView:
        key: str = call.query.key
        return compatibility_view(key, await self._insight.matrix(call.path["app"], key))

    async def post_rollback(self, call: Call) -> TakenBackView:
        body: RollbackBody = call.body or RollbackBody()
        return taken_back_view(await self._versions.take_back(call.path["app"], call.path["version"], body.to))

    async def get_rollback(self, call: Call) -> TakenBackView:
        return taken_back_view(await self._versions.get_taken_back(call.path["app"], call.path["version"]))

    async def delete_rollback(self, call: Call) -> Answer:
        await self._versions.leave_taken_back(call.path["app"], call.path["version"])
        return Answer()


def _matching(call: Call) -> Check:
    return lambda present: call.if_match(etag_of(present))


async def _listed(parts: AsyncIterator[list[Software]]) -> AsyncIterator[bytes]:
    before = b"["
    async for part in parts:
        for software in part:
            yield before + to_json(software_view(software))
            before = b","
    yield b"[]" if before == b"[" else b"]"
