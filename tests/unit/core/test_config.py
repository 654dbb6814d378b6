"""Files, variables and flags, and what is said when they are wrong."""

from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import Field, TypeAdapter, ValidationError

from kaa.core.config import Duration, Port, Settings, Size, Source, defaults, load, validate_written
from kaa.core.errors import ConfigError


class LogPart(Settings):
    level: Literal["debug", "info"] = "info"


class StoragePart(Settings):
    period_ms: Duration = 7 * 86_400_000
    max_bytes: Size | None = None


class House(Settings):
    data_dir: Path = Path("kaa-data")
    http_port: Port = 8080
    log: LogPart = LogPart()
    storage: StoragePart = StoragePart()
    names: tuple[str, ...] = ()
    instances: dict[str, dict[str, Any] | None] = Field(default_factory=dict)


class Series(Settings):
    retention_ms: Duration = 90 * 86_400_000
    transmitter: str = "*"


@pytest.fixture
def kaa_yml(tmp_path: Path) -> Path:
    return tmp_path / "kaa.yml"


def problems(file: Path | None = None, text: str = "", environ=None, flags=None, model=House) -> list[str]:
    if file is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(model, file=file, environ=environ or {}, flags=flags or {})
    return [line.replace(str(file), "kaa.yml") for line in str(caught.value).splitlines()]


def test_without_any_source_the_defaults_hold() -> None:
    assert load(House, file=None, environ={"PATH": "/bin"}, flags={}) == House()


def test_an_empty_file_and_empty_sections_change_nothing(kaa_yml: Path) -> None:
    for text in ("", "# nothing\n", "log:\nstorage:\n  # max-bytes: 1GiB\n"):
        kaa_yml.write_text(text)
        assert load(House, file=kaa_yml, environ={}, flags={}) == House()


def test_a_flag_is_stronger_than_a_variable_and_that_than_the_file(kaa_yml: Path) -> None:
    kaa_yml.write_text("http-port: 1\ndata-dir: one\nlog: {level: debug}\nstorage: {period: 5m, max-bytes: 2GiB}\n")
    environ = {"KAA_HTTP_PORT": "2", "KAA_DATA_DIR": "two", "KAA_STORAGE_PERIOD": "P1D", "KAA_CONFIG": "x"}
    house = load(House, file=kaa_yml, environ=environ, flags={"http_port": 3, "data-dir": None})
    assert house.http_port == 3
    assert house.data_dir == Path("two")
    assert house.log.level == "debug"
    assert house.storage == StoragePart(period_ms=86_400_000, max_bytes=2 << 30)


def test_snake_case_is_understood(kaa_yml: Path) -> None:
    kaa_yml.write_text("http_port: 1\nstorage: {max_bytes: 5}\n")
    house = load(House, file=kaa_yml, environ={}, flags={})
    assert (house.http_port, house.storage.max_bytes) == (1, 5)


def test_variables_can_say_nothing_and_several_things() -> None:
    environ = {"KAA_STORAGE_MAX_BYTES": "null", "KAA_NAMES": "a, b", "KAA_INSTANCES": "{epts: {retention: 1d}}"}
    house = load(House, file=None, environ=environ, flags={})
    assert house.storage.max_bytes is None
    assert house.names == ("a", "b")
    assert house.instances == {"epts": {"retention": "1d"}}


def test_an_unknown_key_is_named_with_its_line_and_a_guess(kaa_yml: Path) -> None:
    found = problems(kaa_yml, "data-dir: x\nstorage:\n  perriod: 7d\nhtpp-port: 1\n")
    assert found == [
        "kaa.yml:3: storage.perriod: there is no such option; did you mean period?",
        "kaa.yml:4: htpp-port: there is no such option; did you mean http-port?",
    ]


def test_a_wrong_value_is_named_with_its_line_and_what_was_expected(kaa_yml: Path) -> None:
    found = problems(kaa_yml, "http-port: 70000\nlog:\n  level: loud\nstorage: 5\nnames:\n- a\n- [b]\n")
    assert found[0] == "kaa.yml:1: http-port: must be less than or equal to 65535"
    assert found[1] == "kaa.yml:3: log.level: must be 'debug' or 'info'"
    assert found[2].startswith("kaa.yml:4: storage: must be ")
    assert found[3] == "kaa.yml:7: names.1: must be a valid string"


def test_a_wrong_variable_or_flag_is_named() -> None:
    assert problems(environ={"KAA_STORAGE_PERIOD": "soon"})[0].startswith(
        "KAA_STORAGE_PERIOD: storage.period: expected a"
    )
    assert problems(flags={"http-port": "x"})[0].startswith("--http-port: http-port: must be ")


def test_an_unknown_variable_or_flag_is_refused_with_a_guess() -> None:
    assert problems(environ={"KAA_HTPP_PORT": "1"}) == [
        "KAA_HTPP_PORT: there is no such option; did you mean KAA_HTTP_PORT?"
    ]
    assert problems(flags={"nonsense": 1}) == ["--nonsense: there is no such option"]


def test_a_key_that_stands_there_twice_is_refused(kaa_yml: Path) -> None:
    assert problems(kaa_yml, "http-port: 1\n\nhttp-port: 2\n") == [
        "kaa.yml:3: http-port: stands here twice, first on line 1"
    ]
    assert problems(kaa_yml, "{http-port: 1, http-port: 2}") == [
        "kaa.yml:1: http-port: stands here twice, first on line 1"
    ]
    assert problems(kaa_yml, "http-port: 1\nhttp_port: 2\n")[0].startswith("kaa.yml:2: http_port: stands here twice")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [1", "kaa.yml:1: is not valid YAML"),
        ("a:\n\t- b", "kaa.yml:2: is not valid YAML"),
        ("- a\n- b\n", "kaa.yml:1: expected keys with values"),
        ("just words", "kaa.yml:1: expected keys"),
        ("a: 1\n---\nb: 2\n", "kaa.yml:2: is not valid YAML"),
        ("names: &n [*n]\n", "kaa.yml:1: an alias that contains itself"),
        ("names: *n\n", "kaa.yml:1: is not valid YAML"),
        ("? [a, b]\n: 1\n", "kaa.yml:1: a key must be a word"),
        ("names: 2020-13-45\n", "kaa.yml:1: "),
        ("names: !!python/object:os.system {}\n", "kaa.yml:1: "),
        ("names: \x00\n", "kaa.yml: is not valid YAML"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(kaa_yml: Path, text: str, where: str) -> None:
    assert problems(kaa_yml, text)[0].startswith(where)


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(House, file=tmp_path / "missing.yml", environ={}, flags={})
    (tmp_path / "latin.yml").write_bytes(b"names: [\xff]\n")
    with pytest.raises(ConfigError):
        load(House, file=tmp_path / "latin.yml", environ={}, flags={})


def test_anchors_and_merges_work(kaa_yml: Path) -> None:
    kaa_yml.write_text("instances:\n  a: &a {retention: 1d, x: 1}\n  b:\n    <<: *a\n    x: 2\n")
    house = load(House, file=kaa_yml, environ={}, flags={})
    assert house.instances["b"] == {"retention": "1d", "x": 2}


def test_keys_are_words_as_written(kaa_yml: Path) -> None:
    kaa_yml.write_text("instances: {on: {a: 1}, cmx_ota: {}, 5: }\n")
    house = load(House, file=kaa_yml, environ={}, flags={})
    assert set(house.instances) == {"on", "cmx_ota", "5"}


def test_a_part_is_loaded_with_its_own_model(kaa_yml: Path) -> None:
    kaa_yml.write_text("instances:\n  epts:\n    service: epts\n    retention: 1d\n  epts_x:\n")
    environ = {"KAA_INSTANCES_EPTS_TRANSMITTER": "dcx", "KAA_INSTANCES_EPTS_X_RETENTION": "2d"}
    source = Source(file=kaa_yml, environ=environ, flags={})
    house = source.load(House)
    assert list(house.instances) == ["epts", "epts_x"]
    series = source.load(Series, under=("instances", "epts"), skip=("service",))
    assert series == Series(retention_ms=86_400_000, transmitter="dcx")
    assert source.load(Series, under=("instances", "epts_x")).retention_ms == 2 * 86_400_000
    assert source.load(Series, under=("instances", "missing")) == Series()
    source.refuse_unused()


def test_a_wrong_part_is_named_with_its_whole_key(kaa_yml: Path) -> None:
    kaa_yml.write_text("instances:\n  epts:\n    retenshun: 1d\n  dcx: 5\n")
    source = Source(file=kaa_yml, environ={"KAA_INSTANCES_EPTS_RETENTON": "1d"}, flags={})
    with pytest.raises(ConfigError, match=r"kaa.yml:3: instances.epts.retenshun: there is no such"):
        source.load(Series, under=("instances", "epts"))
    with pytest.raises(ConfigError, match=r"kaa.yml:4: instances.dcx: expected keys with values"):
        source.load(Series, under=("instances", "dcx"))
    with pytest.raises(ConfigError, match="KAA_INSTANCES_EPTS_RETENTON"):
        source.refuse_unused()


def test_a_missing_value_is_named(kaa_yml: Path) -> None:
    class Needs(Settings):
        url: str

    assert problems(model=Needs) == ["url: is needed, and not given"]


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("90d", 7_776_000_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        ("250ms", 250),
        ("1.5s", 1_500),
        ("2w", 1_209_600_000),
        ("P90D", 7_776_000_000),
        ("P1W", 604_800_000),
        ("PT1H30M", 5_400_000),
        ("PT0.5S", 500),
        ("P1DT12H", 129_600_000),
        ("30", 30_000),
        (30, 30_000),
        (0.25, 250),
        (0, 0),
    ],
)
def test_durations(written: object, ms: int) -> None:
    assert validate_written(Series, {"retention": written}).retention_ms == ms


@pytest.mark.parametrize(
    "written",
    [
        "",
        "soon",
        "5x",
        "P",
        "PT",
        "P1Y",
        "P1M",
        "-5m",
        -1,
        "1h30",
        "40000d",
        True,
        None,
        [],
        float("inf"),
        float("nan"),
        1e300,
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        validate_written(Series, {"retention": written})


def test_a_bare_number_is_seconds_where_it_is_written_and_milliseconds_in_python() -> None:
    assert Series(retention_ms=1500).retention_ms == 1500
    assert Series.model_validate_json('{"retention": 1500}').retention_ms == 1_500_000


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("256KiB", 262_144),
        ("10MB", 10_000_000),
        ("5GiB", 5 << 30),
        ("1.5 kb", 1500),
        ("2TiB", 2 << 40),
        ("7", 7),
        (7, 7),
        ("7B", 7),
    ],
)
def test_sizes(written: object, size: int) -> None:
    assert TypeAdapter(Size).validate_python(written) == size


@pytest.mark.parametrize("written", ["", "big", "-1", -1, "1iB", "5XB", True, 1.5, 1 << 63, "99999999TiB", None])
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Size).validate_python(written)


def test_defaults_are_spelled_as_in_the_file_and_read_back_as_themselves(kaa_yml: Path) -> None:
    found = defaults(House)
    assert found["http-port"] == 8080
    assert found["storage"] == {"period": "7d", "max-bytes": None}
    kaa_yml.write_text(yaml.safe_dump(found))
    assert load(House, file=kaa_yml, environ={}, flags={}) == House()


def test_settings_are_frozen_and_take_python_names() -> None:
    house = House(http_port=1)
    with pytest.raises(ValidationError):
        house.http_port = 2  # type: ignore[misc]


def test_sizes_and_durations_are_shown_in_the_largest_unit_that_fits() -> None:
    class Sizes(Settings):
        a: Size = 1 << 20
        b: Size = 5 << 30
        c: Size = 1000
        d: Duration = 5_400_000
        e: Duration = 0

    assert defaults(Sizes) == {"a": "1MiB", "b": "5GiB", "c": 1000, "d": "90m", "e": "0s"}
    assert validate_written(Sizes, defaults(Sizes)) == Sizes()
