"""What an operator may set, and what an application or a version of it may: the schema of its configurations."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import from_json

from kaa.core.config import Duration, Settings, Size

from .schemas import compiled


def _schema(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = from_json(value, allow_inf_nan=False)
        except ValueError as error:
            raise ValueError(f"the text is not JSON: {error}") from None
    if value is not None:
        compiled(value)
    return value


Schema = Annotated[
    dict[str, Any] | bool | None, BeforeValidator(_schema), WithJsonSchema({"type": ["object", "boolean", "string"]})
]
"""A JSON Schema, or one written as text."""


class ConfigurationSettings(Settings):
    """The schema, and whether there must be one before a configuration is taken."""

    schema_: Schema = Field(None, alias="schema")
    schema_required: bool = False


class EcrSettings(Settings):
    """Settings of an application or version; `endpointConfigurationSchema` is how a version spells its schema."""

    endpoint_configuration: ConfigurationSettings = ConfigurationSettings()
    endpoint_configuration_schema: Schema = Field(None, alias="endpointConfigurationSchema")


class EcrConfig(Settings):
    """Settings of an ECR instance.

    `register` names the instance that keeps endpoints and filters, `communication` the one that they are connected to;
    `consumers` are those whose reports are taken.
    """

    register_: str = Field("epr", alias="register")
    communication: str = "kpc"
    consumers: tuple[str, ...] = ("cmx",)
    max_config: Size = Field(256 * 1024, ge=1024, le=1024 * 1024)
    history: int = Field(50, ge=1, le=1_000)
    sweep: Duration = Field(3_600_000, ge=1_000)
