"""What OTAO's callers write and read."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from pydantic_core import from_json, to_json

from kaa.core.dates import Date, iso
from kaa.core.errors import InvalidInput
from kaa.core.http import Camel, PageQuery
from kaa.protocols.names import AppVersionName, EndpointId

from .insight import Hop, Matrix
from .models import Installation, Report, Rules, Software, Status, Strategy, Target
from .semver import MAX_VERSION
from .versions import Draft, TakenBack

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_VERSIONS = 200
_MAX_FILTERS = 100

VersionText = Annotated[str, StringConstraints(max_length=MAX_VERSION)]


class FilterBody(Camel):
    """A filter whose endpoints get the version, from a date on or at once."""

    filter_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="The endpoint filter"
    )
    rollout_date: datetime | None = Field(default=None, description="From when on; at once without it")


class SoftwareBody(Camel):
    """A software version; the specification is what endpoints get."""

    version: VersionText | None = Field(default=None, description="As in the path, if it is said at all")
    specification: Any = Field(default=None, description="What endpoints are sent: any JSON, like a link and a digest")
    metadata: Any = Field(default=None, description="What is known of it; endpoints are not sent it")
    upgradable_from: Annotated[list[VersionText], Field(max_length=_MAX_VERSIONS)] | None = Field(
        default=None, description="The versions that may be replaced by this one"
    )
    downgradable_to: Annotated[list[VersionText], Field(max_length=_MAX_VERSIONS)] | None = Field(
        default=None, description="The versions that a roll-back may go to"
    )
    rollout_strategy: Strategy = Field(
        description="Who gets it: general is all, targeted the filters', suspended nobody"
    )
    filters: Annotated[list[FilterBody], Field(max_length=_MAX_FILTERS)] | None = Field(
        default=None, description="If it is targeted: the filters whose endpoints get it"
    )
    compatible_with: dict[str, Any] | str | None = Field(
        default=None, description="A query on metadata; endpoints that it does not match are never offered it"
    )


class NewSoftware(SoftwareBody):
    """A software version to be made."""

    version: VersionText = Field(description="A semantic version, like 1.4.0")


class RollbackBody(Camel):
    """Where a version is to be taken back to; without it each endpoint goes where it came from."""

    to: VersionText | None = Field(default=None, description="Without it each endpoint goes where it came from")


class PlanBody(Camel):
    """Where a way begins, and for which endpoint."""

    from_: VersionText | None = Field(default=None, alias="from", description="The version that the way begins at")
    endpoint_id: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        default=None, description="The endpoint that is to go it; its filters and metadata count then"
    )


class StatusesQuery(PageQuery):
    """Which endpoints are wanted: these, those that run one of these versions, those in one of these states."""

    endpoint_id: tuple[str, ...] = Field(default=(), description="Only these endpoints")
    version: tuple[str, ...] = Field(default=(), description="Only those that run one of these versions")
    status: tuple[Status, ...] = Field(default=(), description="Only those in one of these states")


class CompatibilityQuery(Camel):
    """The key of metadata by whose values endpoints are counted."""

    key: str = Field(description="The metadata key, like `model`")


class FilterView(Camel):
    """A filter, and the date as clients of Kaa read it: to the second, where it is a whole one."""

    filter_id: str
    rollout_date: str | None


class RollbackView(Camel):
    """That a version is being taken back."""

    to: str | None
    started_date: Date


class SoftwareView(Camel):
    """A software version."""

    model_config = Camel.like(
        {
            "id": "5a1d9b0e-1a52-4a0b-8d35-9a6f3a0f2d10",
            "version": "1.1.0",
            "specification": {"link": "https://example.org/1.1.0.bin"},
            "metadata": None,
            "upgradableFrom": ["1.0.0"],
            "downgradableTo": ["1.0.0"],
            "rolloutStrategy": "general",
            "filters": [],
            "compatibleWith": None,
            "rollback": None,
            "createdDate": "2026-11-22T09:00:00.000Z",
            "updatedDate": "2026-11-22T09:00:00.000Z",
        }
    )

    id: str
    version: str
    specification: Any
    metadata: Any
    upgradable_from: list[str]
    downgradable_to: list[str]
    rollout_strategy: Strategy
    filters: list[FilterView]
    compatible_with: dict[str, Any] | None
    rollback: RollbackView | None
    created_date: Date
    updated_date: Date


class LeftView(Camel):
    """An endpoint that a roll-back leaves alone, and the version that it came from."""

    endpoint_id: EndpointId
    previous_version: str | None


class TakenBackView(RollbackView):
    """A roll-back: of the endpoints that run the version, how many are offered another, and which are left alone."""

    model_config = Camel.like(
        {
            "to": "1.0.0",
            "startedDate": "2026-11-22T09:00:00.000Z",
            "version": "1.1.0",
            "offered": 11,
            "leftAlone": 1,
            "leftAloneEndpoints": [{"endpointId": "cellar-2", "previousVersion": None}],
        }
    )

    version: str
    offered: int
    left_alone: int
    left_alone_endpoints: list[LeftView]


class ResultView(Camel):
    """What became of an installation."""

    version: str
    status_code: int
    reason_phrase: str | None
    date: Date


class StatusView(Camel):
    """Where an endpoint is."""

    model_config = Camel.like(
        {
            "endpointId": "c5e9a6c7-1634-4807-bb37-00a2d57b24ae",
            "appVersionName": "smart-home-v1",
            "version": "1.0.0",
            "versionDate": "2026-11-22T09:00:00.000Z",
            "previousVersion": None,
            "offeredVersion": "1.1.0",
            "offeredDate": "2026-11-22T09:00:00.000Z",
            "status": "OFFERED",
            "lastResult": None,
        }
    )

    endpoint_id: EndpointId
    app_version_name: AppVersionName
    version: str | None
    version_date: Date | None
    previous_version: str | None
    offered_version: str | None
    offered_date: Date | None
    status: Status
    last_result: ResultView | None


class HopView(Camel):
    """A step on the way; conditional, if filters or metadata decide who takes it."""

    version: str
    rollout_strategy: Strategy
    conditional: bool


class PlanView(Camel):
    """The way from a version on, one report at a time."""

    model_config = Camel.like(
        {
            "from": "1.0.0",
            "to": "1.1.0",
            "path": [{"version": "1.1.0", "rolloutStrategy": "general", "conditional": False}],
        }
    )

    from_: str = Field(alias="from")
    to: str
    path: list[HopView]


class ValueView(Camel):
    """A value, and how many of the endpoints that have it run each version; null for those that have none."""

    value: Any
    endpoints: dict[str, int]


class CompatibilityView(Camel):
    """How many endpoints run each version, by their value for a key of metadata."""

    model_config = Camel.like(
        {
            "key": "model",
            "versions": ["1.0.0", "1.1.0"],
            "values": [{"value": "T-100", "endpoints": {"1.0.0": 3, "1.1.0": 9}}],
        }
    )

    key: str
    versions: list[str]
    values: list[ValueView]


def draft_of(body: SoftwareBody) -> Draft:
    """Give what somebody wrote as a draft."""
    return Draft(
        specification=None if body.specification is None else to_json(body.specification),
        metadata=None if body.metadata is None else to_json(body.metadata),
        rules=Rules(
            strategy=body.rollout_strategy,
            upgradable_from=tuple(dict.fromkeys(body.upgradable_from or ())),
            downgradable_to=tuple(dict.fromkeys(body.downgradable_to or ())),
            targets=tuple(Target(one.filter_id, _to_ms(one.rollout_date)) for one in body.filters or ()),
            compatible_with=_query(body.compatible_with),
        ),
    )


def etag_of(software: Software) -> str:
    """Give the tag of a version's state."""
    return sha256(to_json(software)).hexdigest()[:40]


def software_view(software: Software) -> SoftwareView:
    """Show a version."""
    rules = software.rules
    return SoftwareView(
        id=software.id,
        version=software.version,
        specification=None if software.specification is None else from_json(software.specification),
        metadata=None if software.metadata is None else from_json(software.metadata),
        upgradable_from=list(rules.upgradable_from),
        downgradable_to=list(rules.downgradable_to),
        rollout_strategy=rules.strategy,
        filters=[
            FilterView(
                filter_id=one.filter_id,
                rollout_date=None if one.rollout_ms is None else iso(one.rollout_ms).replace(".000Z", "Z"),
            )
            for one in rules.targets
        ],
        compatible_with=None if rules.compatible_with is None else dict(rules.compatible_with),
        rollback=None
        if rules.rollback is None
        else RollbackView(to=rules.rollback.to, started_date=rules.rollback.since_ms),
        created_date=software.created_ms,
        updated_date=software.updated_ms,
    )


def taken_back_view(taken: TakenBack) -> TakenBackView:
    """Show a roll-back."""
    return TakenBackView(
        version=taken.version,
        to=taken.rollback.to,
        started_date=taken.rollback.since_ms,
        offered=taken.offered,
        left_alone=taken.left,
        left_alone_endpoints=[
            LeftView(endpoint_id=EndpointId(endpoint_id), previous_version=previous)
            for endpoint_id, previous in taken.left_endpoints
        ],
    )


def status_view(one: Installation) -> StatusView:
    """Show where an endpoint is."""
    return StatusView(
        endpoint_id=EndpointId(one.endpoint_id),
        app_version_name=AppVersionName(one.app_version),
        version=one.version,
        version_date=one.version_ms,
        previous_version=one.previous,
        offered_version=one.offered,
        offered_date=one.offered_ms,
        status=one.status,
        last_result=None if one.result is None else _result_view(one.result),
    )


def plan_view(start: str, hops: list[Hop]) -> PlanView:
    """Show a way."""
    path = [
        HopView(
            version=hop.release.version,
            rollout_strategy=hop.release.rules.strategy,
            conditional=hop.is_conditional,
        )
        for hop in hops
    ]
    return PlanView(from_=start, to=path[-1].version if path else start, path=path)


def compatibility_view(key: str, matrix: Matrix) -> CompatibilityView:
    """Show what runs on which kind of device."""
    values = [ValueView(value=value, endpoints=counts) for value, counts in matrix.rows]
    return CompatibilityView(key=key, versions=matrix.versions, values=values)


def _result_view(result: Report) -> ResultView:
    return ResultView(version=result.version, status_code=result.code, reason_phrase=result.reason, date=result.at_ms)


def _to_ms(date: datetime | None) -> int | None:
    if date is None:
        return None
    since = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)) - _EPOCH
    return since // timedelta(milliseconds=1)


def _query(written: dict[str, Any] | str | None) -> dict[str, Any] | None:
    if not isinstance(written, str):
        return written
    try:
        read = from_json(written)
    except ValueError as error:
        raise InvalidInput(f"compatibleWith: invalid JSON: {error}") from None
    if not isinstance(read, dict):
        raise InvalidInput("compatibleWith: a query is a JSON object")
    return read
