"""EPTS, points out of their files: every value comes back as it was, in order, across pieces and files."""

import csv
import io
import json
import math
import sqlite3
import struct
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.core.metrics import Metrics
from kaa.core.storage.periods import PeriodFiles
from kaa.modules.epts.models import Channel, ChannelId, Window
from kaa.modules.epts.queries import _aggregated, iso
from kaa.modules.epts.repository import SCHEMA, PointReader, reading
from kaa.modules.epts.repository.points import stored

HOUR_MS = 3_600_000
ALL = Window(0, 2**62)

DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
TELEMETRY = st.one_of(
    st.builds(lambda n, digits: n / 10**digits, st.integers(-(10**9), 10**9), st.integers(0, 9)),
    st.floats(-1000, 1000),
    st.integers(-(2**53), 2**53).map(float),
    st.builds(math.ldexp, st.floats(-2, 2), st.integers(-70, 70)),
)
SCALARS = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    DOUBLES,
    TELEMETRY,
    st.text(st.characters(codec="utf-8"), max_size=12),
)


def channel(number: int, name: str = "value") -> Channel:
    return Channel(ChannelId(number), "home", "dev-1", "s", name)  # type: ignore[arg-type]


@contextmanager
def stocked(rows: list[tuple[int, int, Any]], period_ms: int = HOUR_MS) -> Iterator[PointReader]:
    """A reader of files that hold the rows: channel, microseconds, value."""
    with tempfile.TemporaryDirectory() as directory:
        files = PeriodFiles(Path(directory), schema=SCHEMA, period_ms=period_ms, metrics=Metrics())
        for channel_id, at_us, value in rows:
            connection = files._connection(files.period_at(at_us // 1000))
            connection.execute("insert or replace into epts_point values (?, ?, ?)", (channel_id, at_us, stored(value)))
        for period in files.periods():
            files._close(period)
        try:
            yield PointReader(files)
        finally:
            files._readers.close()


def told(reader: PointReader, channels: list[Channel], window: Window = ALL, **more: Any) -> list[dict[str, Any]]:
    options = {"is_descending": False, "limit": None} | more
    found: list[dict[str, Any]] = json.loads(b"[" + b"".join(reader.json_points(channels, window, **options)) + b"]")
    return found


def is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


class TestNumbers:
    @settings(deadline=None, max_examples=60)
    @given(st.lists(DOUBLES | TELEMETRY, min_size=1, max_size=80))
    def test_every_finite_double_reads_back_equal(self, numbers: list[float]) -> None:
        rows = [(1, at * 1000, number) for at, number in enumerate(numbers)]
        with stocked(rows) as reader:
            found = [point["values"]["value"] for point in told(reader, [channel(1)])]
            assert all(type(value) is float for value in found)
            assert found == numbers
            lines = b"".join(reader.csv_points([channel(1)], ALL, is_descending=False, limit=None)).decode()
            assert [float(line.rsplit(",", 1)[1]) for line in lines.splitlines()] == numbers
            assert [value for _, _, value in reader.last([channel(1)], 2**62)] == [numbers[-1]]

    def test_at_every_border_of_the_ways_to_write_them(self) -> None:
        powers = [math.ldexp(1, exponent) for exponent in range(-1074, 1024, 1)]
        near = [math.nextafter(n, towards) for n in powers[1000:1140] for towards in (0.0, math.inf)]
        tens = [10.0**exponent for exponent in range(-20, 23)]
        edges = [0.1, 0.000001, 0.0000005, 9e9, 8999999999.999999, 9000000000.000001, 1e15, 2.0**53, 2.0**53 + 2]
        extreme = [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 123456.654321, 0.30000000000000004]
        numbers = [sign * n for n in (*powers[900:1200], *near, *tens, *edges, *extreme) for sign in (1.0, -1.0)]
        rows = [(1, at * 1000, number) for at, number in enumerate(numbers)]
        with stocked(rows) as reader:
            assert [point["values"]["value"] for point in told(reader, [channel(1)])] == numbers

    def test_short_numbers_look_as_they_were_written(self) -> None:
        rows = [(1, at * 1000, n) for at, n in enumerate([21.5, -0.25, 3.0, 0.1, 1013.25, 0.0, -21.05, 1e9, 0.000001])]
        with stocked(rows) as reader:
            text = b"".join(reader.json_points([channel(1)], ALL, is_descending=False, limit=None)).decode()
        written = [part.split("}")[0] for part in text.split('"value":')[1:]]
        assert written == ["21.5", "-0.25", "3.0", "0.1", "1013.25", "0.0", "-21.05", "1000000000.0", "0.000001"]

    def test_the_smallest_and_the_greatest_integer(self) -> None:
        numbers = [-(2**63), 2**63 - 1, 0, -1]
        with stocked([(1, at * 1000, number) for at, number in enumerate(numbers)]) as reader:
            found = [point["values"]["value"] for point in told(reader, [channel(1)])]
        assert found == numbers
        assert all(type(value) is int for value in found)


class TestValues:
    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.dictionaries(st.sampled_from(["a", "b", 'q"\\', "ü"]), SCALARS, min_size=1), max_size=20))
    def test_every_value_reads_back_as_it_was(self, points: list[dict[str, Any]]) -> None:
        channels = [channel(number, name) for number, name in enumerate(["a", "b", 'q"\\', "ü"], 1)]
        ids = {one.value_name: one.id for one in channels}
        rows = [(ids[name], at * 1000, value) for at, values in enumerate(points) for name, value in values.items()]
        with stocked(rows) as reader:
            found = told(reader, channels)
            assert [point["timestamp"] for point in found] == [iso(at) for at in range(len(points))]
            for point, values in zip(found, points, strict=True):
                assert point["values"] == values
                assert all(is_same(point["values"][name], value) for name, value in values.items())
            latest = {one.value_name: value for one, _, value in reader.last(channels, 2**62)}
            for name, value in latest.items():
                assert is_same(value, next(values[name] for values in reversed(points) if name in values))

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12), max_size=12))
    def test_text_in_csv_is_quoted(self, texts: list[str]) -> None:
        rows = [(1, at * 1000, text) for at, text in enumerate(texts)]
        with stocked(rows) as reader:
            lines = b"".join(reader.csv_points([channel(1)], ALL, is_descending=False, limit=None)).decode()
        found = list(csv.reader(io.StringIO(lines, newline="")))
        assert [row[:4] for row in found] == [["dev-1", "s", iso(at), "value"] for at in range(len(texts))]
        assert [row[4] for row in found] == texts

    def test_the_other_kinds_in_csv(self) -> None:
        values = [True, False, None, 0, -5, 2.5, "", "a\0b\xff"]
        with stocked([(1, at * 1000, value) for at, value in enumerate(values)]) as reader:
            lines = b"".join(reader.csv_points([channel(1)], ALL, is_descending=False, limit=None)).decode()
        expected = ["true", "false", "", "0", "-5", "2.5", '""', '"a\0b\xff"']
        assert lines == "".join(f"dev-1,s,{iso(at)},value,{text}\n" for at, text in enumerate(expected))

    def test_names_from_elsewhere_cannot_break_out_of_the_statement(self) -> None:
        odd = Channel(ChannelId(1), "home", "it's", "s'||(select 1)||'", "o'clock")  # type: ignore[arg-type]
        with stocked([(1, 1000, 1)]) as reader:
            lines = b"".join(reader.csv_points([odd], ALL, is_descending=False, limit=None)).decode()
            assert lines == f"it's,s'||(select 1)||',{iso(1)},o'clock,1\n"
            assert told(reader, [odd])[0]["values"] == {"o'clock": 1}


@st.composite
def stocks(draw: st.DrawFn) -> dict[int, dict[int, int]]:
    """Three channels with points, some at the same times, over several files."""
    times = st.integers(0, 4 * HOUR_MS * 1000 // 30_000_000).map(lambda n: n * 30_000_000 + n % 3)
    return {number: draw(st.dictionaries(times, st.integers(-9, 9), max_size=25)) for number in (1, 2, 3)}


@st.composite
def windows(draw: st.DrawFn) -> Window:
    bound = st.integers(-1, 4 * HOUR_MS * 1000 + 5)
    start, end = sorted((draw(bound), draw(bound)))
    return Window(start, end)


class TestWindows:
    @pytest.fixture(autouse=True)
    def small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading, "_CHUNK", 3)

    @settings(deadline=None, max_examples=80)
    @given(stocks(), windows() | st.just(ALL), st.sampled_from(["ASC", "DESC"]), st.none() | st.integers(0, 30))
    def test_all_points_of_the_window_come_once_and_in_order(
        self, stock: dict[int, dict[int, int]], window: Window, sort: str, limit: int | None
    ) -> None:
        is_descending = sort == "DESC"
        merged: dict[int, dict[str, int]] = defaultdict(dict)
        for number, points in stock.items():
            for at_us, value in points.items():
                if window.from_us <= at_us < window.to_us:
                    merged[at_us][f"v{number}"] = value
        expected = [
            {"timestamp": iso(at_us // 1000), "values": merged[at_us]}
            for at_us in sorted(merged, reverse=is_descending)[:limit]
        ]
        rows = [(number, at_us, value) for number, points in stock.items() for at_us, value in points.items()]
        channels = [channel(number, f"v{number}") for number in stock]
        with stocked(rows) as reader:
            assert told(reader, channels, window, is_descending=is_descending, limit=limit) == expected
            pieces = reader.csv_points(channels, window, is_descending=is_descending, limit=limit)
            lines = b"".join(pieces).decode().splitlines()
        assert lines == [
            f"dev-1,s,{point['timestamp']},{name},{value}"
            for point in expected
            for name, value in sorted(point["values"].items())
        ]

    @settings(deadline=None, max_examples=40)
    @given(stocks(), st.integers(-1, 4 * HOUR_MS * 1000 + 5))
    def test_the_last_before_a_time_is_found_in_whichever_file_it_lies(
        self, stock: dict[int, dict[int, int]], before_us: int
    ) -> None:
        rows = [(number, at_us, value) for number, points in stock.items() for at_us, value in points.items()]
        expected = {}
        for number, points in stock.items():
            earlier = [at_us for at_us in points if at_us < before_us]
            if earlier:
                expected[number] = (max(earlier), points[max(earlier)])
        with stocked(rows) as reader:
            found = {one.id: (at, value) for one, at, value in reader.last([channel(n) for n in stock], before_us)}
        assert found == expected

    @settings(deadline=None, max_examples=60)
    @given(
        st.dictionaries(
            st.integers(0, 3 * HOUR_MS // 1000).map(lambda n: n * 1_000_000 + 7),
            st.integers(-(2**40), 2**40) | st.floats(-1e6, 1e6) | st.sampled_from(["text", True, None]),
            max_size=25,
        ),
        windows() | st.just(ALL),
        st.sampled_from([1000, 60_000, 1_800_000, HOUR_MS, 5_000_000, 7 * HOUR_MS]),
        st.sampled_from(["avg", "min", "max", "sum", "count", "first", "last"]),
    )
    def test_spans_are_what_a_naive_sum_gives_across_files_too(
        self, points: dict[int, Any], window: Window, span_ms: int, aggregate: str
    ) -> None:
        spans: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for at_us in sorted(points):
            value = points[at_us]
            if window.from_us <= at_us < window.to_us and type(value) in (int, float):
                spans[at_us // (span_ms * 1000) * span_ms * 1000].append((at_us, value))
        naive: dict[str, Any] = {
            "avg": lambda v: math.fsum(v) / len(v),
            "min": min,
            "max": max,
            "sum": math.fsum,
            "count": len,
            "first": lambda v: v[0],
            "last": lambda v: v[-1],
        }
        with stocked([(1, at_us, value) for at_us, value in points.items()]) as reader:
            found = reader.aggregate(channel(1), window, span_us=span_ms * 1000)
        assert found.keys() == spans.keys()
        for start, listed in spans.items():
            expected = naive[aggregate]([value for _, value in listed])
            got = _aggregated(found[start], aggregate)
            if aggregate in {"avg", "sum"}:
                assert math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-6)
            else:
                assert is_same(got, expected)

    def test_sums_beyond_64_bits_are_doubles(self) -> None:
        with stocked([(1, at, 2**62) for at in range(1, 9)]) as reader:
            bucket = reader.aggregate(channel(1), ALL, span_us=10**6)[0]
        assert _aggregated(bucket, "sum") == 8 * 2.0**62
        assert _aggregated(bucket, "avg") == 2.0**62
        assert is_same(_aggregated(bucket, "max"), 2**62)


class TestFilesThatGo:
    """Retention deletes files while others read."""

    ROWS = ((1, 1000, 1), (1, HOUR_MS * 1000 + 1000, 2), (1, 2 * HOUR_MS * 1000 + 1000, 3))

    def test_one_that_is_deleted_meanwhile_is_passed_over(self) -> None:
        with stocked(list(self.ROWS)) as reader:
            files = reader._files
            first, *_ = files.periods()

            def gone() -> list[Any]:
                found, files._periods = files._periods, [p for p in files._periods if p != first]
                (files.directory / first.file_name).unlink(missing_ok=True)
                return found

            files.periods = gone  # type: ignore[method-assign]
            assert [point["values"]["value"] for point in told(reader, [channel(1)])] == [2, 3]
            assert [value for _, _, value in reader.last([channel(1)], HOUR_MS * 1000)] == []
            assert reader.aggregate(channel(1), ALL, span_us=10**15)[0].count == 2

    def test_one_that_cannot_be_read_is_an_error(self) -> None:
        with stocked(list(self.ROWS)) as reader:
            file = reader._files.directory / reader._files.periods()[1].file_name
            file.unlink()
            file.mkdir()
            with pytest.raises(sqlite3.OperationalError):
                told(reader, [channel(1)])


def test_the_time_that_is_shown_is_that_of_the_point() -> None:
    times = [0, 1, 999, 1000, 1_764_000_000_001, 1_764_000_000_999, 4_102_444_799_999]
    rows = [(1, at_ms * 1000 + 999, struct.calcsize("q")) for at_ms in times]
    with stocked(rows, period_ms=366 * 86_400_000) as reader:
        assert [point["timestamp"] for point in told(reader, [channel(1)])] == [iso(at_ms) for at_ms in times]
