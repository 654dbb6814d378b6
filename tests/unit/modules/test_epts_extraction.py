"""EPTS, from a sample to points: paths, types, names, the sample's own time."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kaa.core.config.units import validate_written
from kaa.core.errors import InvalidInput
from kaa.modules.epts.extraction import Extractor, parse, stored
from kaa.modules.epts.paths import MISSING, compile_path
from kaa.modules.epts.settings import EptsSettings


def extractor(**time_series: Any) -> Extractor:
    written = {"time-series": {key.replace("_", "-"): value for key, value in time_series.items()}}
    return Extractor(validate_written(EptsSettings, written).time_series)


def points(sample: Any, **time_series: Any) -> list[tuple[str, int | None, dict[str, Any]]]:
    found = extractor(**time_series).points("dev-1", sample)
    return [(point.series, point.at_ms, point.values) for point in found]


class TestPaths:
    SAMPLE = {
        "latitude": 50.4,
        "location": {"lat": 1, "deep": {"er": [1, 2]}},
        "readings": [{"value": 7}, 8],
        "odd name": 9,
        "a.b": 10,
        "nothing": None,
        "": 11,
    }

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("latitude", 50.4),
            ("$.latitude", 50.4),
            ("location.lat", 1),
            ("$.location.lat", 1),
            ("location.deep.er[1]", 2),
            ("readings[0].value", 7),
            ("$.readings[1]", 8),
            ("odd name", 9),
            ("$['odd name']", 9),
            ('$["a.b"]', 10),
            ("['location'].lat", 1),
            ("nothing", None),
        ],
    )
    def test_a_path_is_followed(self, path: str, value: Any) -> None:
        assert compile_path(path)(self.SAMPLE) == value

    @pytest.mark.parametrize(
        "path",
        ["longitude", "location.lon", "latitude.x", "readings[2]", "readings.value", "location[0]", "nothing.x", "a.b"],
    )
    def test_where_there_is_nothing_it_says_so(self, path: str) -> None:
        assert compile_path(path)(self.SAMPLE) is MISSING

    @pytest.mark.parametrize("sample", [None, 1, "latitude", [], [1], True])
    def test_a_sample_of_another_shape_has_nothing(self, sample: Any) -> None:
        assert compile_path("latitude")(sample) is MISSING
        assert compile_path("a.b")(sample) is MISSING

    def test_a_sample_may_be_an_array(self) -> None:
        assert compile_path("$[1].t")([0, {"t": 2}]) == 2
        assert compile_path("[0]")([5]) == 5

    @pytest.mark.parametrize(
        "path", ["", "$", ".", "a..b", "a.", "a[", "a[x]", "a[-1]", "a]b", "$x", "a[0]b", "a" * 257]
    )
    def test_what_is_no_path_is_refused(self, path: str) -> None:
        with pytest.raises(ValueError, match="no path"):
            compile_path(path)

    @settings(deadline=None)
    @given(
        st.text(max_size=20),
        st.recursive(
            st.none() | st.integers() | st.text(), lambda t: st.lists(t) | st.dictionaries(st.text(), t), max_leaves=5
        ),
    )
    def test_any_text_is_a_path_or_refused(self, path: str, sample: Any) -> None:
        try:
            follow = compile_path(path)
        except ValueError:
            return
        follow(sample)


class TestAutoExtraction:
    def test_each_number_on_the_top_level_is_a_series(self) -> None:
        sample = {"t": 21.5, "n": -3, "text": "x", "yes": True, "nothing": None, "deep": {"t": 1}, "list": [1]}
        assert points(sample) == [("auto~t", None, {"value": 21.5}), ("auto~n", None, {"value": -3})]

    @pytest.mark.parametrize("field", ["a b", "a.b", "ü", "a~b", "", "x" * 129, "a/b", "a$"])
    def test_a_name_that_a_series_cannot_have_is_passed_over(self, field: str) -> None:
        assert points({field: 1, "Good-name_1": 2}) == [("auto~Good-name_1", None, {"value": 2})]

    @pytest.mark.parametrize("sample", [1, 1.5, "a", None, True, [], [{"t": 1}]])
    def test_a_sample_that_is_no_object_gives_nothing(self, sample: Any) -> None:
        assert points(sample) == []

    def test_it_can_be_off(self) -> None:
        assert points({"t": 1}, auto_extract=False) == []

    def test_it_works_beside_configured_series(self) -> None:
        found = points({"t": 1}, names={"temperature": {"values": [{"path": "t"}]}})
        assert found == [("temperature", None, {"value": 1}), ("auto~t", None, {"value": 1})]

    def test_the_way_of_most_messages_is_taken_only_where_there_is_nothing_else(self) -> None:
        assert extractor().is_plain
        assert not extractor(auto_extract=False).is_plain
        assert not extractor(names={"s": {"values": [{"path": "t"}]}}).is_plain
        assert not extractor(timestamp={"path": "at"}).is_plain


class TestConfiguredSeries:
    LOCATION = {
        "location": {
            "values": [
                {"path": "pos.lat", "name": "lat", "type": "number"},
                {"path": "pos.lon", "name": "lon", "type": "number"},
                {"path": "label", "name": "label", "type": "String"},
                {"path": "fixed", "name": "fixed", "type": "boolean"},
                {"path": "any", "name": "any"},
            ]
        }
    }

    def found(self, sample: Any) -> list[tuple[str, int | None, dict[str, Any]]]:
        return points(sample, auto_extract=False, names=self.LOCATION)

    def test_a_point_has_all_values_that_are_there(self) -> None:
        sample = {"pos": {"lat": 50.4, "lon": 30}, "label": "home", "fixed": True, "any": False}
        values = {"lat": 50.4, "lon": 30, "label": "home", "fixed": True, "any": False}
        assert self.found(sample) == [("location", None, values)]

    def test_values_that_are_missing_are_not_in_it(self) -> None:
        assert self.found({"pos": {"lat": 1}}) == [("location", None, {"lat": 1})]

    def test_without_any_value_there_is_no_point(self) -> None:
        assert self.found({"other": 1}) == []
        assert self.found(5) == []

    def test_a_value_of_another_type_is_dropped(self) -> None:
        sample = {"pos": {"lat": "50.4", "lon": True}, "label": 5, "fixed": 1, "any": [1]}
        assert self.found(sample) == []
        assert self.found(sample | {"label": "x"}) == [("location", None, {"label": "x"})]

    def test_an_explicit_null_is_kept_whatever_the_type(self) -> None:
        sample = {"pos": {"lat": None, "lon": 1}, "label": None, "fixed": None, "any": None}
        values = {"lat": None, "lon": 1, "label": None, "fixed": None, "any": None}
        assert self.found(sample) == [("location", None, values)]

    def test_true_is_no_number_and_one_is_no_boolean(self) -> None:
        assert self.found({"pos": {"lat": True}, "fixed": 1}) == []

    def test_a_text_of_more_than_64_kib_is_dropped(self) -> None:
        assert self.found({"label": "x" * 65_536}) == [("location", None, {"label": "x" * 65_536})]
        assert self.found({"label": "x" * 65_537}) == []


class TestOwnTime:
    @pytest.mark.parametrize(
        ("layout", "written", "at_ms"),
        [
            ("millis-unix-epoch", 1_764_000_000_123, 1_764_000_000_123),
            ("millis-unix-epoch", 1_764_000_000_123.9, 1_764_000_000_123),
            ("millis-unix-epoch", 0, 0),
            ("sec-unix-epoch", 1_764_000_000, 1_764_000_000_000),
            ("sec-unix-epoch", 1_764_000_000.25, 1_764_000_000_250),
            ("iso8601", "2025-11-24T16:00:00Z", 1_764_000_000_000),
            ("iso8601", "2025-11-24T18:00:00+0200", 1_764_000_000_000),
            ("iso8601", "2025-11-24T18:00:00.123456+02:00", 1_764_000_000_123),
        ],
    )
    def test_it_is_read_in_each_format(self, layout: str, written: Any, at_ms: int) -> None:
        found = points(
            {"at": written, "t": 1},
            timestamp={"path": "at", "format": layout},
            names={"s": {"values": [{"path": "t"}]}},
        )
        assert found[0] == ("s", at_ms, {"value": 1})

    @pytest.mark.parametrize(
        "sample",
        [
            {},
            {"at": None},
            {"at": "1764000000000"},
            {"at": True},
            {"at": -1},
            {"at": 1e300},
            {"at": 253_402_300_800_000},
            {"at": [1]},
        ],
    )
    def test_where_there_is_none_the_receipt_counts_or_the_sample_fails(self, sample: dict[str, Any]) -> None:
        sample["t"] = 1
        path: dict[str, Any] = {"path": "at"}
        assert ("auto~t", None, {"value": 1}) in points(sample, timestamp=path)
        with pytest.raises(InvalidInput):
            points(sample, timestamp=path | {"fallback-strategy": "fail"})

    @pytest.mark.parametrize(
        "text", ["", "yesterday", "2025-13-01T00:00:00Z", "2025-11-24T25:00:00Z", "1969-12-31T23:59:59Z"]
    )
    def test_a_text_that_is_no_time_is_none(self, text: str) -> None:
        timestamp = {"path": "at", "format": "iso8601"}
        assert points({"at": text, "t": 1}, timestamp=timestamp) == [("auto~t", None, {"value": 1})]
        with pytest.raises(InvalidInput):
            points({"at": text}, timestamp=timestamp | {"fallback-strategy": "fail"})


class TestParse:
    @pytest.mark.parametrize(
        "sample",
        [
            b"",
            b"NaN",
            b"Infinity",
            b"-Infinity",
            b"1e999",
            b'{"a":1e999}',
            b'"\\ud800"',
            b'"\xed\xa0\x80"',
            b"{",
            b"[1,]",
        ]
        + [b"{'a':1}", b"01", b"+1", b"9" * 5000, b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"\xff"],
    )
    def test_what_is_not_json_is_refused(self, sample: bytes) -> None:
        with pytest.raises(InvalidInput):
            parse(sample)

    @pytest.mark.parametrize(
        ("sample", "value"),
        [
            (b"1", 1),
            (b"1.0", 1.0),
            (b"-0.0", -0.0),
            (b"5e-324", 5e-324),
            (b"1.7976931348623157e308", 1.7976931348623157e308),
            (b'"\\ud83d\\ude00"', "\U0001f600"),
            (b'{"a":1,"a":2}', {"a": 2}),
        ],
    )
    def test_what_is_json_is_read(self, sample: bytes, value: Any) -> None:
        assert parse(sample) == value
        assert type(parse(sample)) is type(value)

    def test_an_integer_of_more_than_64_bits_is_kept_as_the_nearest_double(self) -> None:
        assert stored(2**63 - 1) == 2**63 - 1
        assert stored(-(2**63)) == -(2**63)
        for value in (2**63, -(2**63) - 1, 10**30, 10**308):
            assert type(stored(value)) is float
            assert stored(value) == float(value)
        with pytest.raises(InvalidInput):
            stored(10**309)
        assert stored(True) is True
        assert points({"n": 2**64}, timestamp={"path": "at"}) == [("auto~n", None, {"value": 2.0**64})]

    @settings(deadline=None)
    @given(st.binary(max_size=60))
    def test_any_bytes_are_read_or_refused(self, sample: bytes) -> None:
        try:
            value = parse(sample)
        except InvalidInput:
            return
        points(value)


class TestSettings:
    @pytest.mark.parametrize(
        ("written", "place"),
        [
            ({"time-series": {"names": {"a b": {"values": [{"path": "t"}]}}}}, "names"),
            ({"time-series": {"names": {"auto~t": {"values": [{"path": "t"}]}}}}, "names"),
            ({"time-series": {"names": {"s": {"values": []}}}}, "values"),
            ({"time-series": {"names": {"s": {}}}}, "values"),
            ({"time-series": {"names": {"s": {"values": [{"path": "t"}, {"path": "u"}]}}}}, "s"),
            ({"time-series": {"names": {"s": {"values": [{"path": "a..b"}]}}}}, "path"),
            ({"time-series": {"names": {"s": {"values": [{"path": "t", "type": "text"}]}}}}, "type"),
            ({"time-series": {"names": {"s": {"values": [{"path": "t", "nam": "x"}]}}}}, "nam"),
            ({"time-series": {"timestamp": {"path": "at", "format": "unix"}}}, "format"),
            ({"time-series": {"timestamp": {"path": "at", "fallback-strategy": "drop"}}}, "fallback-strategy"),
            ({"retention": "1s"}, "retention"),
            ({"retention": "for ever"}, "retention"),
        ],
    )
    def test_what_is_wrong_is_refused_by_place(self, written: dict[str, Any], place: str) -> None:
        with pytest.raises(ValidationError) as error:
            validate_written(EptsSettings, written)
        assert any(place in map(str, found["loc"]) for found in error.value.errors())

    @pytest.mark.parametrize(
        "name",
        [
            "a\\b",
            "a^b",
            "a$b",
            "a'b",
            'a"b',
            "a=b",
            "a,b",
            "time",
            "kaaEndpointID",
            "kaaEmpty",
            "_field",
            "_measurement",
            "",
            "a\nb",
            "x" * 129,
        ],
    )
    def test_a_value_cannot_have_every_name(self, name: str) -> None:
        with pytest.raises(ValidationError):
            validate_written(EptsSettings, {"time-series": {"names": {"s": {"values": [{"path": "t", "name": name}]}}}})

    def test_without_a_word_all_numbers_are_kept_for_ninety_days(self) -> None:
        made = EptsSettings()
        assert made.time_series.auto_extract
        assert made.time_series.names == {}
        assert made.retention == 90 * 86_400_000
