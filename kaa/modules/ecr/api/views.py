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

    model_config = Camel.like(
        {
            "configId": "6f1c1a4b0c7de3f5a8e29b64d0735c18e4b9f2a6d31c08577e4fa90b82cd6e13",
            "name": "default",
            "config": '{"interval":60}',
            "createdDate": "2026-11-22T09:00:00.000Z",
            "updatedDate": "2026-11-22T09:00:00.000Z",
        }
    )

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
