"""What a topic means: worked out once, then looked up by the topic without its request id."""

import re

from kaa.core.applications import Applications
from kaa.core.errors import Forbidden, NotFound, ProtocolError
from kaa.protocols import esp, kp
from kaa.protocols.kp import is_request_id
from kaa.protocols.names import ENDPOINT_TOKEN, ApplicationName

from .config import ExtensionConfig, KpcSettings
from .models import Route

_MOST = 20_000
_NONE = ApplicationName("")
_MASK = "*"
_VERSION_LIKE = re.compile(r"[A-Za-z0-9_-]{1,64}-v[0-9]{1,6}")
_TOKEN_LENGTH = 16
_MOST_LEVELS = 16
_SHAPE_LENGTH = 256
_GRAMMAR = "not a 1/KP topic; it must read kp1/<version>/<extension>/<token>/<path>"


class Routing:
    """The routes of the topics that were heard lately."""

    def __init__(self, applications: Applications[KpcSettings], extensions: dict[str, ExtensionConfig]) -> None:
        self._applications, self._extensions = applications, extensions
        self._routes: dict[str, Route] = {}
        applications.on_change(self._routes.clear)

    def find(self, topic: str) -> tuple[Route, int | None]:
        """Give what a topic means, and its request id; ProtocolError if it is no topic of 1/KP."""
        base, _, last = topic.rpartition("/")
        request_id = None
        if last.isdecimal() and is_request_id(last):
            request_id = int(last)
        else:
            base = topic
        route = self._routes.get(base)
        if route is None:
            # what looks like a request id is none where the token should be
            route, request_id = self._make(topic)
            if len(self._routes) >= _MOST:
                self._routes.clear()
            self._routes[topic if request_id is None else base] = route
        return route, request_id

    def shape(self, topic: str, *, has_path: bool = True) -> str:
        """Give a topic as it may be kept and read: whatever could be a token is masked, wherever it stands.

        `has_path` tells that what comes behind the token is a path, since the topic is one of ours.
        """
        head = topic.lstrip("/")
        slashes = "/" if head != topic else ""
        levels = head.split("/", _MOST_LEVELS)[:_MOST_LEVELS]
        if levels[0] != kp.PREFIX:
            shown = [_masked(level) for level in levels[:2]]
        else:
            config = self._extensions.get(levels[2]) if len(levels) > 2 else None
            shown = [kp.PREFIX]
            if len(levels) > 1:
                # with its version forgotten, the extension or the token stands in its place
                shown.append(levels[1] if self._may_show_version(levels[1]) else _MASK)
            if config is not None:
                shown.append(levels[2])
                if has_path:
                    shown += [_MASK] * (config.endpoint_aware and len(levels) > 3)
                    shown += [_masked(level) for level in levels[len(shown) :]]
        shown += [_MASK] * (len(levels) - len(shown))
        return (slashes + "/".join(shown))[:_SHAPE_LENGTH]

    def _may_show_version(self, name: str) -> bool:
        return self._applications.find_version(name) is not None or _VERSION_LIKE.fullmatch(name) is not None

    def _make(self, topic: str) -> tuple[Route, int | None]:
        try:
            extension = kp.extension_of(topic)
            config = self._extensions.get(extension)
            address = kp.parse(topic, is_endpoint_aware=config is None or config.endpoint_aware)
        except ProtocolError as error:
            # without the topic: the sentence is kept and logged, and a token may stand anywhere in it
            raise ProtocolError(_GRAMMAR, reason_code=error.reason_code) from None
        if address.token is not None and ENDPOINT_TOKEN.fullmatch(address.token) is None:
            raise ProtocolError("what stands for the endpoint token in the topic cannot be one", reason_code=0x90)
        route = Route(address.app_version_name, extension, None, address.resource_path, address.token, _NONE)
        version = self._applications.find_version(address.app_version_name)
        if version is None:
            name = address.app_version_name
            named = f"application version {name!r}" if self._may_show_version(name) else "such application version"
            route.refusal = NotFound(f"there is no {named}")
        elif config is None:
            route.refusal = Forbidden("there is no extension of the name in the topic's third level")
        elif (allowed := version.settings.allowed_extension_instances) is not None and extension not in allowed:
            route.refusal = Forbidden(f"application version {version.name!r} does not allow extension {extension!r}")
        else:
            route.application = ApplicationName(version.application)
            route.subject = esp.client_data(extension)
            route.has_receipts = config.receipts
        return route, address.request_id


def _masked(level: str) -> str:
    return level if len(level) < _TOKEN_LENGTH else _MASK
