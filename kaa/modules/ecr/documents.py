"""From a JSON value to a document: one spelling, one identifier."""

import json
from hashlib import sha256
from typing import Any

from kaa.core.errors import InvalidInput, TooLarge
from kaa.protocols.cmp import DEFAULT, check_name

from .models import Document


def canonical(value: Any) -> bytes:
    """Spell JSON without spaces and with its members sorted; InvalidInput for what has no spelling in UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("body: a text has half of a surrogate pair") from error


def document(name: str, value: Any, *, most_bytes: int) -> Document:
    """Make a document.

    The identifier is made of the content, and of the name where it is not the default one: writing the same again
    changes nothing, and the identifier alone tells the name.

    Raises:
        InvalidInput: the name cannot be one.
        TooLarge: the content is.
    """
    check_name(name)
    content = canonical(value)
    if len(content) > most_bytes:
        raise TooLarge(f"body: a configuration of {len(content)} bytes; at most {most_bytes} are taken")
    hashed = content if name == DEFAULT else f"{name}\n".encode() + content
    return Document(sha256(hashed).hexdigest(), name, content)
