"""CEX: lists and pages of commands, and tasks that make many."""

from collections.abc import Mapping, Sequence
from typing import Any

from commanding import API, Device, post, register, rows, start
from house import House, Reply
from waiting import until

from kaa.core.errors import Conflict, NotFound
from kaa.modules.cex.module import MODULE as CEX
from kaa.protocols import efmp, elce

NOW = "2025-11-24T16:00:00.000Z"
BATCH = f"{API}/endpoints/commands/switch/batch"
TASKS = f"{API}/endpoints/commands/batch/tasks"


def numbers(commands: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    return [(one["endpointId"], one["commandType"], one["commandId"]) for one in commands]


async def fill(house: House) -> Device:
    device = await start(house)
    for endpoint, type_ in (("dev-1", "switch"), ("dev-1", "reboot"), ("dev-2", "switch"), ("tree-1", "water")):
        await post(house, type_, endpoint=endpoint, body=type_, awaitTimeout=0)
        await house.clock.advance(1_000)
    await post(house, awaitTimeout=0)
    await device.done(1)
    return device


class TestOfEndpoints:
    async def test_commands_are_listed_by_endpoints_youngest_first(self, house: House) -> None:
        await fill(house)
        path = f"{API}/endpoints/commands"
        found = await house.get(path, endpointId="dev-1,dev-9")
        assert [one["endpointId"] for one in found] == ["dev-1", "dev-9"]
        assert numbers(found[0]["commands"]) == [("dev-1", "switch", 2), ("dev-1", "reboot", 1), ("dev-1", "switch", 1)]
        assert (found[0]["commands"][2]["status"], found[1]["commands"]) == ("EXECUTED", [])
        reply = await house.call(
            "GET", path, params=[("endpointId", "dev-1"), ("endpointId", "dev-2"), ("commandTypes", "switch")]
        )
        assert [len(one["commands"]) for one in reply.json] == [2, 1]
        assert len((await house.get(path, endpointId="dev-1", limit=1))[0]["commands"]) == 1
        for params in ({}, {"endpointId": "dev-1", "limit": "0"}):
            assert (await house.call("GET", path, params=params)).status == 400

    async def test_the_last_of_each_type_is_listed(self, house: House) -> None:
        await fill(house)
        path = f"{API}/endpoints/commands/last"
        body = {"endpointIds": ["dev-1", "dev-2", "dev-9"], "commandTypes": ["switch"]}
        found = (await house.call("POST", path, body)).json
        assert numbers(found) == [("dev-1", "switch", 2), ("dev-2", "switch", 1)]
        found = (await house.call("POST", path, {"endpointIds": ["dev-1"]})).json
        assert numbers(found) == [("dev-1", "reboot", 1), ("dev-1", "switch", 2)]
        many = {"endpointIds": [f"none-{n}" for n in range(120)]}
        assert (await house.call("POST", path, many)).json == []
        mixed = {"endpointIds": ["dev-2", *many["endpointIds"], "dev-1"]}
        assert len((await house.call("POST", path, mixed)).json) == 3
        for bad in ({}, {"endpointIds": []}, {"endpointIds": "dev-1"}, [], {"endpointIds": ["x"] * 1001}):
            assert (await house.call("POST", path, bad)).status == 400


class TestPages:
    async def test_a_page_has_the_shape_that_clients_know(self, house: House) -> None:
        await fill(house)
        page = await house.get(f"{API}/endpoints/commands/home", size=3)
        assert numbers(page.pop("content")) == [("dev-1", "switch", 2), ("dev-2", "switch", 1), ("dev-1", "reboot", 1)]
        unsorted = {"sorted": False, "unsorted": True, "empty": True}
        pageable = {"sort": unsorted, "offset": 0, "pageNumber": 0, "pageSize": 3, "paged": True, "unpaged": False}
        assert page == {
            "pageable": pageable,
            "totalElements": 4,
            "totalPages": 2,
            "last": False,
            "first": True,
            "sort": unsorted,
            "number": 0,
            "size": 3,
            "numberOfElements": 3,
            "empty": False,
        }
        page = await house.get(f"{API}/endpoints/commands/home", size=3, page=1)
        assert (len(page["content"]), page["last"], page["first"], page["pageable"]["offset"]) == (1, True, False, 3)
        page = await house.get(f"{API}/endpoints/commands/home", page=9)
        assert (page["content"], page["empty"], page["totalElements"]) == ([], True, 4)
        page = await house.get(f"{API}/endpoints/commands/garden", commandTypes="none")
        assert (page["content"], page["totalPages"], page["last"]) == ([], 0, True)

    async def test_it_is_sorted_as_it_is_asked_for(self, house: House) -> None:
        await fill(house)
        path = f"{API}/endpoints/commands/home"
        page = await house.get(path, sort="endpointId,desc", commandTypes="switch")
        assert numbers(page["content"]) == [("dev-2", "switch", 1), ("dev-1", "switch", 2), ("dev-1", "switch", 1)]
        assert page["sort"] == {"sorted": True, "unsorted": False, "empty": False}
        reply = await house.call("GET", path, params=[("sort", "commandType"), ("sort", "createdAt,asc")])
        assert numbers(reply.json["content"])[:2] == [("dev-1", "reboot", 1), ("dev-1", "switch", 1)]
        page = await house.get(path, sort="updatedAt,desc")
        assert page["content"][0]["commandId"] == 2

    async def test_what_makes_no_sense_is_refused(self, house: House) -> None:
        await fill(house)
        path = f"{API}/endpoints/commands"
        assert (await house.call("GET", f"{path}/nowhere")).status == 404
        for params in ({"sort": "payload"}, {"size": "0"}, {"size": "1001"}, {"page": "-1"}):
            assert (await house.call("GET", f"{path}/home", params=params)).status == 400

    async def test_an_application_may_be_called_like_a_part_of_another_path(self, house: House) -> None:
        await register(house, {"dev-1": "last-v1"})
        await house.start(CEX, applications={"last": ["last-v1"], "batch": []})
        await post(house, awaitTimeout=0)
        assert (await house.get(f"{API}/endpoints/commands/last"))["totalElements"] == 1
        assert (await house.get(f"{API}/endpoints/commands/batch"))["totalElements"] == 0


class TestTasks:
    async def test_a_command_for_many_endpoints_is_a_task(self, house: House) -> None:
        device = await start(house)
        task_id = await by_endpoints(house, ["dev-1", "dev-2", "dev-1"], payload={"on": 1})
        await until(lambda: len(device.pushes) == 2)
        assert device.pushes[1] == ("dev-2", "home-v1", "/command/switch", [{"id": 1, "payload": {"on": 1}}])
        assert await house.get(TASKS, appName="home") == {
            "totalElements": 1,
            "content": [
                {
                    "taskId": task_id,
                    "filterId": None,
                    "commandType": "switch",
                    "createdAt": NOW,
                    "pendingCount": 2,
                    "executedCount": 0,
                    "expiredCount": 0,
                    "requestPayload": {"on": 1},
                }
            ],
        }
        await device.done(1)
        await house.clock.advance(60_200)
        await until(lambda: _is_counted(house, executedCount=1, expiredCount=1, pendingCount=0))
        assert await house.get(f"{TASKS}/{task_id}", appName="home") == {
            "executed": [{"endpointId": "dev-1", "commandId": 1}],
            "expired": [{"endpointId": "dev-2", "commandId": 1}],
            "pending": [],
        }

    async def test_it_may_be_pushed_once_or_later_and_text(self, house: House) -> None:
        device = await start(house)
        await by_endpoints(house, ["dev-1"], payload="ls", payloadContentType="text/plain", params={"commandTtl": 0})
        await until(lambda: device.pushes)
        assert await device.ask() == []
        later = {"deliverAt": "2025-11-24T16:01:00Z"}
        await by_endpoints(house, ["dev-1", "dev-2"], params=later)
        await house.clock.advance(59_000)
        assert (await device.ask(), len(device.pushes)) == ([], 1)
        await house.clock.advance(1_200)
        await until(lambda: len(device.pushes) == 3)
        assert device.pushes[1] == ("dev-1", "home-v1", "/command/switch", [{"id": 2}])

    async def test_what_cannot_be_is_refused_as_a_whole(self, house: House) -> None:
        await start(house)
        for body, status, sentence in (
            ({"endpointIds": ["dev-1", "dev-9"]}, 404, "there is no endpoint 'dev-9'"),
            ({"endpointIds": ["dev-1", "tree-1"]}, 400, "several applications: garden, home"),
            ({"endpointIds": []}, 400, "body.endpointIds"),
            ({}, 400, "body.endpointIds"),
            ({"endpointIds": ["dev-1"], "payload": 1, "payloadContentType": "text/plain"}, 400, "body.payload"),
            ({"endpointIds": ["dev-1"], "payloadContentType": "text/html"}, 400, "body.payloadContentType"),
            ({"endpointIds": ["x"] * 10_001}, 400, "body.endpointIds"),
            ({"endpointIds": ["dev-1"], "payload": "x" * 70_000}, 413, "the payload"),
        ):
            reply = await house.call("POST", f"{BATCH}/by-endpoints", body)
            assert (reply.status, sentence in reply.message) == (status, True), reply.message
        assert await rows(house, "select count(*) from cex_task") == [(0,)]

    async def test_an_endpoint_that_has_too_many_outstanding_is_left_out_and_shown(self, house: House) -> None:
        device = await start(house, max_outstanding=1)
        await post(house, awaitTimeout=0)
        task_id = await by_endpoints(house, ["dev-1", "dev-2"])
        await until(lambda: len(device.pushes) == 2)
        found = await house.get(f"{TASKS}/{task_id}", appName="home")
        assert (found["expired"], found["pending"]) == (
            [{"endpointId": "dev-1", "commandId": 2}],
            [{"endpointId": "dev-2", "commandId": 1}],
        )
        found = await house.get(f"{API}/endpoints/dev-1/commands/switch/2")
        assert (found["status"], found["statusCode"]) == ("EXPIRED", 429)

    async def test_the_endpoints_of_a_filter_get_it(self, house: House) -> None:
        device = await start(house)
        await filters(house, {"cold": {"home-v1": ("dev-1", "dev-2", "gone")}, "empty": {}})
        reply = await house.call("POST", f"{BATCH}/by-filter", 7, params={"filterId": "cold"})
        assert reply.status == 200
        await until(lambda: len(device.pushes) == 2)
        page = await house.get(TASKS, appName="home", filterId="cold")
        assert (page["totalElements"], page["content"][0]["filterId"]) == (1, "cold")
        assert page["content"][0]["pendingCount"] == 2
        reply = await house.call("POST", f"{BATCH}/by-filter", params={"filterId": "empty"})
        found = await house.get(f"{TASKS}/{reply.json['taskId']}", appName="home")
        assert found == {"executed": [], "expired": [], "pending": []}
        for name, status in (("pending", 409), ("none", 404), (None, 400)):
            params = {} if name is None else {"filterId": name}
            assert (await house.call("POST", f"{BATCH}/by-filter", params=params)).status == status

    async def test_a_large_task_goes_on_after_a_restart_without_those_that_are_gone(self, house: House) -> None:
        ids = {f"dev-{n:04}": "home-v1" for n in range(2_500)}
        device = await start(house, endpoints=ids)
        answer = house.register.on_find
        asked = 0

        async def fails_after_a_while(request: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked > 4:
                raise Conflict("not now")
            return await answer(request)

        house.register.answer = fails_after_a_while
        task_id = await by_endpoints(house, list(ids), payload=1)
        await until(lambda: len(device.pushes) == 1_000)
        await until(lambda: asked > 4)
        assert await _is_counted(house, pendingCount=2_500)
        await house.restart()
        del ids["dev-2400"]
        device = await start(house, endpoints=ids)
        await until(lambda: len(device.pushes) == 1_499)
        assert await _is_counted(house, pendingCount=2_499)
        found = await house.get(f"{TASKS}/{task_id}", appName="home")
        assert len(found["pending"]) == 2_499
        assert await rows(house, "select left_count, length(left_endpoints) from cex_task") == [(0, 2)]

    async def test_tasks_are_listed_narrowed_and_sorted(self, house: House) -> None:
        await start(house)
        await by_endpoints(house, ["dev-1"])
        await house.clock.advance(1)
        await by_endpoints(house, ["dev-2"], type_="alarm")
        await by_endpoints(house, ["tree-1"])

        async def types(**params: Any) -> list[str]:
            return [one["commandType"] for one in (await house.get(TASKS, appName="home", **params))["content"]]

        assert await types() == ["alarm", "switch"]
        assert await types(sortOrder="ASC") == ["switch", "alarm"]
        assert await types(sortBy="commandType", sortOrder="ASC") == ["alarm", "switch"]
        assert await types(commandType="switch") == ["switch"]
        assert await types(offset=1, limit=1) == ["switch"]
        assert await types(filterId="none") == []
        for params in ({}, {"appName": "home", "sortBy": "x"}, {"appName": "home", "sortOrder": "UP"}):
            assert (await house.call("GET", TASKS, params=params)).status == 400
        assert (await house.call("GET", TASKS, params={"appName": "none"})).status == 404

    async def test_a_task_is_found_in_its_application_only(self, house: House) -> None:
        await start(house)
        task_id = await by_endpoints(house, ["dev-1"])
        for path, app in ((task_id, "garden"), ("none", "home")):
            assert (await house.call("GET", f"{TASKS}/{path}", params={"appName": app})).status == 404
        assert (await house.call("GET", f"{TASKS}/{task_id}")).status == 400

    async def test_an_old_task_goes_with_its_last_command(self, house: House) -> None:
        device = await start(house)
        await by_endpoints(house, ["dev-1"])
        await device.done(1)
        house.clock.set(house.clock.now_ms() + 31 * 86_400_000)
        await house.clock.advance(1)
        await until(lambda: _is_empty(house))

    async def test_a_command_for_one_that_connects_later_is_pushed_then(self, house: House) -> None:
        device = await start(house)
        await by_endpoints(house, ["dev-1", "dev-2"])
        await until(lambda: len(device.pushes) == 2)
        house.publish(elce.connected("kpc"), endpoints={"dev-2": "home-v2"})
        await until(lambda: len(device.pushes) == 3)
        assert device.pushes[2] == ("dev-2", "home-v2", "/command/switch", [{"id": 1}])


async def by_endpoints(
    house: House, ids: Sequence[str], *, type_: str = "switch", params: Any = None, **body: Any
) -> str:
    path = f"{API}/endpoints/commands/{type_}/batch/by-endpoints"
    reply: Reply = await house.call("POST", path, {"endpointIds": list(ids), **body}, params=params)
    assert reply.status == 200, reply
    return str(reply.json["taskId"])


async def filters(house: House, known: Mapping[str, Mapping[str, tuple[str, ...]]]) -> None:
    """Stand for the filters of the register."""

    async def on_request(request: efmp.EndpointListByFilterRequest) -> efmp.EndpointListByFilterResponse:
        if request.filter_id == "pending":
            raise Conflict("the filter is pending")
        if request.filter_id not in known:
            raise NotFound("there is no such filter")
        return efmp.EndpointListByFilterResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=house.clock.now_ms(),
            filter_id=request.filter_id,
            app_versions_to_endpoints=known[request.filter_id],
            status_code=200,
        )

    await house._stack.enter_async_context(
        house.bus.subscribe(efmp.endpoints_by_filter("epr"), on_request, queue="epr")
    )


async def _is_counted(house: House, **counts: int) -> bool:
    task = (await house.get(TASKS, appName="home"))["content"][0]
    return {name: task[name] for name in counts} == counts


async def _is_empty(house: House) -> bool:
    tables = ("cex_task", "cex_command")
    return [await rows(house, f"select count(*) from {table}") for table in tables] == [[(0,)], [(0,)]]
