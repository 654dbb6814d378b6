"""Which configuration an endpoint is to have: its own, else that of the newest filter, else its version's."""

from collections.abc import Callable, Collection, Sequence

from sqlalchemy import ColumnElement, Connection, select

from kaa.core.storage.parts import parts

from ..models import Scope, Target
from .tables import config_table, contents, member_table

Accepts = Callable[[str, str, Callable[[str], bytes]], bool]
"""Whether the version takes the configuration of that id; it may load its content to find out."""


def effective(
    connection: Connection, targets: Sequence[Target], accepts: Accepts, names: Collection[str] | None = None
) -> dict[Target, dict[str, str]]:
    """Give the identifiers by name, for each target; of all names, or of those given.

    A filter spans versions, so its configuration counts only where the endpoint's version takes it.
    """
    found: dict[Target, dict[str, str]] = {target: {} for target in targets}
    if not found:
        return found
    by_endpoint: dict[str, list[Target]] = {}
    for target in found:
        by_endpoint.setdefault(target.endpoint_id, []).append(target)
    limits = [] if names is None else [config_table.c.name.in_(names)]
    _take_versions(connection, found, limits)
    for ids in parts(list(by_endpoint)):
        _take_filters(connection, by_endpoint, found, ids, limits, accepts)
        own = select(
            config_table.c.owner, config_table.c.app_version, config_table.c.name, config_table.c.config_id
        ).where(config_table.c.scope == Scope.ENDPOINT, config_table.c.owner.in_(ids), *limits)
        for row in connection.execute(own):
            for target in by_endpoint[row.owner]:
                if target.app_version == row.app_version:
                    found[target][row.name] = row.config_id
    return found


def _take_versions(
    connection: Connection, found: dict[Target, dict[str, str]], limits: Sequence[ColumnElement[bool]]
) -> None:
    versions: dict[str, dict[str, str]] = {target.app_version: {} for target in found}
    for part in parts(list(versions)):
        rows = connection.execute(
            select(config_table.c.app_version, config_table.c.name, config_table.c.config_id).where(
                config_table.c.scope == Scope.VERSION,
                config_table.c.owner == "",
                config_table.c.app_version.in_(part),
                *limits,
            )
        )
        for row in rows:
            versions[row.app_version][row.name] = row.config_id
    for target, configurations in found.items():
        configurations.update(versions[target.app_version])


def _take_filters(
    connection: Connection,
    by_endpoint: dict[str, list[Target]],
    found: dict[Target, dict[str, str]],
    ids: Sequence[str],
    limits: Sequence[ColumnElement[bool]],
    accepts: Accepts,
) -> None:
    rows = connection.execute(
        select(member_table.c.endpoint_id, config_table.c.name, config_table.c.config_id)
        .join(config_table, config_table.c.owner == member_table.c.filter_id)
        .where(
            config_table.c.scope == Scope.FILTER,
            member_table.c.endpoint_id.in_(ids),
            member_table.c.is_member,
            *limits,
        )
        .order_by(config_table.c.position)  # the newest last, and so on top
    )

    def load(config_id: str) -> bytes:
        return contents(connection, [config_id])[config_id]

    for row in rows:
        for target in by_endpoint[row.endpoint_id]:
            if accepts(target.app_version, row.config_id, load):
                found[target][row.name] = row.config_id
