"""What a log line looks like to a machine."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from kaa.core.log import configure, is_debug


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    configure("info", "json", io.StringIO())
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_the_event_first() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    with structlog.contextvars.bound_contextvars(correlation_id="c1"):
        structlog.get_logger("x").info("points_kept", count=3, where={"a": (1, 2)}, odd=object)
    (line,) = lines(stream)
    assert list(line)[:3] == ["event", "level", "time"]
    assert line["event"] == "points_kept"
    assert line["correlation_id"] == "c1"
    assert line["count"] == 3
    assert str(line["time"]).endswith("Z")


def test_what_is_not_a_terminal_gets_json() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger().warning("x_happened")
    assert lines(stream)[0]["level"] == "warning"


def test_a_level_below_the_one_asked_for_is_not_written() -> None:
    stream = io.StringIO()
    configure("warning", "json", stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().debug("quieter", value=1)
    assert stream.getvalue() == ""


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    try:
        raise ValueError("wrong")  # noqa: TRY301
    except ValueError:
        structlog.get_logger().exception("broke")
    (line,) = lines(stream)
    assert "ValueError: wrong" in str(line["exception"])


def test_other_libraries_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    configure("debug", "json", stream)
    logging.getLogger("aiohttp.server").info("chatter")
    logging.getLogger("aiohttp.server").warning("careful: %s", "hot")
    (line,) = lines(stream)
    assert line["event"] == "careful: hot"
    assert line["logger"] == "aiohttp.server"


def test_the_console_form_is_for_people() -> None:
    stream = io.StringIO()
    configure("info", "console", stream)
    structlog.get_logger().info("points_kept", count=3)
    assert "points_kept" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
    assert "\x1b" not in stream.getvalue()


def test_whether_details_are_written_is_known_without_writing_any() -> None:
    configure("info", "json", io.StringIO())
    assert not is_debug()
    configure("debug", "json", io.StringIO())
    assert is_debug()
