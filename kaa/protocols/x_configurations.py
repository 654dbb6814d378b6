"""x-configurations, a contract of ours: what 6/CDTP leaves open about configurations that have names.

A provider tells which configurations endpoints are to have, by name and without their content, and what name the
configuration of a `configId` has.
"""

from collections.abc import Mapping

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject
from kaa.protocols.ism import request
from kaa.protocols.names import AppVersionName, EndpointId

_NAMESPACE = "org.kaa.x_configurations"


@message(_NAMESPACE)
class EndpointVersion:
    """An endpoint and the version that it speaks; `config_id` is the default configuration that it has, if known."""

    endpoint_id: EndpointId
    app_version_name: AppVersionName
    config_id: None | str = None


@message(_NAMESPACE)
class EffectiveRequest:
    """Asks which configurations these endpoints (at most 1000) are to have."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoints: tuple[EndpointVersion, ...]


@message(_NAMESPACE)
class EffectiveConfiguration:
    """A configuration that an endpoint is to have."""

    endpoint_id: EndpointId
    config_name: str
    config_id: str


@message(_NAMESPACE)
class EffectiveResponse:
    """The configurations; an endpoint without any is left out."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    configurations: tuple[EffectiveConfiguration, ...] = ()
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class NamesRequest:
    """Asks for the names of configurations (at most 1000)."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    config_ids: tuple[str, ...]


@message(_NAMESPACE)
class NamesResponse:
    """The names by `configId`; what the provider does not know is left out, and means the default configuration."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    names: Mapping[str, str]
    status_code: Int
    reason_phrase: None | str = None


def effective_configurations(provider: str) -> RequestSubject[EffectiveRequest, EffectiveResponse]:
    """Where a provider is asked what endpoints are to have."""
    return request(
        EffectiveRequest, EffectiveResponse, provider, "x-configurations", "effective-request", "effective-response"
    )


def configuration_names(provider: str) -> RequestSubject[NamesRequest, NamesResponse]:
    """Where a provider is asked for names."""
    return request(NamesRequest, NamesResponse, provider, "x-configurations", "names-request", "names-response")
