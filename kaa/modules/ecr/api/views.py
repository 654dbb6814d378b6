"""What several routes take and show."""

from pydantic import Field

from kaa.core.dates import Date
from kaa.core.http import Camel
from kaa.protocols.cmp import DEFAULT

from ..models import Configuration

BODY_FACTOR = 6
"""How much longer a body may be than what it comes to: escapes and spaces."""


EXAMPLE = {"interval": 60}
"""A configuration, as the document shows one."""
TEXT_EXAMPLE = '{"interval":60}'


class NameQuery(Camel):
    """Which configuration, by its name."""

    name: str = Field(DEFAULT, description="The name of the configuration; an endpoint can have several")


class ConfigurationView(Camel):
    """A configuration; `config` is its JSON as text."""

    config_id: str
    name: str
    config: str
    created_date: Date
    updated_date: Date


def view(one: Configuration) -> ConfigurationView:
    """Show a configuration."""
    return ConfigurationView(
        config_id=one.config_id,
        name=one.name,
        config=one.content.decode(),
        created_date=one.created_ms,
        updated_date=one.updated_ms,
    )
