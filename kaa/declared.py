"""Applications as the configuration file has them: `applications:`, each with its versions and settings."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints, create_model
from pydantic_core import to_json

from kaa.core.applications import Declared
from kaa.core.config import Settings
from kaa.protocols.names import APPLICATION_NAME, VERSION_SUFFIX

ApplicationKey = Annotated[str, StringConstraints(pattern=f"^{APPLICATION_NAME.pattern}$")]
VersionKey = Annotated[str, StringConstraints(pattern=f"^{VERSION_SUFFIX.pattern}$")]


class Described(Settings):
    """What an application and a version of one have in common."""

    display_name: str | None = Field(None, max_length=256)
    description: str | None = Field(None, max_length=4096)


def application_model(models: Mapping[str, type[BaseModel]]) -> Any:
    """Give the model of one application, by the models of what each instance can be told."""
    settings: Any = create_model(  # type: ignore[call-overload]
        "ApplicationSettingsConfig",
        __base__=Settings,
        __doc__="What each instance is told of an application or a version, by its name.",
        **{name: (model, Field(None, alias=name)) for name, model in models.items()},
    )
    version: Any = create_model(
        "VersionConfig",
        __base__=Described,
        __doc__="A version of an application.",
        settings=(settings, Field(settings())),
    )
    return create_model(
        "ApplicationConfig",
        __base__=Described,
        __doc__="An application; its versions go by what follows its name in theirs.",
        settings=(settings, Field(settings())),
        versions=(dict[VersionKey, version], Field({})),
    )


def declared(applications: Mapping[str, Any]) -> tuple[Declared, ...]:
    """Give the applications as Tekton takes them: with what was written, and not what is understood besides."""
    return tuple(
        Declared(
            name,
            one.display_name,
            one.description,
            _texts(one.settings),
            tuple(
                Declared(version, inner.display_name, inner.description, _texts(inner.settings))
                for version, inner in one.versions.items()
            ),
        )
        for name, one in applications.items()
    )


def _texts(settings: BaseModel) -> dict[str, bytes]:
    return {
        name: to_json(getattr(settings, name).model_dump(mode="json", by_alias=True, exclude_unset=True))
        for name in type(settings).model_fields
        if name in settings.model_fields_set
    }
