"""OTAO: what is pushed when versions change or a date comes, and how a version is taken back."""

from typing import Any

import pytest
from firmware import API, Orchestra, content
from house import House
from waiting import until

from kaa.protocols import cdtp

DAY_MS = 86_400_000


@pytest.fixture
async def ota(house: House) -> Orchestra:
    return await Orchestra(house).open()


class TestPushing:
    async def test_a_new_version_is_pushed_to_those_that_it_may_be_installed_on_and_no_others(
        self, ota: Orchestra
    ) -> None:
        for name, version in (("dev-1", "1.0.0"), ("dev-2", "1.0.1"), ("dev-3", "0.9.0"), ("dev-4", "1.1.0")):
            await ota.runs(name, version)
        await ota.make("1.1.0", "1.0.0", "1.0.1")
        assert sorted(await ota.pushes()) == [("dev-1", "1.1.0"), ("dev-2", "1.1.0")]

    async def test_a_version_that_is_not_the_best_is_not_pushed(self, ota: Orchestra) -> None:
        await ota.runs("dev-1", "1.0.0")
        await ota.make("1.2.0", "1.0.0")
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.3.0", "1.0.0", rolloutStrategy="suspended")
        assert await ota.pushes() == [("dev-1", "1.2.0")]

    async def test_new_content_is_pushed_again_and_the_rest_is_not(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        await ota.put("1.1.0", metadata={"note": "for us"})
        await ota.put("1.1.0", upgradableFrom=["1.0.0", "0.9.0"])
        await ota.is_idle()
        assert len(ota.pushed) == 1
        await ota.put("1.1.0", specification={"link": "b"})
        await until(lambda: len(ota.pushed) == 2)
        await ota.is_idle()
        assert [content(event) for event in ota.pushed] == [{"link": "https://files.example/1.1.0"}, {"link": "b"}]

    async def test_a_version_that_is_released_is_pushed(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0", rolloutStrategy="suspended")
        await ota.runs("dev-1", "1.0.0")
        assert await ota.pushes() == []
        await ota.put("1.1.0", rolloutStrategy="general")
        await ota.has("dev-1", offeredVersion="1.1.0")
        assert await ota.pushes() == [("dev-1", "1.1.0")]

    async def test_an_offer_is_withdrawn_with_its_version(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        await ota.has("dev-1", offeredVersion="1.2.0")
        assert (await ota.house.call("DELETE", f"{API}/1.2.0")).status == 204
        await ota.has("dev-1", offeredVersion="1.1.0")
        await ota.put("1.1.0", rolloutStrategy="suspended")
        await ota.has("dev-1", offeredVersion=None, status="APPLIED")
        assert await ota.pushes() == [("dev-1", "1.2.0"), ("dev-1", "1.1.0")]

    async def test_one_that_is_narrowed_is_withdrawn_from_the_others(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0", "1.0.1")
        await ota.runs("dev-1", "1.0.0")
        await ota.put("1.1.0", upgradableFrom=["1.0.1"])
        await ota.has("dev-1", offeredVersion=None)

    async def test_many_endpoints_are_told_in_parts_and_a_filter_is_asked_for_once(self, ota: Orchestra) -> None:
        names = [f"dev-{n:03d}" for n in range(450)]
        for name in names:
            ota.applied(name, "1.0.0")
        await ota.is_idle()
        ota.register.members = {"pilot": set(names[:300])}
        await ota.make("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "pilot"}])
        await until(lambda: len(ota.pushed) >= 300)
        assert sorted(await ota.pushes()) == [(name, "1.1.0") for name in names[:300]]
        listed = [asked for asked in ota.register.asked if asked.startswith("members")]
        assert listed == ["members of pilot"]
        assert len(ota.register.asked) <= 1 + 50  # the last part is small, and asked one by one

    async def test_what_has_been_promised_is_done_after_a_restart(self, ota: Orchestra) -> None:
        ota.register.members, ota.register.status = {"pilot": {"dev-1"}}, 503
        await ota.runs("dev-1", "1.0.0")
        await ota.make("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "pilot"}])
        await until(lambda: ota.register.asked)
        assert ota.pushed == []
        again = await ota.restart()
        await again.house.clock.advance(2_000)
        await again.has("dev-1", offeredVersion="1.1.0")
        assert await again.pushes() == [("dev-1", "1.1.0")]

    async def test_it_is_tried_again_while_the_register_is_away(self, ota: Orchestra) -> None:
        ota.register.members, ota.register.status = {"pilot": {"dev-1"}}, 503
        await ota.runs("dev-1", "1.0.0")
        await ota.make("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "pilot"}])
        await until(lambda: ota.register.asked)
        ota.register.status = 200

        async def tried_again() -> bool:
            await ota.house.clock.advance(1_000)
            return bool(ota.pushed)

        await until(tried_again)
        assert set(await ota.pushes()) == {("dev-1", "1.1.0")}

    async def test_a_push_that_nobody_took_is_told_again_after_a_restart(self, house: House) -> None:
        ota = Orchestra(house)
        await house.hear(cdtp.config_updated("otao"), name="another", status=503)
        await ota.open()
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.0.0")
        again = await ota.restart()
        assert await again.pushes() == [("dev-1", "1.1.0")]

    async def test_a_report_and_a_new_version_at_once_end_in_an_offer(self, ota: Orchestra) -> None:
        for n in range(20):
            ota.applied(f"dev-{n}", "1.0.0")
            if n == 10:
                await ota.make("1.1.0", "1.0.0")
        for n in range(20):
            await ota.has(f"dev-{n}", offeredVersion="1.1.0")
        assert sorted(set(await ota.pushes())) == sorted((f"dev-{n}", "1.1.0") for n in range(20))


class TestDates:
    async def test_a_filter_opens_on_its_date(self, ota: Orchestra) -> None:
        ota.register.members = {"early": {"dev-1"}, "late": {"dev-2"}}
        filters = [
            {"filterId": "early", "rolloutDate": "2025-11-24T16:01:00Z"},
            {"filterId": "late", "rolloutDate": "2025-11-24T17:03:00+01:00"},
        ]
        await ota.make("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=filters)
        for name in ("dev-1", "dev-2", "dev-3"):
            await ota.runs(name, "1.0.0")
        await ota.house.clock.advance(59_000)
        assert await ota.offer("dev-1") is None
        assert await ota.pushes() == []
        await ota.house.clock.advance(1_000)
        await ota.has("dev-1", offeredVersion="1.1.0")
        assert await ota.pushes() == [("dev-1", "1.1.0")]
        await ota.house.clock.advance(120_000)
        await ota.has("dev-2", offeredVersion="1.1.0")
        assert await ota.pushes() == [("dev-1", "1.1.0"), ("dev-2", "1.1.0")]

    async def test_a_date_that_came_while_the_server_was_down_is_made_up_for(self, ota: Orchestra) -> None:
        ota.register.members = {"early": {"dev-1"}}
        filters = [{"filterId": "early", "rolloutDate": "2025-11-24T17:00:00Z"}]
        await ota.make("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=filters)
        await ota.runs("dev-1", "1.0.0")
        await ota.is_idle()
        await ota.house.stop()
        ota.house.clock.set(ota.house.clock.now_ms() + DAY_MS)
        await ota.house.open()
        again = Orchestra(ota.house)
        again.register.members = ota.register.members
        await again.open()
        await again.has("dev-1", offeredVersion="1.1.0")
        assert await again.pushes() == [("dev-1", "1.1.0")]

    async def test_a_date_that_is_put_forward_is_minded(self, ota: Orchestra) -> None:
        ota.register.members = {"early": {"dev-1"}}
        filters = [{"filterId": "early", "rolloutDate": "2026-11-24T17:00:00Z"}]
        await ota.make("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=filters)
        await ota.runs("dev-1", "1.0.0")
        await ota.put("1.1.0", filters=[{"filterId": "early", "rolloutDate": "2025-11-24T16:00:10Z"}])
        await ota.is_idle()
        await ota.house.clock.advance(10_000)
        await ota.has("dev-1", offeredVersion="1.1.0")


class TestTakingBack:
    async def fleet(self, ota: Orchestra, **fields: Any) -> None:
        """Have dev-1 and dev-2 on 1.2.0, from 1.1.0 and 1.0.0, and dev-3 from nowhere."""
        await ota.make("1.0.0")
        await ota.make("1.1.0", "1.0.0")
        await ota.runs("dev-1", "1.1.0")
        await ota.runs("dev-2", "1.0.0")
        await ota.make("1.2.0", "1.0.0", "1.1.0", **({"downgradableTo": ["1.1.0"]} | fields))
        for name in ("dev-1", "dev-2", "dev-3"):
            await ota.runs(name, "1.2.0")
        await ota.is_idle()
        ota.pushed.clear()

    async def test_endpoints_go_where_they_came_from_where_that_is_allowed(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        reply = await ota.house.call("POST", f"{API}/1.2.0/rollback")
        assert reply.status == 200
        assert reply.json == {
            "version": "1.2.0",
            "to": None,
            "startedDate": "2025-11-24T16:00:00.000Z",
            "offered": 1,
            "leftAlone": 2,
            "leftAloneEndpoints": [
                {"endpointId": "dev-2", "previousVersion": "1.0.0"},
                {"endpointId": "dev-3", "previousVersion": None},
            ],
        }
        await ota.has("dev-1", offeredVersion="1.1.0")
        assert await ota.pushes() == [("dev-1", "1.1.0")]
        assert content(ota.pushed[0]) == {"link": "https://files.example/1.1.0"}
        assert await ota.offer("dev-2") is None
        shown = await ota.made("1.2.0")
        assert shown["rolloutStrategy"] == "suspended"
        assert shown["rollback"] == {"to": None, "startedDate": "2025-11-24T16:00:00.000Z"}

    async def test_they_may_all_go_to_one_version(self, ota: Orchestra) -> None:
        await self.fleet(ota, downgradableTo=["1.0.0"])
        reply = await ota.house.call("POST", f"{API}/1.2.0/rollback", {"to": "1.0.0"})
        assert (reply.json["to"], reply.json["offered"], reply.json["leftAlone"]) == ("1.0.0", 3, 0)
        for name in ("dev-1", "dev-2", "dev-3"):
            await ota.has(name, offeredVersion="1.0.0")

    async def test_where_nothing_is_allowed_all_are_left_alone(self, ota: Orchestra) -> None:
        await self.fleet(ota, downgradableTo=[])
        reply = await ota.house.call("POST", f"{API}/1.2.0/rollback", {"to": "1.0.0"})
        assert (reply.status, reply.json["offered"], reply.json["leftAlone"]) == (200, 0, 3)
        assert await ota.pushes() == []

    async def test_one_that_went_back_is_not_sent_forth_again(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        await ota.has("dev-1", offeredVersion="1.1.0")
        await ota.runs("dev-1", "1.1.0")
        await ota.has("dev-1", offeredVersion=None, status="APPLIED", previousVersion="1.2.0")
        assert (await ota.house.get(f"{API}/1.2.0/rollback"))["offered"] == 0

    async def test_one_that_reports_the_version_later_goes_back_too(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        await ota.runs("dev-4", "1.1.0")
        await ota.runs("dev-4", "1.2.0")
        await ota.has("dev-4", offeredVersion="1.1.0")

    async def test_it_is_not_offered_on_the_way_up_any_more(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        await ota.runs("dev-4", "1.1.0")
        await ota.has("dev-4", offeredVersion="1.2.0")
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        await ota.has("dev-4", offeredVersion=None)

    async def test_a_way_on_is_open_to_those_that_are_left_alone(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        await ota.make("1.2.1", "1.2.0")
        await ota.has("dev-2", offeredVersion="1.2.1")
        await ota.has("dev-1", offeredVersion="1.1.0")

    async def test_a_version_that_does_not_fit_is_not_gone_back_to(self, ota: Orchestra) -> None:
        ota.register.metadata = {"dev-1": {"hardware": "A"}}
        await self.fleet(ota)
        await ota.put("1.1.0", compatibleWith={"metadata.hardware": "B"})
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        assert await ota.pushes() == []

    async def test_it_goes_on_after_a_restart(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        again = await ota.restart()
        await again.has("dev-1", offeredVersion="1.1.0")
        assert (await again.house.get(f"{API}/1.2.0/rollback"))["leftAlone"] == 2
        await again.runs("dev-5", "1.1.0")
        await again.runs("dev-5", "1.2.0")
        await again.has("dev-5", offeredVersion="1.1.0")

    async def test_when_it_is_ended_offers_are_withdrawn_and_the_version_stays_suspended(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        await ota.has("dev-1", offeredVersion="1.1.0")
        assert (await ota.house.call("DELETE", f"{API}/1.2.0/rollback")).status == 204
        await ota.has("dev-1", offeredVersion=None)
        shown = await ota.made("1.2.0")
        assert (shown["rolloutStrategy"], shown["rollback"]) == ("suspended", None)
        for method in ("GET", "DELETE"):
            assert (await ota.house.call(method, f"{API}/1.2.0/rollback")).status == 404

    async def test_it_may_be_begun_again_with_another_target(self, ota: Orchestra) -> None:
        await self.fleet(ota, downgradableTo=["1.0.0", "1.1.0"])
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        await ota.has("dev-1", offeredVersion="1.1.0")
        await ota.house.call("POST", f"{API}/1.2.0/rollback", {"to": "1.0.0"})
        await ota.has("dev-1", offeredVersion="1.0.0")

    async def test_meanwhile_the_version_is_neither_released_nor_deleted(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        reply = await ota.house.call("PUT", f"{API}/1.2.0", {"rolloutStrategy": "general"})
        assert (reply.status, reply.message.partition(":")[0]) == (409, "rolloutStrategy")
        assert (await ota.house.call("DELETE", f"{API}/1.2.0")).status == 409
        await ota.put("1.2.0", downgradableTo=["1.0.0", "1.1.0"])
        await ota.has("dev-2", offeredVersion="1.0.0")

    async def test_a_target_that_is_suspended_is_none(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        await ota.has("dev-1", offeredVersion="1.1.0")
        await ota.put("1.1.0", rolloutStrategy="suspended")
        await ota.has("dev-1", offeredVersion=None)
        assert (await ota.house.get(f"{API}/1.2.0/rollback"))["offered"] == 0

    async def test_a_target_that_cannot_be_is_refused(self, ota: Orchestra) -> None:
        await ota.make("1.2.0")
        for to, status in (("x", 400), ("1.2.0", 400), ("9.9.9", 404)):
            assert (await ota.house.call("POST", f"{API}/1.2.0/rollback", {"to": to})).status == status
        assert (await ota.made("1.2.0"))["rolloutStrategy"] == "general"

    async def test_a_plan_shows_the_way_back(self, ota: Orchestra) -> None:
        await self.fleet(ota)
        await ota.house.call("POST", f"{API}/1.2.0/rollback")
        reply = await ota.house.call("POST", f"{API}/plan", {"endpointId": "dev-1"})
        assert [hop["version"] for hop in reply.json["path"]] == ["1.1.0"]
