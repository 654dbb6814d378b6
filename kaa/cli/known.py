"""Which series an application has."""

from collections.abc import Sequence

from kaa.remote import Remote

_AUTO = "auto~"


def known(asked: Remote, app: str, names: Sequence[str]) -> list[str]:
    """Give the full names: `temperature` is `auto~temperature` if there is none of just that name."""
    config = asked.get("/epts/api/v1/time-series/config", {"applicationNames": app})
    there = [one["name"] for one in config.get(app, [])]
    if not names:
        return there
    return [_AUTO + name if name not in there and _AUTO + name in there else name for name in names]
