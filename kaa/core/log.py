"""Log lines: an event, past tense, and its values; JSON for machines, aligned text for a terminal."""

import json
import logging
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

_level: Level = "info"

_FIRST = ("event", "level", "time")


def configure(level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:  # noqa: A002 - the option's name
    """Send every line to the stream, standard error by default; call it once, before the first line is logged.

    What other libraries log through `logging` goes the same way, from warnings on.
    """
    global _level  # noqa: PLW0603  there is one log
    _level = level
    stream = stream or sys.stderr
    is_console = format == "console" or (format == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    last: list[Processor] = (
        [_console(has_colors=stream.isatty())]
        if is_console
        else [structlog.processors.format_exc_info, _event_first, structlog.processors.JSONRenderer(serializer=_dumps)]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def is_debug() -> bool:
    """Whether lines of level debug are written: asked once a batch, so that what nobody reads costs nothing."""
    return _level == "debug"


def _console(*, has_colors: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=has_colors,
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )


def _event_first(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {name: event[name] for name in _FIRST if name in event} | dict(event)


def _dumps(event: Any, **_: Any) -> str:
    return json.dumps(event, default=repr, ensure_ascii=False, separators=(",", ":"))
