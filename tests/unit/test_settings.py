"""Every instance's view of the applications, kept up to date over the bus."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from fakes.clock import FakeClock
from fakes.ids import CountedIds
from waiting import until

from kaa.core.applications import Applications
from kaa.core.bus.memory import MemoryBus
from kaa.core.config import Duration, Settings
from kaa.core.lifecycle import Instance
from kaa.core.metrics import Metrics
from kaa.core.tasks import Tasks
from kaa.protocols import scmp, x_settings
from kaa.protocols.names import TENANT
from kaa.protocols.x_outbox import EventProcessed
from kaa.settings import Follower

Tree = dict[str, tuple[dict[str, Any] | None, dict[str, dict[str, Any] | None]]]


class LampSettings(Settings):
    brightness: int = 1
    room_name: str = "hall"
    pause_ms: Duration = 5_000


class Tekton:
    """Answers for Tekton out of `tree`: application -> (settings, version -> settings)."""

    def __init__(self, bus: MemoryBus, ids: CountedIds, clock: FakeClock) -> None:
        self.tree: Tree = {}
        self.common: dict[str, Any] | None = None
        self.asked: list[tuple[str, str | None]] = []
        self.bus, self.ids, self.clock = bus, ids, clock

    async def on_settings(self, request: x_settings.SettingsRequest) -> x_settings.SettingsResponse:
        self.asked.append((request.instance_name, request.app_name))
        found = tuple(
            x_settings.ApplicationSettings(
                name=name,
                settings=_text(settings),
                versions=tuple(x_settings.VersionSettings(name=v, settings=_text(s)) for v, s in versions.items()),
            )
            for name, (settings, versions) in self.tree.items()
            if request.app_name in (None, name)
        )
        return x_settings.SettingsResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=0,
            revision=1,
            applications=found,
            common_settings=_text(self.common),
            status_code=200,
        )

    def serving(self) -> AbstractAsyncContextManager[None]:
        return self.bus.subscribe(x_settings.settings_of("tekton"), self.on_settings, queue="tekton")

    async def tell(self, app: str | None, *, change: str = "upsert") -> EventProcessed:
        """Say that something has changed, and give the instance's answer."""
        event = scmp.BroadcastConfigurationUpdateEvent(
            correlation_id=self.ids.correlation_id(),
            timestamp_ms=0,
            originator_replica_id="r1",
            tenant_id=TENANT,
            app_name=app,
        )
        return await self._answered(scmp.configuration_changed("tekton", change=change), event)

    async def tell_the_lamp(self, app: str) -> EventProcessed:
        """Say it to the one instance."""
        event = scmp.ServiceSpecificConfigurationUpdateEvent(
            correlation_id=self.ids.correlation_id(), timestamp_ms=0, tenant_id=TENANT, app_name=app
        )
        return await self._answered(scmp.instance_configuration_changed("lamp", change="upsert"), event)

    async def _answered(self, subject: Any, event: Any) -> EventProcessed:
        from kaa.core.subjects import Subject

        answers: list[EventProcessed] = []

        async def on_answer(answer: EventProcessed) -> None:
            answers.append(answer)

        to = Subject("test.answers", EventProcessed)
        async with self.bus.subscribe(to, on_answer, queue="test"):
            self.bus.publish(subject, event, reply_to=to)
            await until(lambda: answers)
        assert answers[0].correlation_id == event.correlation_id
        return answers[0]


def _text(settings: dict[str, Any] | None) -> bytes | None:
    return None if settings is None else json.dumps(settings).encode()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[False, True], ids=["objects", "wired"])
async def tekton(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[Tekton]:
    tasks = Tasks()
    bus = MemoryBus(replica="r1", clock=clock, tasks=tasks, metrics=Metrics(), is_wired=request.param)
    yield Tekton(bus, CountedIds(), clock)
    await bus.close()
    assert tasks.alive() == []


@asynccontextmanager
async def following(tekton: Tekton, model: type[Settings] | None = LampSettings) -> AsyncIterator[Applications[Any]]:
    applications = Applications(model() if model else None)
    follower = Follower(
        Instance("lamp", "lamp", "r1", applications),
        model,
        tekton="tekton",
        bus=tekton.bus,
        clock=tekton.clock,
        ids=tekton.ids,
        tasks=tekton.bus._tasks,
    )
    async with follower.opened():
        yield applications


class TestWhatIsKnown:
    async def test_everything_is_when_the_block_begins(self, tekton: Tekton) -> None:
        tekton.tree = {
            "home": ({"brightness": 3}, {"home-v1": None, "home-v2": {"room-name": "attic"}}),
            "garden": (None, {}),
        }
        async with tekton.serving(), following(tekton) as applications:
            assert [one.name for one in applications.all()] == ["garden", "home"]
            assert applications.get("home").settings == LampSettings(brightness=3)
            assert applications.get("garden").settings == LampSettings()
        assert tekton.asked == [("lamp", None)]

    async def test_a_version_without_settings_has_its_applications_and_one_with_has_its_own(
        self, tekton: Tekton
    ) -> None:
        tekton.tree = {"home": ({"brightness": 3}, {"home-v1": None, "home-v2": {"room-name": "attic"}})}
        async with tekton.serving(), following(tekton) as applications:
            assert applications.get_version("home-v1").settings == LampSettings(brightness=3)
            assert applications.get_version("home-v2").settings == LampSettings(room_name="attic")
            assert applications.get_version("home-v2").application == "home"

    async def test_an_instance_without_settings_knows_the_names(self, tekton: Tekton) -> None:
        tekton.tree = {"home": (None, {"home-v1": None})}
        async with tekton.serving(), following(tekton, None) as applications:
            assert applications.get_version("home-v1").settings is None

    async def test_settings_that_are_none_any_more_give_way_to_those_above_them(self, tekton: Tekton) -> None:
        tekton.tree = {"home": ({"colour": "red"}, {"home-v1": {"brightness": "very"}})}
        async with tekton.serving(), following(tekton) as applications:
            assert applications.get("home").settings == LampSettings()
            assert applications.get_version("home-v1").settings == LampSettings()

    async def test_those_of_all_applications_hold_where_there_are_no_others(self, tekton: Tekton) -> None:
        tekton.common = {"brightness": 5}
        tekton.tree = {
            "garden": (None, {"garden-v1": None, "garden-v2": {"room-name": "attic"}}),
            "home": ({"brightness": 3}, {"home-v1": None}),
        }
        async with tekton.serving(), following(tekton) as applications:
            assert applications.get("garden").settings == LampSettings(brightness=5)
            assert applications.get_version("garden-v1").settings == LampSettings(brightness=5)
            assert applications.get_version("garden-v2").settings == LampSettings(room_name="attic")
            assert applications.get_version("home-v1").settings == LampSettings(brightness=3)
            assert applications.default == LampSettings()
            tekton.common = None
            await tekton.tell(None)
            assert applications.get("garden").settings == LampSettings()

    async def test_settings_of_all_applications_that_are_none_any_more_are_no_ones(self, tekton: Tekton) -> None:
        tekton.common = {"colour": "red"}
        tekton.tree = {"garden": (None, {}), "home": ({"brightness": 3}, {})}
        async with tekton.serving(), following(tekton) as applications:
            assert applications.get("garden").settings == LampSettings()
            assert (applications.get("garden").is_valid, applications.get("home").is_valid) == (False, True)

    async def test_they_are_read_as_the_file_is(self, tekton: Tekton) -> None:
        tekton.tree = {"home": ({"pause": 2}, {"home-v1": {"pause": "250ms"}, "home-v2": {"room_name": "attic"}})}
        async with tekton.serving(), following(tekton) as applications:
            assert applications.get("home").settings == LampSettings(pause_ms=2_000)
            assert applications.get_version("home-v1").settings == LampSettings(pause_ms=250)
            assert applications.get_version("home-v2").settings == LampSettings(pause_ms=2_000), "no such key"


class TestChanges:
    @pytest.fixture(params=["broadcast", "targeted"])
    def tell(self, request: pytest.FixtureRequest, tekton: Tekton) -> Callable[[str], Any]:
        return tekton.tell if request.param == "broadcast" else tekton.tell_the_lamp

    async def test_one_is_known_when_it_is_answered(self, tekton: Tekton, tell: Callable[[str], Any]) -> None:
        tekton.tree = {"home": (None, {}), "garden": (None, {})}
        async with tekton.serving(), following(tekton) as applications:
            tekton.tree = {"home": ({"brightness": 9}, {"home-v1": None}), "garden": ({"brightness": 8}, {})}
            answer = await tell("home")
            assert (answer.status_code, answer.receiver_service_instance_name) == (200, "lamp")
            assert applications.get_version("home-v1").settings == LampSettings(brightness=9)
            assert applications.get("garden").settings == LampSettings(), "of that nothing was said"
        assert tekton.asked == [("lamp", None), ("lamp", "home")]

    async def test_one_that_names_nothing_concerns_everything(self, tekton: Tekton) -> None:
        async with tekton.serving(), following(tekton) as applications:
            tekton.tree = {"home": (None, {}), "garden": (None, {})}
            await tekton.tell(None)
            assert len(applications.all()) == 2

    async def test_an_application_that_is_deleted_goes(self, tekton: Tekton) -> None:
        tekton.tree = {"home": (None, {"home-v1": None})}
        async with tekton.serving(), following(tekton) as applications:
            tekton.tree = {}
            await tekton.tell("home", change="delete")
            assert applications.all() == []
            assert applications.find_version("home-v1") is None

    async def test_if_tekton_cannot_be_asked_the_answer_says_so_and_what_is_known_stays(self, tekton: Tekton) -> None:
        tekton.tree = {"home": (None, {})}
        async with tekton.serving():
            block = following(tekton)
            applications = await block.__aenter__()
        answer = await tekton.tell("home")
        assert (answer.status_code, answer.receiver_service_instance_name) == (503, "lamp")
        assert [one.name for one in applications.all()] == ["home"]
        await block.__aexit__(None, None, None)


class TestWithoutTekton:
    async def test_it_is_asked_again_until_it_answers(self, tekton: Tekton, clock: FakeClock) -> None:
        tekton.tree = {"home": (None, {})}
        async with following(tekton) as applications:
            await clock.advance(5_000)
            assert applications.all() == []
            async with tekton.serving():
                await clock.advance(1_000)
                await until(lambda: len(applications.all()) == 1)
            asked = len(tekton.asked)
            await clock.advance(10_000)
            assert len(tekton.asked) == asked

    async def test_who_stops_meanwhile_stops_asking(self, tekton: Tekton, clock: FakeClock) -> None:
        async with following(tekton):
            await clock.advance(2_000)
        assert clock.waiting() == 0


class TestQuestions:
    async def ask(self, tekton: Tekton, document: bytes, level: str = "application") -> tuple[int, str | None]:
        request = x_settings.ValidationRequest(
            correlation_id=tekton.ids.correlation_id(), timestamp_ms=0, level=level, settings=document
        )
        reply = await tekton.bus.request(x_settings.validate("lamp"), request)
        return reply.status_code, reply.reason_phrase

    async def test_a_document_of_the_model_is_valid(self, tekton: Tekton) -> None:
        async with tekton.serving(), following(tekton):
            for document in (b"{}", b'{"brightness": 5, "room-name": "attic", "pause": "1h"}'):
                assert await self.ask(tekton, document) == (200, None)
                assert await self.ask(tekton, document, "version") == (200, None)

    @pytest.mark.parametrize(
        ("document", "place"),
        [
            (b'{"brightness": "very"}', "brightness"),
            (b'{"colour": "red"}', "colour"),
            (b'{"room_name": "attic"}', "room_name"),
            (b'{"pause": -1}', "pause"),
            (b"[]", "the document"),
            (b"{", "the document"),
            (b"\xff", "the document"),
        ],
    )
    async def test_any_other_is_refused_at_its_place(self, tekton: Tekton, document: bytes, place: str) -> None:
        async with tekton.serving(), following(tekton):
            status, reason = await self.ask(tekton, document)
        assert (status, (reason or "").split(":")[0]) == (400, place)

    async def test_an_instance_without_settings_has_no_valid_ones(self, tekton: Tekton) -> None:
        async with tekton.serving(), following(tekton, None):
            assert (await self.ask(tekton, b"{}"))[0] == 400

    async def test_the_schema_is_given_by_the_keys_of_the_file(self, tekton: Tekton) -> None:
        request = x_settings.SchemaRequest(correlation_id=tekton.ids.correlation_id(), timestamp_ms=0)
        async with tekton.serving(), following(tekton):
            reply = await tekton.bus.request(x_settings.schemas_of("lamp"), request)
        assert reply.status_code == 200
        assert set(json.loads(reply.application_schema)["properties"]) == {"brightness", "room-name", "pause"}
        assert reply.version_schema == reply.application_schema

    async def test_where_there_are_no_settings_there_is_no_schema(self, tekton: Tekton) -> None:
        request = x_settings.SchemaRequest(correlation_id=tekton.ids.correlation_id(), timestamp_ms=0)
        async with tekton.serving(), following(tekton, None):
            reply = await tekton.bus.request(x_settings.schemas_of("lamp"), request)
        assert (reply.status_code, reply.application_schema, reply.version_schema) == (200, None, None)
