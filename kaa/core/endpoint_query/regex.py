"""Regular expressions that a stranger may write: RE2's, which take time in proportion to the text."""

from typing import Any

from kaa.core.errors import InvalidInput

MAX_REGEX = 256
_MEMORY = 256 * 1024


def compile_regex(text: str, *, options: str = "", what: str = "$regex") -> Any:
    """Make a pattern with `search(text)` that takes time in proportion to the text; InvalidInput if it is none."""
    if len(text) > MAX_REGEX:
        raise InvalidInput(f"{what}: a regular expression of more than {MAX_REGEX} characters")
    if not set(options) <= set("ims"):
        raise InvalidInput(f"{what}: $options are i, m and s, not {options[:20]!r}")
    import re2  # noqa: PLC0415  a megabyte that a server without regular expressions has no use for

    chosen = re2.Options()
    chosen.max_mem, chosen.log_errors, chosen.never_capture = _MEMORY, False, True
    flags = "".join(sorted(set(options)))
    try:
        return re2.compile(f"(?{flags}){text}" if flags else text, chosen)
    except re2.error as error:
        why = error.args[0] if error.args else ""
        reason = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        raise InvalidInput(f"{what}: not a regular expression of RE2: {reason}") from None
