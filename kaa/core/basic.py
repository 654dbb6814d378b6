"""HTTP Basic: how a browser shows a key. It adds one that it remembers to requests of other sites, too, so we look."""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import urlsplit

from .errors import Forbidden

_OWN = frozenset({"same-origin", "none"})


def basic_key(headers: Mapping[str, str]) -> str | None:
    """Give the key that stands as the password of `Authorization: Basic`, whatever the user name is.

    Raises Forbidden for a request that another site has made the browser send: the key comes with it by itself, and
    proves nothing about what its holder wants.
    """
    scheme, _, rest = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(rest.strip().encode(), validate=True).decode()
    except (binascii.Error, UnicodeError):
        return None
    if _is_foreign(headers):
        raise Forbidden(
            "a key as the password of HTTP Basic is taken from pages of this server only, and this request came from "
            "another site; open the address by itself, or send Authorization: Bearer <key>"
        )
    return pair.partition(":")[2]


def _is_foreign(headers: Mapping[str, str]) -> bool:
    # A browser says this itself and no page can, but only over HTTPS and on the machine itself; of what changes
    # something every browser says the origin.
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in _OWN
    origin = headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("Host", "").lower()
