"""`kaa series export` and `kaa series import`: what is taken out of one server and put into another is the same."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from kaa.cli import points, series_import
from kaa.core.clock import SystemClock
from kaa.remote import Answer, Remote, RemoteError

# yesterday: what is older than an application keeps points is refused
DAY = (
    (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=SystemClock().now_ms() - 86_400_000)).date().isoformat()
)
STRANGE = ["21", "true", "", 'a "b", c', "two\nlines\r\n\n", "größer 🌡", "=1+1", " ", "null", '"', "a,b,c,d,e,f"]
NUMBERS = [0, -7, 2**53 + 1, 2**63 - 1, -(2**63), 21.0, 0.1, -1.5e-7, 1e300, 1 / 3, 123456789.123456]
HEADER = "endpointId,timeSeriesName,timestamp,valueName,type,value\n"
EVER = {"fromDate": 0, "toDate": "2100-01-01T00:00:00Z", "precision": "us"}


def written():
    """Points of all kinds, by endpoint and series."""
    at = (f"{DAY}T00:00:{second:02}.{micros:06}Z" for second in range(60) for micros in (0, 1, 999_999))
    numbers = [{"timestamp": next(at), "values": {"value": number}} for number in NUMBERS]
    texts = [{"timestamp": next(at), "values": {"text": text, "on": bool(text), "lat": 47.5}} for text in STRANGE]
    nothing = [{"timestamp": next(at), "values": {"value": None, "on": False}}]
    return {"uno": {"auto~number": numbers, "told": texts}, "due": {"auto~number": numbers[:3], "nothing": nothing}}


def furnish(remote, app, endpoints=("uno", "due")):
    remote.post("/tekton/api/v1/applications", {"name": app})
    remote.post(f"/tekton/api/v1/applications/{app}/app-versions", {"nameSuffix": "v1"})
    for endpoint_id in endpoints:
        remote.post("/epr/api/v1/endpoints", {"appVersion": {"name": f"{app}-v1"}, "endpointId": endpoint_id})


def put(remote, app, tree):
    path = f"/epts/api/v1/app-versions/{app}-v1/time-series/data"
    remote.ask("PUT", path, body=tree, params={"precision": "us"})


def kept(remote, app):
    """All that a server has of an application, but what it makes itself."""
    names = [one["name"] for one in remote.get("/epts/api/v1/time-series/config", {"applicationNames": app})[app]]
    if not names:
        return []
    return remote.get(f"/epts/api/v1/applications/{app}/time-series/data", {"timeSeriesName": names, **EVER})


@pytest.fixture(scope="session")
def filled(running):
    """An application with all kinds of points."""
    remote = Remote.find(running.data_dir)
    furnish(remote, "plenty")
    put(remote, "plenty", written())
    return remote


@pytest.fixture(scope="session")
def imported(running):
    """An application to import things into: the two endpoints have no points yet."""
    remote = Remote.find(running.data_dir)
    furnish(remote, "taking", ("pin", "qin"))
    return remote


def line(*cells):
    return ",".join(map(str, cells)) + "\n"


class TestRoundTrip:
    @pytest.mark.parametrize("name", ["points.csv", "points.parquet"])
    def test_what_is_exported_is_imported_into_another_server_as_it_was(self, ask, run, filled, other, name):
        assert ask("series", "export", "--app", "plenty", name).exit_code == 0
        there = ("--data-dir", str(other.data_dir), "--app", "plenty")
        remote = Remote.find(other.data_dir)
        if not kept_app(remote, "plenty"):
            furnish(remote, "plenty")
        result = run("series", "import", name, *there, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["values"] == len(NUMBERS) + 3 * len(STRANGE) + 3 + 2
        assert kept(remote, "plenty") == kept(filled, "plenty")
        # and again: nothing is doubled
        assert run("series", "import", name, *there).exit_code == 0
        assert kept(remote, "plenty") == kept(filled, "plenty")
        # what comes out there is the same file, to the byte
        assert run("series", "export", *there, f"again-{name}").exit_code == 0
        assert Path(f"again-{name}").read_bytes() == Path(name).read_bytes()

    def test_any_program_reads_the_csv(self, ask, filled):
        ask("series", "export", "--app", "plenty", "points.csv")
        with Path("points.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        texts = [row["value"] for row in rows if row["valueName"] == "text"]
        assert texts == STRANGE
        assert {row["type"] for row in rows} == {"integer", "real", "boolean", "text", "null"}
        assert rows[1]["timestamp"] == f"{DAY}T00:00:00.000001Z"

    def test_parquet_has_real_times(self, ask, filled):
        ask("series", "export", "--app", "plenty", "points.parquet")
        table = parquet.read_table("points.parquet")
        assert table.column_names == list(points.COLUMNS)
        assert table.schema.field("timestamp").type == pa.timestamp("us", tz="UTC")

    def test_the_csv_that_rest_gives_is_taken_too(self, ask, imported):
        put(
            imported,
            "taking",
            {"pin": {"rest": [{"timestamp": f"{DAY}T01:00:00Z", "values": {"a": 1, "b": "x", "c": True}}]}},
        )
        path, ever = "/epts/api/v1/applications/taking/time-series/data", {"timeSeriesName": "rest", **EVER}
        with imported.streamed("GET", path, params=ever, accept="text/csv") as answer:
            Path("rest.csv").write_bytes(answer.read())
        before = kept(imported, "taking")
        assert ask("series", "import", "--app", "taking", "rest.csv").exit_code == 0
        assert kept(imported, "taking") == before


def kept_app(remote, app):
    try:
        return remote.get(f"/tekton/api/v1/applications/{app}")
    except RemoteError:
        return None


class TestExport:
    def test_without_a_file_it_goes_to_standard_output(self, ask, filled):
        result = ask("series", "export", "--app", "plenty", "--endpoint", "due", "--series", "number")
        rows = list(csv.DictReader(result.stdout.splitlines()))
        assert [(row["endpointId"], row["timeSeriesName"], row["value"]) for row in rows] == [
            ("due", "auto~number", "0"),
            ("due", "auto~number", "-7"),
            ("due", "auto~number", str(2**53 + 1)),
        ]

    def test_a_window_is_half_open(self, ask, filled):
        window = ("--from", f"{DAY}T00:00:01Z", "--to", f"{DAY}T00:00:02Z")
        result = ask("series", "export", "--app", "plenty", "--endpoint", "uno", "--name", "auto~number", *window)
        times = [row["timestamp"] for row in csv.DictReader(result.stdout.splitlines())]
        assert times == [f"{DAY}T00:00:01.{micros:06}Z" for micros in (0, 1, 999_999)]

    def test_an_application_without_series_is_an_empty_file(self, ask, filled):
        furnish(filled, "bare", ())
        assert ask("series", "export", "--app", "bare").stdout == HEADER
        assert ask("series", "export", "--app", "bare", "bare.parquet").exit_code == 0
        assert parquet.read_table("bare.parquet").num_rows == 0

    def test_a_file_that_is_there_is_kept(self, ask, filled):
        Path("points.csv").write_text("dear")
        result = ask("series", "export", "--app", "plenty", "points.csv")
        assert result.exit_code == 1
        assert "is there already" in result.stderr
        assert Path("points.csv").read_text() == "dear"

    def test_what_breaks_off_leaves_no_file(self, ask, filled, monkeypatch):
        pieces = iter([b"endpointId,timeSeriesName,timestamp,valueName,value\none,auto~x,", None])

        def read(_self, _size=None):
            piece = next(pieces)
            if piece is None:
                raise RemoteError("it has broken its answer off")
            return piece

        monkeypatch.setattr(Answer, "read", read)
        monkeypatch.setattr("kaa.cli.series_export.known", lambda *_: ["auto~x"])
        result = ask("series", "export", "--app", "plenty", "points.csv")
        assert result.exit_code == 1
        assert "broken its answer off" in result.stderr
        assert not list(Path().iterdir())

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
    def test_pieces_may_end_anywhere(self, ask, filled, monkeypatch, size):
        whole = ask("series", "export", "--app", "plenty").stdout_bytes
        monkeypatch.setattr("kaa.cli.series_export._CHUNK", size)
        assert ask("series", "export", "--app", "plenty").stdout_bytes == whole

    def test_a_summary_needs_a_file(self, ask, filled):
        assert ask("series", "export", "--app", "plenty", "--json").exit_code == 2
        assert json.loads(ask("series", "export", "--app", "plenty", "p.csv", "--json").stdout)["format"] == "csv"

    def test_an_application_that_is_not_there_is_an_error(self, ask, filled):
        result = ask("series", "export", "--app", "nowhere", "points.csv")
        assert result.exit_code == 1
        assert not list(Path().iterdir())

    def test_without_pyarrow_it_is_said_how_to_have_it(self, ask, filled, monkeypatch):
        monkeypatch.setattr(points, "find_spec", lambda _: None)
        for command in (("export", "p.parquet"), ("import", "p.parquet"), ("export", "p", "--format", "parquet")):
            result = ask("series", command[0], "--app", "plenty", *command[1:])
            assert result.exit_code == 1
            assert "pip install 'kaa[parquet]'" in result.stderr


class TestImport:
    GOOD = line("pin", "s", f"{DAY}T00:00:00.000001Z", "value", "real", "1.5")

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (line("pin", "s", "DAYT00:00:00Z", "value", "real", "warm"), "'warm' is no real"),
            (line("pin", "s", "DAYT00:00:00Z", "value", "integer", "1.5"), "'1.5' is no integer"),
            (line("pin", "s", "DAYT00:00:00Z", "value", "real", "1e999"), "is no real"),
            (line("pin", "s", "DAYT00:00:00Z", "value", "null", "x"), "is no null"),
            (line("pin", "s", "DAYT00:00:00Z", "value", "number", "1"), "there are integer, real"),
            (line("pin", "s", "DAYT00:00:00Z", "value", "real"), "5 columns"),
            (line("pin", "s", "yesterday", "value", "real", "1"), "is no date"),
            (line("pin", "s", "1999-01-01T00:00:00Z", "value", "real", "1"), "older than the application keeps"),
            (line("pin", "s", "", "value", "real", "1"), "is no date"),
            (line("nobody", "s", "DAYT00:00:00Z", "value", "real", "1"), "no endpoint 'nobody'"),
            (line("uno", "s", "DAYT00:00:00Z", "value", "real", "1"), "no endpoint 'uno'"),
            (line("pin", "s t", "DAYT00:00:00Z", "value", "real", "1"), "pin.s t"),
            (line("pin", "s", "DAYT00:00:00Z", "time", "real", "1"), "reserved"),
            ('pin,s,"x"y,value,real,1\n', "no CSV"),
        ],
    )
    def test_a_bad_line_is_named_and_nothing_is_stored(self, ask, imported, filled, bad, reason):
        before = kept(imported, "taking")
        Path("points.csv").write_text(HEADER + self.GOOD * 5 + bad.replace("DAY", DAY) + self.GOOD)
        result = ask("series", "import", "--app", "taking", "points.csv")
        assert result.exit_code == 1
        assert "points.csv, line 7: " in result.stderr
        assert reason in result.stderr
        assert "nothing is stored" in result.stderr
        assert kept(imported, "taking") == before

    @pytest.mark.parametrize(
        ("header", "reason"),
        [("", "lacks"), ("endpointId,timestamp\n", "lacks"), (HEADER.strip() + ",color\n", "it has color")],
    )
    def test_columns_that_are_not_those_are_refused(self, ask, imported, header, reason):
        Path("points.csv").write_text(header + self.GOOD)
        result = ask("series", "import", "--app", "taking", "points.csv")
        assert result.exit_code == 1
        assert "line 1" in result.stderr
        assert reason in result.stderr

    def test_what_is_not_text_is_refused(self, ask, imported):
        Path("points.csv").write_bytes(HEADER.encode() + b"pin,s,\xff\n")
        assert "UTF-8" in ask("series", "import", "--app", "taking", "points.csv").stderr
        Path("points.parquet").write_bytes(b"PAR1 or not")
        assert "as Parquet" in ask("series", "import", "--app", "taking", "points.parquet").stderr
        assert "cannot be read" in ask("series", "import", "--app", "taking", "nothing.csv").stderr

    def test_parquet_of_other_programs_is_taken(self, ask, imported):
        at = datetime.fromisoformat(f"{DAY}T02:00:00.000007")
        columns = {
            "endpointId": ["qin"] * 3,
            "timeSeriesName": ["foreign"] * 3,
            "timestamp": [at, at + timedelta(seconds=1), at + timedelta(seconds=2)],
            "valueName": ["value"] * 3,
            "value": [1.5, None, 2.5],
        }
        parquet.write_table(pa.table(columns), "points.parquet")
        assert ask("series", "import", "--app", "taking", "points.parquet").exit_code == 0
        ever = {"timeSeriesName": "foreign", **EVER}
        [found] = imported.get("/epts/api/v1/applications/taking/time-series/data", ever)
        assert [point["values"]["value"] for point in found["qin"]["foreign"]] == [1.5, None, 2.5]
        assert found["qin"]["foreign"][0]["timestamp"] == f"{DAY}T02:00:00.000007Z"

    def test_a_bad_row_of_parquet_is_named(self, ask, imported):
        for value, endpoint_id, reason in (
            (float("nan"), "qin", "no value"),
            (1.0, None, "is empty"),
            (1.0, "x", "'x'"),
        ):
            columns = {
                "endpointId": ["qin", endpoint_id],
                "timeSeriesName": ["s", "s"],
                "timestamp": [f"{DAY}T00:00:00Z"] * 2,
                "valueName": ["value"] * 2,
                "value": [1.0, value],
            }
            parquet.write_table(pa.table(columns), "points.parquet")
            result = ask("series", "import", "--app", "taking", "points.parquet")
            assert "points.parquet, row 2: " in result.stderr
            assert reason in result.stderr
            assert "nothing is stored" in result.stderr

    def test_what_fails_while_it_is_stored_says_how_far_it_came(self, ask, imported, monkeypatch):
        rows = [line("qin", "far", f"{DAY}T03:00:0{at}Z", "value", "integer", at) for at in range(6)]
        Path("points.csv").write_text(HEADER + "".join(rows))
        monkeypatch.setattr(series_import, "_MOST_ROWS", 2)
        sends = series_import._Importer.send
        wet = iter(range(2))

        def send(self, rows, *, is_dry):
            if not is_dry and next(wet, None) is None:
                raise RemoteError("the storage has reached its reserve", status=507)
            sends(self, rows, is_dry=is_dry)

        monkeypatch.setattr(series_import._Importer, "send", send)
        result = ask("series", "import", "--app", "taking", "points.csv")
        assert result.exit_code == 1
        assert "the first 4 values of the file are stored" in result.stderr
        ever = {"timeSeriesName": "far", **EVER}
        [found] = imported.get("/epts/api/v1/applications/taking/time-series/data", ever)
        assert len(found["qin"]["far"]) == 4

    def test_times_in_many_files_and_long_texts_are_sent_in_parts(self, ask, imported):
        path = "/tekton/api/v1/app-configs/applications/taking"
        settings = {"epts": {"kaa": {"applications": {"taking": {"retention": "3650d"}}}}}
        imported.ask("PUT", path, body=settings)
        start = datetime.fromisoformat(f"{DAY}T00:00:00+00:00")
        days = [(start - timedelta(days=14 * at)).isoformat() for at in range(40)]
        rows = [line("qin", "old", at, "value", "integer", number) for number, at in enumerate(days)]
        rows += [line("qin", "long", f"{DAY}T04:00:0{at}Z", "value", "text", "x" * 60_000) for at in range(10)]
        rows += [line("qin", "wide", f"{DAY}T04:00:00Z", f"v{at}", "boolean", "true") for at in range(100)]
        Path("points.csv").write_text(HEADER + "".join(rows))
        result = ask("series", "import", "--app", "taking", "points.csv", "--json")
        assert result.exit_code == 0, result.output
        ever = {"timeSeriesName": ["old", "long", "wide"], **EVER}
        [found] = imported.get("/epts/api/v1/applications/taking/time-series/data", ever)
        assert {name: len(listed) for name, listed in found["qin"].items()} == {"old": 40, "long": 10, "wide": 1}
        assert len(found["qin"]["wide"][0]["values"]) == 100
