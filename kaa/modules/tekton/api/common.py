"""What the routes have in common."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from kaa.core.errors import NotFound
from kaa.core.http import Call, Camel
from kaa.core.http.render import to_json
from kaa.protocols.names import TENANT

DisplayName = Annotated[str, StringConstraints(max_length=256)]
Description = Annotated[str, StringConstraints(max_length=4096)]
Envelope = dict[str, Any]
MANAGED = "The configuration file manages it, and it is changed there"
EXAMPLE = {"retention": "30d"}
"""Settings of EPTS."""


class TenantQuery(Camel):
    """Whose applications; there is one tenant."""

    tenant_id: str = Field(TENANT, description=f"There is one tenant, {TENANT}; of another one there is nothing")


class SettingsQuery(TenantQuery):
    """Which instances' settings; all, if none is named."""

    service_instance_name: tuple[str, ...] = Field(default=(), description="Only those of these instances")


def check_tenant(call: Call) -> None:
    """Raise NotFound unless the query names the one tenant that there is."""
    if call.query.tenant_id != TENANT:
        raise NotFound(f"tenantId: there is no tenant {call.query.tenant_id!r}")


def tag(view: Any) -> str:
    """Give the tag of what is shown."""
    return sha256(to_json(view)).hexdigest()[:40]


def only(settings: Envelope, instances: Sequence[str]) -> Envelope:
    """Give the settings of the instances named, or of all if none is."""
    return {name: one for name, one in settings.items() if not instances or name in instances}
