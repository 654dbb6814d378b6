"""x-settings, a contract of ours: the settings of applications, between Tekton and the instances they belong to.

A document of settings is JSON text: what stands in the envelope under the application's or the version's name.
"""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject
from kaa.protocols.ism import request
from kaa.protocols.names import ApplicationName, AppVersionName

_NAMESPACE = "org.kaa.x_settings"


@message(_NAMESPACE)
class VersionSettings:
    """The settings of an application version for one instance; null where it has none of its own."""

    name: AppVersionName
    settings: None | bytes = None


@message(_NAMESPACE)
class ApplicationSettings:
    """The settings of an application for one instance, and of all its versions."""

    name: ApplicationName
    settings: None | bytes = None
    versions: tuple[VersionSettings, ...] = ()


@message(_NAMESPACE)
class SettingsRequest:
    """Ask Tekton for the settings of one instance: of one application, or (null) of all."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    instance_name: str
    app_name: None | ApplicationName = None


@message(_NAMESPACE)
class SettingsResponse:
    """The settings asked for, and those of all applications that have none; `revision` grows with every change."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    revision: Long
    applications: tuple[ApplicationSettings, ...]
    common_settings: None | bytes = None
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class ValidationRequest:
    """Ask an instance whether a document of settings is one; `level` is `tenant`, `application` or `version`."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    level: str
    settings: bytes


@message(_NAMESPACE)
class ValidationResponse:
    """200, or 400 with a sentence that names the place."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class SchemaRequest:
    """Ask an instance for the JSON Schemas of its settings."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0


@message(_NAMESPACE)
class SchemaResponse:
    """The JSON Schemas, as text; null where the instance has no settings on that level."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    application_schema: None | bytes = None
    version_schema: None | bytes = None
    status_code: Int
    reason_phrase: None | str = None


def settings_of(provider: str) -> RequestSubject[SettingsRequest, SettingsResponse]:
    """Where Tekton is asked for settings."""
    return request(SettingsRequest, SettingsResponse, provider, "x-settings", "settings-request", "settings-response")


def validate(instance: str) -> RequestSubject[ValidationRequest, ValidationResponse]:
    """Where an instance is asked to check a document."""
    return request(
        ValidationRequest, ValidationResponse, instance, "x-settings", "validation-request", "validation-response"
    )


def schemas_of(instance: str) -> RequestSubject[SchemaRequest, SchemaResponse]:
    """Where an instance is asked for the schemas of its settings."""
    return request(SchemaRequest, SchemaResponse, instance, "x-settings", "schema-request", "schema-response")
