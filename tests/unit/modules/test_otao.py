"""OTAO: what endpoints are offered, and what is known of them."""

from typing import Any

import pytest
from fakes.clock import START_MS
from firmware import API, Orchestra, content
from house import House
from waiting import until

from kaa.protocols import cdtp, efe, x_configurations
from kaa.protocols.x_outbox import event_processed

NOW = "2025-11-24T16:00:00.000Z"
LATER = "2025-11-24T16:00:05.000Z"


@pytest.fixture
async def ota(house: House) -> Orchestra:
    return await Orchestra(house).open()


class TestAsking:
    async def test_an_endpoint_is_offered_what_may_be_installed_over_its_version(self, ota: Orchestra) -> None:
        await ota.make("1.0.1", "1.0.0")
        reply = await ota.ask("dev-1", "1.0.0")
        assert (reply.status_code, reply.config_id, reply.content_type) == (200, "1.0.1", "application/json")
        assert content(reply) == {"link": "https://files.example/1.0.1"}

    async def test_one_with_nothing_to_install_is_told_so_by_nothing(self, ota: Orchestra) -> None:
        await ota.make("1.0.1", "1.0.0")
        for running in ("1.0.1", "0.9.0", "not-a-version", None):
            reply = await ota.ask(f"dev-{running}", running)
            assert (reply.status_code, reply.config_id, reply.content) == (200, None, None)

    async def test_one_whose_version_is_not_known_is_offered_nothing(self, ota: Orchestra) -> None:
        await ota.make("1.0.0")
        assert await ota.offer("dev-1") is None
        assert await ota.offer("dev-1", "") is None
        assert await ota.status("dev-1") is None

    async def test_the_greatest_version_wins(self, ota: Orchestra) -> None:
        for version in ("1.1.0", "1.10.0", "1.9.0", "1.11.0-rc.1", "1.10.0-rc.9"):
            await ota.make(version, "1.0.0")
        assert await ota.offer("dev-1", "1.0.0") == "1.11.0-rc.1"
        await ota.make("1.11.0", "1.0.0")
        assert await ota.offer("dev-1", "1.0.0") == "1.11.0"

    async def test_a_version_said_once_is_remembered(self, ota: Orchestra) -> None:
        await ota.make("1.0.1", "1.0.0")
        assert await ota.offer("dev-1", "1.0.0") == "1.0.1"
        assert await ota.offer("dev-1") == "1.0.1"
        assert await ota.offer("dev-1", "1.0.1") is None
        assert await ota.offer("dev-1") is None

    async def test_build_metadata_does_not_count(self, ota: Orchestra) -> None:
        await ota.make("1.0.1+build.9", "1.0.0+build.1")
        assert await ota.offer("dev-1", "1.0.0+ci.7") == "1.0.1+build.9"
        assert await ota.offer("dev-2", "1.0.0") == "1.0.1+build.9"
        assert await ota.offer("dev-3", "1.0.1") is None

    async def test_several_hops_are_one_report_at_a_time(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.1.0")
        assert await ota.offer("dev-1", "1.0.0") == "1.1.0"
        assert await ota.offer("dev-1", "1.1.0") == "1.2.0"
        assert await ota.offer("dev-1", "1.2.0") is None

    async def test_a_suspended_version_is_offered_to_nobody(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.0.0", rolloutStrategy="suspended")
        assert await ota.offer("dev-1", "1.0.0") == "1.1.0"

    async def test_what_cannot_be_asked_is_refused(self, ota: Orchestra) -> None:
        for fields, status in (
            ({"app_version_name": "nowhere-v1"}, 404),
            ({"config_name": "other"}, 404),
            ({"config_id": "1" * 300}, 400),
        ):
            reply = await ota.ask("dev-1", **fields)
            assert (reply.status_code, reply.config_id, reply.content) == (status, None, None)
            assert reply.reason_phrase
        assert (await ota.ask("dev-1", config_name="default")).status_code == 200

    async def test_many_that_ask_at_once_get_their_own_answers(self, ota: Orchestra) -> None:
        await ota.make("1.0.1", "1.0.0")
        await ota.make("2.0.1", "2.0.0")
        asked = [
            cdtp.ConfigRequest(
                correlation_id=f"q{n}",
                timestamp_ms=START_MS,
                app_version_name="home-v1",
                endpoint_id=f"dev-{n % 50}",
                config_id="1.0.0" if n % 2 else "2.0.0",
            )
            for n in range(100)
        ]
        answers: list[Any] = []
        for one in asked:
            ota.house.tasks.spawn(_ask(ota, one, answers), name="asks")
        await until(lambda: len(answers) == 100)
        assert {(a.correlation_id, a.config_id) for a in answers} == {
            (one.correlation_id, "1.0.1" if one.config_id == "1.0.0" else "2.0.1") for one in asked
        }

    async def test_what_many_are_to_have_is_told_without_content(self, ota: Orchestra) -> None:
        await ota.make("1.0.1", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        await ota.runs("dev-2", "1.0.1")
        found = await ota.effective(
            ("dev-1", None), ("dev-2", None), ("dev-2", "1.0.0"), ("dev-3", "1.0.0"), ("dev-4", None), ("dev-5", "")
        )
        assert found == {"dev-1": "1.0.1", "dev-2": "1.0.1", "dev-3": "1.0.1"}
        assert await ota.effective(("dev-1", "1.0.1")) == {}
        assert await ota.status("dev-3") is None  # a preview is no report

    async def test_more_than_can_be_told_is_refused(self, ota: Orchestra) -> None:
        one = x_configurations.EndpointVersion(endpoint_id="dev-1", app_version_name="home-v1")
        subject = x_configurations.effective_configurations("otao")
        assert (await ota.house.request(subject, endpoints=(one,) * 1001)).status_code == 400

    async def test_whatever_there_is_is_the_default_configuration(self, ota: Orchestra) -> None:
        reply = await ota.house.request(x_configurations.configuration_names("otao"), config_ids=("1.0.0",))
        assert (reply.status_code, reply.names) == (200, {})


async def _ask(ota: Orchestra, one: Any, answers: list[Any]) -> None:
    answers.append(await ota.house.bus.request(cdtp.configuration("otao"), one))


class TestReports:
    async def test_a_report_is_followed_by_what_is_due_next(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.1.0")
        await ota.runs("dev-1", "1.0.0")
        assert await ota.pushes() == [("dev-1", "1.1.0")]
        assert content(ota.pushed[0]) == {"link": "https://files.example/1.1.0"}
        assert ota.pushed[0].app_version_name == "home-v1"
        await ota.runs("dev-1", "1.1.0")
        assert await ota.pushes() == [("dev-1", "1.1.0"), ("dev-1", "1.2.0")]
        await ota.runs("dev-1", "1.2.0")
        assert len(await ota.pushes()) == 2

    async def test_a_report_of_the_same_version_is_answered_again(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        ota.applied("dev-1", "1.0.0")
        assert len(await ota.pushes()) == 2

    async def test_the_same_report_again_is_not(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        for _ in range(3):
            await ota.runs("dev-1", "1.0.0", correlation_id="one")
        assert await ota.pushes() == [("dev-1", "1.1.0")]

    async def test_one_that_comes_late_takes_nothing_back(self, ota: Orchestra) -> None:
        await ota.runs("dev-1", "1.1.0", timestamp_ms=START_MS)
        ota.applied("dev-1", "1.0.0", timestamp_ms=START_MS - 1)
        ota.applied("dev-1", "1.5.0", code=500, timestamp_ms=START_MS - 1)
        await ota.is_idle()
        assert (await ota.has("dev-1", version="1.1.0"))["status"] == "APPLIED"

    async def test_one_that_belongs_to_a_request_is_not_answered_twice(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0", reason="Implicitly applied")
        assert await ota.offer("dev-1", "1.0.0") == "1.1.0"
        await ota.runs("dev-1", "1.0.0", reason="Implicitly applied")
        assert await ota.pushes() == []

    async def test_a_failure_is_seen_and_not_offered_again_at_once(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        await ota.has("dev-1", offeredVersion="1.1.0")
        await ota.is_idle()
        await ota.house.clock.advance(5_000)
        ota.applied("dev-1", "1.1.0", code=500, reason="no room")
        status = await ota.has("dev-1", status="FAILED")
        assert status == {
            "endpointId": "dev-1",
            "appVersionName": "home-v1",
            "version": "1.0.0",
            "versionDate": NOW,
            "previousVersion": None,
            "offeredVersion": "1.1.0",
            "offeredDate": NOW,
            "status": "FAILED",
            "lastResult": {"version": "1.1.0", "statusCode": 500, "reasonPhrase": "no room", "date": LATER},
        }
        ota.applied("dev-1", "1.0.0")  # it says so after each start, and would try again for ever
        assert len(await ota.pushes()) == 1
        assert (await ota.has("dev-1", version="1.0.0"))["status"] == "FAILED"
        assert await ota.effective(("dev-1", None)) == {"dev-1": "1.1.0"}  # but when it connects
        assert await ota.offer("dev-1") == "1.1.0"  # or asks

    async def test_a_failure_counts_until_something_better_is_offered(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        ota.applied("dev-1", "1.1.0", code=500)
        await ota.has("dev-1", status="FAILED")
        await ota.make("1.1.1", "1.0.0")
        await ota.has("dev-1", status="OFFERED", offeredVersion="1.1.1")
        assert (await ota.pushes())[-1] == ("dev-1", "1.1.1")
        await ota.runs("dev-1", "1.1.1")
        status = await ota.has("dev-1", status="APPLIED", offeredVersion=None, offeredDate=None)
        assert status["previousVersion"] == "1.0.0"
        assert status["lastResult"]["statusCode"] == 200

    async def test_a_failure_of_one_that_never_said_what_it_runs_is_kept(self, ota: Orchestra) -> None:
        ota.applied("dev-1", "1.1.0", code=404)
        status = await ota.has("dev-1", status="FAILED")
        assert (status["version"], status["offeredVersion"]) == (None, None)

    async def test_one_without_a_version_or_from_nowhere_is_refused_for_good(self, ota: Orchestra) -> None:
        replies: list[Any] = []

        async def on_reply(reply: Any) -> None:
            replies.append(reply)

        reply_to = event_processed("test")
        await ota.house._stack.enter_async_context(ota.house.bus.subscribe(reply_to, on_reply, queue="test"))
        subject = cdtp.config_applied("cmx_ota")
        for fields in ({"config_id": ""}, {"config_id": "1" * 300}, {"config_id": "1", "app_version_name": "x"}):
            known = {"endpoint_id": "dev-1", "app_version_name": "home-v1"}
            ota.house.bus.publish(subject, ota.house.message(subject, **(known | fields)), reply_to=reply_to)
        await until(lambda: len(replies) == 3)
        assert sorted(reply.status_code for reply in replies) == [400, 400, 404]
        assert {reply.receiver_service_instance_name for reply in replies} == {"otao"}
        assert await ota.status("dev-1") is None

    async def test_one_that_cannot_be_decided_now_is_to_be_told_again(self, ota: Orchestra) -> None:
        replies: list[Any] = []

        async def on_reply(reply: Any) -> None:
            replies.append(reply)

        reply_to = event_processed("test")
        await ota.house._stack.enter_async_context(ota.house.bus.subscribe(reply_to, on_reply, queue="test"))
        ota.register.members, ota.register.status = {"pilot": {"dev-1"}}, 503
        await ota.make("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "pilot"}])
        subject = cdtp.config_applied("cmx_ota")
        message = ota.house.message(subject, endpoint_id="dev-1", app_version_name="home-v1", config_id="1.0.0")
        for status in (503, 200):
            ota.house.bus.publish(subject, message, reply_to=reply_to)
            await until(lambda: replies)
            assert replies.pop().status_code == status
            ota.register.status = 200
        assert await ota.pushes() == [("dev-1", "1.1.0")]

    async def test_what_is_no_version_is_shown_and_leads_nowhere(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "factory")
        assert await ota.offer("dev-1") is None
        await ota.runs("dev-1", "1.0.0")
        assert await ota.pushes() == [("dev-1", "1.1.0")]

    async def test_what_was_reported_and_offered_outlives_a_restart(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        await ota.is_idle()
        before = await ota.status("dev-1")
        again = await ota.restart()
        assert await again.status("dev-1") == before
        assert await again.offer("dev-1") == "1.1.0"
        assert await again.pushes() == []


class TestFilters:
    TARGETED = {"rolloutStrategy": "targeted", "filters": [{"filterId": "pilot"}, {"filterId": "staff"}]}

    async def test_only_those_that_match_are_offered_a_targeted_version(self, ota: Orchestra) -> None:
        ota.register.members = {"pilot": {"dev-1"}, "staff": {"dev-2"}, "other": {"dev-3"}}
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.0.0", **self.TARGETED)
        assert await ota.offer("dev-1", "1.0.0") == "1.2.0"
        assert await ota.offer("dev-2", "1.0.0") == "1.2.0"
        assert await ota.offer("dev-3", "1.0.0") == "1.1.0"

    async def test_one_without_filters_is_offered_to_nobody(self, ota: Orchestra) -> None:
        await ota.make("1.2.0", "1.0.0", rolloutStrategy="targeted")
        assert await ota.offer("dev-1", "1.0.0") is None
        assert ota.register.asked == []

    async def test_the_register_is_asked_only_where_filters_have_a_say_and_once(self, ota: Orchestra) -> None:
        ota.register.members = {"pilot": {"dev-1"}}
        await ota.make("1.2.0", "1.1.0", **self.TARGETED)
        await ota.make("1.1.0", "1.0.0")
        assert await ota.offer("dev-1", "1.0.0") == "1.1.0"
        assert ota.register.asked == []
        for _ in range(3):
            assert await ota.offer("dev-1", "1.1.0") == "1.2.0"
        assert ota.register.asked == ["filters of dev-1"]

    async def test_a_match_is_pushed(self, ota: Orchestra) -> None:
        await ota.make("1.2.0", "1.0.0", **self.TARGETED)
        await ota.runs("dev-1", "1.0.0")
        await ota.runs("dev-2", "1.0.0")
        ota.register.matched("dev-1", "pilot")
        await ota.has("dev-1", offeredVersion="1.2.0")
        ota.register.matched("dev-1", "staff")
        assert await ota.pushes() == [("dev-1", "1.2.0")]
        assert await ota.offer("dev-1") == "1.2.0"

    async def test_one_that_matches_no_longer_is_offered_it_no_longer(self, ota: Orchestra) -> None:
        ota.register.members = {"pilot": {"dev-1"}}
        await ota.make("1.2.0", "1.0.0", **self.TARGETED)
        await ota.runs("dev-1", "1.0.0")
        await ota.has("dev-1", offeredVersion="1.2.0")
        ota.register.unmatched("dev-1", "pilot")
        await ota.has("dev-1", offeredVersion=None, status="APPLIED")
        assert await ota.offer("dev-1") is None

    async def test_an_event_that_is_told_again_or_too_late_does_no_harm(self, ota: Orchestra) -> None:
        ota.register.members = {"pilot": {"dev-1"}}
        await ota.make("1.2.0", "1.0.0", **self.TARGETED)
        await ota.runs("dev-1", "1.0.0")
        ota.register.unmatched("dev-1", "pilot")
        await ota.has("dev-1", offeredVersion=None)
        ota.register._tell(efe.endpoint_matched, "pilot", "dev-1")  # of a time that is over
        await ota.is_idle()
        assert (await ota.status("dev-1"))["offeredVersion"] is None
        assert await ota.offer("dev-1") is None

    async def test_members_of_a_filter_that_becomes_active_are_told(self, ota: Orchestra) -> None:
        await ota.make("1.2.0", "1.0.0", **self.TARGETED)
        for name in ("dev-1", "dev-2", "dev-3"):
            await ota.runs(name, "1.0.0")
        ota.register.members = {"pilot": {"dev-1", "dev-2"}}
        ota.register.tell_filter(efe.filter_pending, "pilot")
        ota.register.tell_filter(efe.filter_activated, "pilot")
        await ota.has("dev-2", offeredVersion="1.2.0")
        assert sorted(await ota.pushes()) == [("dev-1", "1.2.0"), ("dev-2", "1.2.0")]

    async def test_those_of_a_filter_that_is_gone_are_offered_nothing_more(self, ota: Orchestra) -> None:
        ota.register.members = {"pilot": {"dev-1"}}
        await ota.make("1.2.0", "1.0.0", **self.TARGETED)
        await ota.runs("dev-1", "1.0.0")
        ota.register.members = {}
        ota.register.tell_filter(efe.filter_deleted, "pilot")
        await ota.has("dev-1", offeredVersion=None)

    async def test_filters_that_nobody_uses_are_not_looked_at(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        ota.register.matched("dev-1", "other")
        ota.register.tell_filter(efe.filter_activated, "other")
        await ota.is_idle()
        assert ota.register.asked == []

    async def test_while_the_register_is_away_those_it_decides_wait_and_others_do_not(self, ota: Orchestra) -> None:
        ota.register.members, ota.register.status = {"pilot": {"dev-1"}}, 503
        await ota.make("1.2.0", "1.0.0", **self.TARGETED)
        await ota.make("2.1.0", "2.0.0")
        assert (await ota.ask("dev-1", "1.0.0")).status_code == 503
        assert await ota.offer("dev-2", "2.0.0") == "2.1.0"
        assert await ota.status("dev-1") is None
        ota.register.status = 200
        assert await ota.offer("dev-1", "1.0.0") == "1.2.0"


class TestCompatibility:
    async def test_one_that_does_not_fit_is_never_offered_it(self, ota: Orchestra) -> None:
        ota.register.metadata = {"dev-1": {"hardware": "B"}, "dev-2": {"hardware": "A"}}
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.0.0", compatibleWith={"metadata.hardware": "B"})
        assert await ota.offer("dev-1", "1.0.0") == "1.2.0"
        assert await ota.offer("dev-2", "1.0.0") == "1.1.0"
        assert await ota.offer("dev-3", "1.0.0") == "1.1.0"  # nobody knows it
        assert await ota.effective(("dev-1", None), ("dev-2", None)) == {"dev-1": "1.2.0", "dev-2": "1.1.0"}

    async def test_metadata_that_make_it_fit_make_it_due(self, ota: Orchestra) -> None:
        ota.register.metadata = {"dev-1": {"hardware": "A"}}
        await ota.make("1.2.0", "1.0.0", compatibleWith={"metadata.hardware": "B"})
        await ota.runs("dev-1", "1.0.0")
        assert await ota.pushes() == []
        ota.register.set_metadata("dev-1", {"hardware": "B"})
        await ota.has("dev-1", offeredVersion="1.2.0")
        ota.register.set_metadata("dev-1", {"hardware": "B", "colour": "red"})
        assert await ota.pushes() == [("dev-1", "1.2.0")]
        ota.register.set_metadata("dev-1", {"hardware": "C"})
        await ota.has("dev-1", offeredVersion=None)

    async def test_the_application_version_counts_too(self, ota: Orchestra) -> None:
        ota.register.metadata = {"dev-1": {}}
        await ota.make("1.2.0", "1.0.0", compatibleWith={"application_version": "home-v2"})
        await ota.runs("dev-1", "1.0.0")
        ota.register.moved("dev-1", "home-v2")
        await ota.has("dev-1", offeredVersion="1.2.0", appVersionName="home-v2")
        await ota.is_idle()
        assert [event.app_version_name for event in ota.pushed] == ["home-v2"]

    async def test_filter_and_metadata_count_together(self, ota: Orchestra) -> None:
        ota.register.members = {"pilot": {"dev-1", "dev-2"}}
        ota.register.metadata = {"dev-1": {"hardware": "B"}, "dev-2": {"hardware": "A"}, "dev-3": {"hardware": "B"}}
        await ota.make(
            "1.2.0",
            "1.0.0",
            rolloutStrategy="targeted",
            filters=[{"filterId": "pilot"}],
            compatibleWith={"metadata.hardware": "B"},
        )
        assert [await ota.offer(f"dev-{n}", "1.0.0") for n in (1, 2, 3)] == ["1.2.0", None, None]

    async def test_the_matrix_counts_endpoints_by_value_and_version(self, ota: Orchestra) -> None:
        ota.register.metadata = {
            "dev-1": {"hardware": "B"},
            "dev-2": {"hardware": "B"},
            "dev-3": {"hardware": 7},
            "dev-4": {"colour": "red"},
        }
        await ota.make("1.1.0", "1.0.0")
        for name, version in (("dev-1", "1.0.0"), ("dev-2", "1.1.0"), ("dev-3", "1.1.0"), ("dev-4", "1.1.0+x")):
            await ota.runs(name, version)
        await ota.runs("dev-5", "1.1.0")  # the register knows nothing of it
        assert await ota.house.get(f"{API}/compatibility", key="hardware") == {
            "key": "hardware",
            "versions": ["1.1.0", "1.0.0"],
            "values": [
                {"value": "B", "endpoints": {"1.1.0": 1, "1.0.0": 1}},
                {"value": 7, "endpoints": {"1.1.0": 1, "1.0.0": 0}},
                {"value": None, "endpoints": {"1.1.0": 1, "1.0.0": 0}},
            ],
        }

    async def test_the_matrix_needs_a_key_and_the_register(self, ota: Orchestra) -> None:
        ota.register.metadata = {"dev-1": {}}
        await ota.runs("dev-1", "1.0.0")
        assert (await ota.house.call("GET", f"{API}/compatibility")).status == 400
        assert (await ota.house.call("GET", f"{API}/compatibility", params={"key": "a.b"})).status == 400
        ota.register.status = 503
        assert (await ota.house.call("GET", f"{API}/compatibility", params={"key": "a"})).status == 503


class TestEndpoints:
    async def test_one_that_is_unregistered_is_forgotten(self, ota: Orchestra) -> None:
        await ota.runs("dev-1", "1.0.0")
        ota.register.unregistered("dev-1")
        await until(lambda: _is_gone(ota, "dev-1"))

    async def test_a_report_that_comes_after_it_does_not_bring_it_back(self, ota: Orchestra) -> None:
        ota.register.unregistered("dev-1")
        await ota.is_idle()
        ota.applied("dev-1", "1.0.0", timestamp_ms=START_MS - 5)
        await ota.is_idle()
        assert await ota.status("dev-1") is None

    async def test_one_that_is_registered_anew_keeps_what_it_said_since(self, ota: Orchestra) -> None:
        await ota.runs("dev-1", "1.0.0", timestamp_ms=START_MS + 5)
        for _ in range(2):
            ota.register.unregistered("dev-1", at_ms=START_MS)
        await ota.is_idle()
        await ota.has("dev-1", version="1.0.0")

    async def test_another_version_of_its_application_leaves_what_it_runs(self, ota: Orchestra) -> None:
        await ota.runs("dev-1", "1.0.0")
        ota.register.moved("dev-1", "home-v2")
        assert (await ota.has("dev-1", appVersionName="home-v2"))["version"] == "1.0.0"

    async def test_an_id_that_comes_back_in_another_application_begins_anew(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        ota.applied("dev-1", "1.0.0", app_version_name="garden-v1")
        await until(lambda: _is_gone(ota, "dev-1"))
        found = await ota.house.get(API.replace("home", "garden") + "/statuses")
        assert [(one["endpointId"], one["offeredVersion"]) for one in found["content"]] == [("dev-1", None)]

    async def test_statuses_are_paged_and_filtered(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        for n in range(4):
            await ota.runs(f"dev-{n}", "1.0.0")
        await ota.runs("dev-4", "1.1.0")
        ota.applied("dev-0", "1.1.0", code=400)
        await ota.has("dev-0", status="FAILED")

        async def ids(**params: Any) -> tuple[list[str], int]:
            page = await ota.house.get(f"{API}/statuses", **params)
            return [one["endpointId"][4:] for one in page["content"]], page["totalElements"]

        assert await ids() == (["0", "1", "2", "3", "4"], 5)
        assert await ids(offset=1, limit=2) == (["1", "2"], 5)
        assert await ids(version="1.1.0") == (["4"], 1)
        assert await ids(version="1.0.0,1.1.0+x", limit=0) == ([], 5)
        assert await ids(status="OFFERED") == (["1", "2", "3"], 3)
        assert await ids(status="FAILED,APPLIED") == (["0", "4"], 2)
        assert await ids(endpointId="dev-1,dev-9") == (["1"], 1)
        assert (await ota.house.call("GET", f"{API}/statuses", params={"status": "x"})).status == 400
        many = {"endpointId": ",".join(map(str, range(1001)))}
        assert (await ota.house.call("GET", f"{API}/statuses", params=many)).status == 400
        nowhere = API.replace("home", "nowhere")
        assert (await ota.house.call("GET", f"{nowhere}/statuses")).status == 404


async def _is_gone(ota: Orchestra, endpoint_id: str) -> bool:
    return await ota.status(endpoint_id) is None


class TestPlanning:
    async def plan(self, ota: Orchestra, **body: Any) -> tuple[str, str, list[tuple[str, bool]]]:
        reply = await ota.house.call("POST", f"{API}/plan", body)
        assert reply.status == 200, reply
        shown = reply.json
        return shown["from"], shown["to"], [(hop["version"], hop["conditional"]) for hop in shown["path"]]

    async def test_the_way_is_what_would_be_offered_hop_by_hop(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.0.0", "1.1.0", rolloutStrategy="suspended")
        await ota.make("1.3.0", "1.1.0", "1.2.0")
        assert await self.plan(ota, **{"from": "1.0.0"}) == ("1.0.0", "1.3.0", [("1.1.0", False), ("1.3.0", False)])
        assert await self.plan(ota, **{"from": "1.3.0"}) == ("1.3.0", "1.3.0", [])

    async def test_what_others_decide_is_said_to_be_conditional(self, ota: Orchestra) -> None:
        ota.register.metadata = {"dev-1": {"hardware": "B"}, "dev-2": {}}
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.0.0", compatibleWith={"metadata.hardware": "B"})
        assert await self.plan(ota, **{"from": "1.0.0"}) == ("1.0.0", "1.2.0", [("1.2.0", True)])
        for name in ("dev-1", "dev-2"):
            await ota.runs(name, "1.0.0")
        assert await self.plan(ota, endpointId="dev-1") == ("1.0.0", "1.2.0", [("1.2.0", False)])
        assert await self.plan(ota, endpointId="dev-2") == ("1.0.0", "1.1.0", [("1.1.0", False)])

    async def test_what_cannot_be_planned_is_refused(self, ota: Orchestra) -> None:
        ota.applied("dev-1", "1.1.0", code=500)
        await ota.has("dev-1", status="FAILED")
        for body, status in (
            ({}, 400),
            ({"from": "1"}, 400),
            ({"endpointId": "dev-1"}, 400),
            ({"endpointId": "dev-9"}, 404),
        ):
            assert (await ota.house.call("POST", f"{API}/plan", body)).status == status
