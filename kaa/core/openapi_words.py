"""The words of the OpenAPI document that many operations share: what is in a path, and what a status means."""

from collections.abc import Iterable, Mapping

from kaa.core.http.route import PATH_PARAMETER, Mounted

_APPLICATION = ("The name of the application", "application")
_APP_VERSION = ("The name of the application version, `<application>-<suffix>`", "application version")

PARAMETERS: Mapping[str, tuple[str, str]] = {
    "app": _APPLICATION,
    "appName": _APPLICATION,
    "application": _APPLICATION,
    "applicationName": _APPLICATION,
    "version": _APP_VERSION,
    "appVersionName": _APP_VERSION,
    "software/version": ("The software version, like 1.4.0", "software version"),
    "endpointId": ("The id of the endpoint", "endpoint"),
    "tokenId": ("The id of the token, as the list of tokens has it; not the token itself", "token"),
    "basic-credentials/id": ("The id of the credential, not its user name", "user name"),
    "x509-credentials/id": ("The id of the credential, not a serial number", "certificate"),
    "keys/id": ("The id of the key, not the key itself", "key"),
    "serviceInstanceName": ("The name of the service instance, like epts", "service instance"),
    "filterId": ("The id of the endpoint filter", "endpoint filter"),
    "key": ("The metadata key", "metadata key"),
    "series": ("The name of the series, like `auto~temperature`", "series"),
    "configId": ("The id of the system configuration", "system configuration"),
    "tenantId": ("The tenant; there is one, `kaa`", "tenant"),
    "commandType": ("What the endpoint is to do, in a word that it knows", "command type"),
    "commandId": ("The number of the command, among those of its endpoint and type", "command"),
    "taskId": ("The id of the task, as starting it gave it", "task"),
    "file": ("The name of the file", "file"),
}
"""What a parameter in a path is, and the word for what it names; `<what is before it>/<name>` wins over the name."""

_STATUSES = {
    200: "It is done",
    201: "It was made; `Location` says where it is",
    202: "It has begun",
    204: "It is done, and there is nothing to say",
    304: "It is in the state that `If-None-Match` names",
    400: "What was sent cannot be understood or breaks a rule; the message names the place",
    401: "There is no key, or one that is not valid",
    412: "`If-Match` names another state than the present one; nothing was changed",
    413: "The body is larger than is taken",
    429: "Too much of this is waiting already; nothing was done, and it may be asked again later",
    500: "A fault of the server's own; its log knows more by the answer's correlation id",
    503: "It cannot be done now: the storage or another service does not do its part; asking again may help",
    504: "Another service, or the endpoint, did not answer in time",
    507: "The storage is full; nothing was stored",
}


def parameter(before: str, name: str) -> str:
    """Give what a parameter of a path is; "" if nobody has said it. `before` is the part of the path before it."""
    return _found(before, name)[0]


def meaning(mounted: Mounted, status: int) -> str:
    """Give what a status of a route means: as the route says, and else in general; "" if nobody has said it."""
    route = mounted.route
    if status in route.means:
        return route.means[status]
    if status == 200 and not route.writes:
        return "What was asked for"
    if status == 403 and not route.open:
        return f"The key does not allow this: its role is not {route.needs}, or it is limited to other applications"
    if status == 404:
        named = [_found(*one)[1] for one in path_parameters(mounted.path)]
        return f"There is no such {' or '.join(named) or 'tenant'}"
    return _STATUSES.get(status, "")


def path_parameters(path: str) -> Iterable[tuple[str, str]]:
    """Give the parameters of a path, each with the part of the path before it."""
    for found in PATH_PARAMETER.finditer(path):
        yield path[: found.start()].rstrip("/").rpartition("/")[2], found[1]


def _found(before: str, name: str) -> tuple[str, str]:
    return PARAMETERS.get(f"{before}/{name}") or PARAMETERS.get(name) or ("", "")
