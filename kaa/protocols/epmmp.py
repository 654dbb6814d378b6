"""19/EPMMP, endpoint metadata management: how services read and write the metadata that EPR keeps.

Values and patches are JSON as bytes.
"""

from collections.abc import Mapping

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject
from kaa.protocols.ism import request
from kaa.protocols.names import AppVersionName, EndpointId

_NAMESPACE = "org.kaaproject.ipc.epmmp.gen.v1"


@message(_NAMESPACE)
class EndpointMetadataGetRequest:
    """Asks for an endpoint's metadata: the keys in `include`, or all; or its version alone."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    include: tuple[str, ...] = ()
    include_metadata: bool = True


@message(_NAMESPACE)
class EndpointMetadataGetResponse:
    """The metadata as a JSON object, with its tag."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    e_tag: None | str = None
    payload: None | bytes = None
    status_code: Int
    reason_phrase: None | str = None
    app_version_name: None | AppVersionName = None


@message(_NAMESPACE)
class EndpointMetadataKeysGetRequest:
    """Asks which keys an endpoint's metadata has."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId


@message(_NAMESPACE)
class EndpointMetadataKeysGetResponse:
    """The keys."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    keys: tuple[str, ...] = ()
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class EndpointMetadataPatchRequest:
    """Asks for changes: an RFC 6902 patch, made only if the metadata is as `if_match` says."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    if_match: None | str = None
    patch: bytes


@message(_NAMESPACE)
class EndpointMetadataPatchResponse:
    """Whether the patch was made."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class EndpointMetadataKeyUpdateRequest:
    """Asks for one key to be set."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    metadata_key: str
    metadata_value: bytes


@message(_NAMESPACE)
class EndpointMetadataKeyUpdateResponse:
    """Whether the key was set."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class EndpointMetadataKeyUpdateCommand:
    """One key of one endpoint, and what it is to be."""

    endpoint_id: EndpointId
    metadata_key: str
    metadata_value: bytes


@message(_NAMESPACE)
class EndpointMetadataKeyBatchUpdateRequest:
    """Asks for keys of many endpoints to be set."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    commands: tuple[EndpointMetadataKeyUpdateCommand, ...]


@message(_NAMESPACE)
class EndpointMetadataKeyBatchUpdateResponse:
    """Whether the keys were set."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class AppVersionsByEndpointsRequest:
    """Asks for the versions of endpoints."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_ids: tuple[EndpointId, ...]


@message(_NAMESPACE)
class AppVersionsByEndpointsResponse:
    """The endpoints by their versions; those that are not there are left out."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_ids: tuple[EndpointId, ...]
    app_versions_to_endpoints: Mapping[str, tuple[str, ...]]
    status_code: Int
    reason_phrase: None | str = None


def metadata(repository: str) -> RequestSubject[EndpointMetadataGetRequest, EndpointMetadataGetResponse]:
    """Where metadata is read."""
    return request(
        EndpointMetadataGetRequest,
        EndpointMetadataGetResponse,
        repository,
        "epmmp",
        "ep-metadata-get-request",
        "ep-metadata-get-response",
    )


def metadata_keys(repository: str) -> RequestSubject[EndpointMetadataKeysGetRequest, EndpointMetadataKeysGetResponse]:
    """Where the keys are read."""
    return request(
        EndpointMetadataKeysGetRequest,
        EndpointMetadataKeysGetResponse,
        repository,
        "epmmp",
        "ep-metadata-keys-get-request",
        "ep-metadata-keys-get-response",
    )


def patch_metadata(repository: str) -> RequestSubject[EndpointMetadataPatchRequest, EndpointMetadataPatchResponse]:
    """Where metadata is changed."""
    return request(
        EndpointMetadataPatchRequest,
        EndpointMetadataPatchResponse,
        repository,
        "epmmp",
        "ep-metadata-patch-request",
        "ep-metadata-patch-response",
    )


def update_metadata_key(
    repository: str,
) -> RequestSubject[EndpointMetadataKeyUpdateRequest, EndpointMetadataKeyUpdateResponse]:
    """Where one key is set."""
    return request(
        EndpointMetadataKeyUpdateRequest,
        EndpointMetadataKeyUpdateResponse,
        repository,
        "epmmp",
        "ep-metadata-key-update-request",
        "ep-metadata-key-update-response",
    )


def update_metadata_keys(
    repository: str,
) -> RequestSubject[EndpointMetadataKeyBatchUpdateRequest, EndpointMetadataKeyBatchUpdateResponse]:
    """Where keys of many endpoints are set."""
    return request(
        EndpointMetadataKeyBatchUpdateRequest,
        EndpointMetadataKeyBatchUpdateResponse,
        repository,
        "epmmp",
        "ep-metadata-key-batch-update-request",
        "ep-metadata-key-batch-update-response",
    )


def app_versions(repository: str) -> RequestSubject[AppVersionsByEndpointsRequest, AppVersionsByEndpointsResponse]:
    """Where the versions of endpoints are asked for."""
    return request(
        AppVersionsByEndpointsRequest,
        AppVersionsByEndpointsResponse,
        repository,
        "epmmp",
        "ep-app-version-get-request",
        "ep-app-version-get-response",
    )
