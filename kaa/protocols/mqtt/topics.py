"""Topic names and topic filters: which are valid, and which filter matches which name."""

from typing import Final

MAX_TOPIC_BYTES: Final = 0xFFFF
_SHARE: Final = "$share/"


def is_topic_name(name: str) -> bool:
    """Tell whether a message may be published under the name."""
    # [MQTT-4.7.3-1] to [MQTT-4.7.3-3], [MQTT-3.3.2-2]
    return (
        0 < len(name) <= MAX_TOPIC_BYTES
        and "+" not in name
        and "#" not in name
        and "\0" not in name
        and (name.isascii() or len(name.encode(errors="surrogatepass")) <= MAX_TOPIC_BYTES)
    )


def is_topic_filter(spelling: str) -> bool:
    """Tell whether one may subscribe to the filter; a shared subscription is judged by the filter inside."""
    if is_shared(spelling):
        group, slash, spelling = spelling[len(_SHARE) :].partition("/")
        # [MQTT5-4.8.2-1], [MQTT5-4.8.2-2]
        if not group or not slash or "+" in group or "#" in group:
            return False
    if not 0 < len(spelling) <= MAX_TOPIC_BYTES or "\0" in spelling:
        return False
    if "#" in spelling:
        # last, and alone in its level [MQTT-4.7.1-2]
        head, _, tail = spelling.partition("#")
        if tail or (head and not head.endswith("/")):
            return False
    # a plus is alone in its level [MQTT-4.7.1-3]
    return "+" not in spelling or all(level == "+" or "+" not in level for level in spelling.split("/"))


def is_shared(spelling: str) -> bool:
    """Tell whether the filter asks for a shared subscription, validly or not."""
    return spelling.startswith(_SHARE) or spelling == "$share"


def matches(spelling: str, name: str) -> bool:
    """Tell whether the filter matches the topic name; both are taken to be valid."""
    if "+" not in spelling and "#" not in spelling:
        return spelling == name  # [MQTT-4.7.3-4]: as they are, without normalisation
    if name[:1] == "$" and spelling[0] in "+#":
        return False  # [MQTT-4.7.2-1]
    levels = name.split("/")
    wanted = spelling.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        if len(levels) < len(wanted):  # a/# matches a as well
            return False
    elif len(levels) != len(wanted):
        return False
    return all(want in ("+", level) for want, level in zip(wanted, levels, strict=False))
