"""Keys, and what their roles may."""

import stat

import pytest
from fakes.keys import MemoryKeys

from kaa.core.auth import KEY_HEADER, Keys, Role, key_hash
from kaa.core.clock import SystemClock
from kaa.core.errors import Forbidden, Unauthenticated
from kaa.core.ids import RandomIds


class HandClock(SystemClock):
    def __init__(self) -> None:
        self.ms = 0

    def monotonic_ms(self) -> int:
        return self.ms


@pytest.fixture
def store() -> MemoryKeys:
    return MemoryKeys()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def keys(store: MemoryKeys, clock: HandClock) -> Keys:
    return Keys(store=store, ids=RandomIds(), clock=clock)


async def test_a_key_is_taken_as_bearer_and_in_its_own_header(keys: Keys) -> None:
    record, key = await keys.make(Role.OPERATOR)
    for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": f"bearer  {key} "}, {KEY_HEADER: key}):
        caller = await keys.caller(headers)
        assert (caller.id, caller.role) == (record.id, Role.OPERATOR)


async def test_the_own_header_wins_over_bearer(keys: Keys) -> None:
    _, one = await keys.make(Role.VIEWER)
    _, other = await keys.make(Role.ADMIN)
    assert (await keys.caller({"Authorization": f"Bearer {one}", KEY_HEADER: other})).role is Role.ADMIN
    with pytest.raises(Unauthenticated):
        await keys.caller({"Authorization": f"Bearer {one}", KEY_HEADER: "wrong"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer  "},
        {"Authorization": "Basic YTpi"},
        {KEY_HEADER: "wrong"},
        {KEY_HEADER: "x" * 10_000},
        {KEY_HEADER: "\udc80\udcff"},
        {KEY_HEADER: "ключ"},
    ],
)
async def test_without_a_valid_key_the_caller_is_unknown(keys: Keys, headers: dict[str, str]) -> None:
    await keys.make(Role.ADMIN)
    with pytest.raises(Unauthenticated):
        await keys.caller(headers)


async def test_only_a_viewer_may_not_write(keys: Keys) -> None:
    for role in Role:
        _, key = await keys.make(role)
        caller = await keys.caller({KEY_HEADER: key})
        if role is Role.VIEWER:
            with pytest.raises(Forbidden):
                caller.require_write()
        else:
            caller.require_write()


async def test_a_key_is_looked_up_once_in_five_seconds(keys: Keys, store: MemoryKeys, clock: HandClock) -> None:
    _, key = await keys.make(Role.ADMIN)
    for _ in range(3):
        await keys.caller({KEY_HEADER: key})
    assert store.finds == 1
    clock.ms += 5_000
    store.records.clear()
    with pytest.raises(Unauthenticated):
        await keys.caller({KEY_HEADER: key})


async def test_a_removed_key_is_refused_at_once_when_keys_are_forgotten(keys: Keys, store: MemoryKeys) -> None:
    _, key = await keys.make(Role.ADMIN)
    await keys.caller({KEY_HEADER: key})
    store.records.clear()
    keys.forget()
    with pytest.raises(Unauthenticated):
        await keys.caller({KEY_HEADER: key})


async def test_the_cache_is_bounded_and_guesses_do_not_enter_it(keys: Keys, store: MemoryKeys) -> None:
    for _ in range(1030):
        _, key = await keys.make(Role.VIEWER)
        await keys.caller({KEY_HEADER: key})
        store.records.clear()
    for number in range(50):
        with pytest.raises(Unauthenticated):
            await keys.caller({KEY_HEADER: f"guess-{number}"})
    assert len(keys._cache) == 1024
    assert (await keys.caller({KEY_HEADER: key})).role is Role.VIEWER


async def test_the_store_never_sees_a_key(keys: Keys, store: MemoryKeys) -> None:
    _, key = await keys.make(Role.ADMIN)
    assert len(key) == 43  # 256 bits
    assert key not in repr(store.records)
    assert store.records[0].hash == key_hash(key)


async def test_the_first_start_makes_an_admin_key_that_only_the_owner_can_read(keys: Keys, tmp_path) -> None:
    path = tmp_path / "data" / "admin.key"
    assert await keys.ensure_admin_key(path) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (await keys.caller({KEY_HEADER: path.read_text().strip()})).role is Role.ADMIN
    assert [entry.name for entry in path.parent.iterdir()] == ["admin.key"]


async def test_a_later_start_makes_none(keys: Keys, tmp_path) -> None:
    await keys.make(Role.VIEWER)
    assert await keys.ensure_admin_key(tmp_path / "admin.key") is None
    assert not (tmp_path / "admin.key").exists()


async def test_a_start_that_died_before_the_store_knew_the_key_is_made_good(keys: Keys, store, tmp_path) -> None:
    path = tmp_path / "admin.key"
    path.write_text("from a start that died\n")
    (tmp_path / ".admin.key.new").write_text("half")
    await keys.ensure_admin_key(path)
    assert (await keys.caller({KEY_HEADER: path.read_text().strip()})).role is Role.ADMIN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
