"""Keys, and what their roles may."""

import stat
from typing import Any

import pytest
from fakes.keys import MemoryKeys

from kaa.core.auth import ANONYMOUS, KEY_HEADER, Keys, Role, key_hash
from kaa.core.clock import SystemClock
from kaa.core.errors import Forbidden, InvalidInput, Unauthenticated
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


async def test_a_role_may_what_those_below_it_may_and_no_more(keys: Keys) -> None:
    ranked = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]
    for rank, role in enumerate(ranked):
        _, key = await keys.make(role)
        caller = await keys.caller({KEY_HEADER: key})
        for needed in ranked[: rank + 1]:
            caller.require(needed)
        for needed in ranked[rank + 1 :]:
            with pytest.raises(Forbidden) as no:
                caller.require(needed)
            assert role in no.value.reason
            assert needed in no.value.reason


async def test_who_shows_no_key_may_nothing() -> None:
    with pytest.raises(Forbidden):
        ANONYMOUS.require(Role.VIEWER)


async def test_a_caller_is_told_with_his_applications(keys: Keys) -> None:
    _, key = await keys.make(Role.VIEWER, name="wall", applications=["home", "garden", "home"])
    caller = await keys.caller({KEY_HEADER: key})
    assert (caller.name, caller.applications, caller.is_limited) == ("wall", ("home", "garden"), True)
    assert caller.may_see("garden")
    assert not caller.may_see("office")
    _, key = await keys.make(Role.VIEWER)
    assert (await keys.caller({KEY_HEADER: key})).may_see("office")


async def test_an_admin_is_not_limited(keys: Keys, store: MemoryKeys) -> None:
    with pytest.raises(InvalidInput):
        await keys.make(Role.ADMIN, applications=["home"])
    assert store.records == []


async def test_a_key_that_is_removed_while_it_is_looked_up_is_not_believed_afterwards(keys: Keys, store) -> None:
    record, key = await keys.make(Role.ADMIN)
    find = store.find

    async def slow(hashed: str) -> Any:
        found = await find(hashed)
        await keys.remove(record.id)
        return found

    store.find = slow
    await keys.caller({KEY_HEADER: key})
    store.find = find
    with pytest.raises(Unauthenticated):
        await keys.caller({KEY_HEADER: key})


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
