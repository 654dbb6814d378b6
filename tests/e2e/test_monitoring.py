"""What an operator sees: metrics that are all explained, a dashboard of them, and the life of a message in the log."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hosts import ROOT, KaaProcess, Place
from mqtt_clients import Wire
from waiting import until

pytestmark = pytest.mark.any_bus

PROJECT = Path(__file__).parents[2]
DASHBOARD = PROJECT / "config" / "grafana-dashboard.json"
_MADE = re.compile(r'\.(?:counter|gauge|histogram|gauge_from|gauges_from|counter_from)\(\s*"(kaa_\w+)"')
_NAME = re.compile(r"\b(?:kaa|process)_\w+")
UNITS = ("_total", "_seconds", "_bytes", "_days")
THINGS = {  # gauges that count things, by the name of the thing
    *("kaa_bus_queued", "kaa_storage_queued", "kaa_points_queued", "kaa_outbox_events", "kaa_cex_waiting"),
    *("kaa_kpc_waiting", "kaa_kpc_endpoints", "kaa_kpc_connections", "kaa_kpc_handshakes", "kaa_audit_unwritten"),
    *("process_open_fds", "process_max_fds"),
}


def documented() -> set[str]:
    text = (PROJECT / "README.md").read_text()
    return {
        name
        for row in re.findall(r"^\| (`(?:kaa|process)_[^|]*) \|", text, re.MULTILINE)
        for name in _NAME.findall(row)
    }


def made() -> set[str]:
    """The names in the source: some are there only with TLS or where samples are tapped."""
    return {name for file in (ROOT / "kaa").rglob("*.py") for name in _MADE.findall(file.read_text())}


async def exposed(place: Place) -> dict[str, str]:
    text = (await place.rest.call("GET", "/metrics")).data.decode()
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))


async def test_every_metric_is_explained_in_the_readme_and_no_other(place: Place) -> None:
    shown = set(await exposed(place))
    assert shown - documented() == set()
    assert documented() == made() | {name for name in shown if name.startswith("process_")}


async def test_names_say_what_is_measured_and_in_what_unit(place: Place) -> None:
    for name, kind in (await exposed(place)).items():
        assert name in THINGS or name.endswith(UNITS), name
        assert (kind == "counter") is name.endswith("_total"), name
        assert kind != "histogram" or name.endswith(("_seconds", "_bytes")), name


async def test_what_devices_send_and_get_is_counted(place: Place) -> None:
    thing = await place.rest.thing()
    before = {
        name: await place.rest.metric(name) for name in ("kaa_kpc_messages_received_total", "kaa_points_commits_total")
    }
    sent_bytes = await place.rest.metric("kaa_kpc_sent_bytes_total")
    wire = Wire(place.mqtt)
    await wire.open()
    await wire.answer(thing.topic(request_id=1), b'{"x": 1}')
    assert await place.rest.metric("kaa_kpc_messages_received_total") > before["kaa_kpc_messages_received_total"]
    assert await place.rest.metric("kaa_kpc_sent_bytes_total") > sent_bytes
    assert await place.rest.metric("kaa_kpc_received_bytes_total") > 0
    assert await place.rest.metric("kaa_points_commits_total") > before["kaa_points_commits_total"]
    assert await place.rest.metric("kaa_points_commit_seconds_count") > 0
    assert await place.rest.metric("kaa_storage_commit_seconds_count") > 0
    most, used = [await place.rest.metric(f"kaa_storage_{one}_bytes") for one in ("max", "used")]
    assert 0 < used < most


async def test_a_command_there_and_back_is_measured(place: Place) -> None:
    thing = await place.rest.thing()
    before = await place.rest.metric("kaa_cex_command_seconds_count")
    path = f"/cex/api/v1/endpoints/{thing.endpoint_id}/commands/switch"
    await place.rest.send("POST", path, {"on": True}, awaitTimeout=0)
    wire = Wire(place.mqtt)
    await wire.open()
    await wire.answer(thing.topic("result/switch", 1, extension="cex"), b'[{"id": 1, "statusCode": 200}]')

    async def is_measured() -> bool:
        return await place.rest.metric("kaa_cex_command_seconds_count") > before

    await until(is_measured)


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    known = documented()
    for panel in panels():
        for target in panel["targets"]:
            for name in _NAME.findall(target["expr"]):
                base = re.sub(r"_(?:bucket|sum|count)$", "", name)
                assert base in known, f"{panel['title']}: {name}"
            assert target["expr"].count("(") == target["expr"].count(")"), panel["title"]
            assert target["datasource"]["uid"] == "${datasource}"


def test_the_dashboard_can_be_imported_as_it_is() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["uid"] == "kaa"
    assert "id" not in board, "an id is the importing Grafana's own"
    variables = {one["name"]: one["type"] for one in board["templating"]["list"]}
    assert variables["datasource"] == "datasource"
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()}
    assert len(taken) == len(panels())


@pytest.fixture
def lines(process: Callable[..., KaaProcess]) -> tuple[KaaProcess, Callable[[], list[dict[str, Any]]]]:
    server = process(config={"log": {"level": "debug", "format": "json"}}).start()
    return server, lambda: [json.loads(line) for line in server.said.splitlines() if line.startswith("{")]


async def test_the_life_of_a_message_can_be_followed_by_its_correlation_id(lines) -> None:
    server, said = lines
    async with server.visited() as place:
        good = await place.rest.thing()
        wire = Wire(place.mqtt)
        await wire.open()
        await wire.answer(good.topic(request_id=1), b'{"temperature": 21.5}')
        await wire.answer(good.topic(request_id=2), b"nonsense")
        await wire.answer(good.topic(request_id=3, extension="nobody"), b"{}")

        async def heard(event: str, **values: Any) -> dict[str, Any]:
            def found() -> Any:
                return next((one for one in said() if one["event"] == event and values.items() <= one.items()), None)

            return dict(await until(found))

        def life(correlation_id: str) -> list[str]:
            return [one["event"] for one in said() if one.get("correlation_id") == correlation_id]

        stored = await heard("message_answered", status=200, extension="dcx")
        assert life(stored["correlation_id"]) == [
            "message_received",
            "samples_told",
            "samples_received",
            "samples_committed",
            "message_answered",
        ]
        received = await heard("message_received", correlation_id=stored["correlation_id"])
        assert received["endpoint_id"] == good.endpoint_id
        refused = await heard("message_answered", status=400)
        assert life(refused["correlation_id"]) == ["message_received", "message_answered"]
        assert "JSON" in refused["reason"]
        nowhere = await heard("message_refused", extension="nobody")
        assert nowhere["correlation_id"]
        assert nowhere["status"] == 403

        await place.rest.call("GET", "/tekton/api/v1/applications", headers={"Correlation-ID": "mine"})
        asked = await heard("request_answered", correlation_id="mine")
        assert (asked["method"], asked["route"], asked["status"]) == ("GET", "/tekton/api/v1/applications", 200)
    assert good.token not in server.said
    assert "21.5" not in server.said
