"""CM: user names and passwords."""

import asyncio
import threading
from typing import Any

import pytest
from clients import BASIC, CHEAP, NOW, OLD_BASIC, add_user, login, move, start
from house import House
from waiting import PATIENCE_S, until

from kaa.modules.cm.service import passwords as hashing
from kaa.protocols import cap

UNKNOWN = (401, None, None, "the user name or the password is wrong")


async def verdict(house: House, *args: Any, **more: Any) -> tuple[int, str | None, str | None, str | None]:
    reply = await login(house, *args, **more)
    return reply.status_code, reply.credentials_id, reply.client_id, reply.reason_phrase


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every password that is hashed slowly."""
    noted: list[str] = []
    slow = hashing._scrypt

    def noting(password: str, salt: bytes, cost: int) -> bytes:
        noted.append(password)
        return slow(password, salt, cost)

    monkeypatch.setattr(hashing, "_scrypt", noting)
    return noted


def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Have every check wait in its thread until the event is set."""
    gate, slow = threading.Event(), hashing.sha256

    def wait(data: bytes) -> Any:
        gate.wait(PATIENCE_S)
        return slow(data)

    monkeypatch.setattr(hashing, "sha256", wait)
    return gate


class TestMaking:
    async def test_a_password_that_was_made_up_is_shown_once_and_works(self, house: House) -> None:
        await start(house)
        made = await add_user(house, password=None)
        password = made.pop("password")
        assert len(password) == 22
        assert made == {
            "id": made["id"],
            "username": "gateway",
            "state": "Inactive",
            "createdDate": NOW,
            "updatedDate": NOW,
            "lastUseDate": None,
        }
        assert await house.get(BASIC) == [made]
        assert await house.get(f"{BASIC}/{made['id']}") == made
        assert await verdict(house, password=password) == (200, made["id"], "gateway", None)

    async def test_one_that_was_given_is_not_shown_at_all(self, house: House) -> None:
        await start(house)
        reply = await house.call("POST", BASIC, {"username": "gateway", "password": "correct horse"})
        assert "password" not in reply.json
        assert reply.headers["Location"].endswith(f"{BASIC}/{reply.json['id']}")
        assert b"correct horse" not in reply.data
        for path in (BASIC, f"{BASIC}/{reply.json['id']}"):
            shown = (await house.call("GET", path)).data
            assert b"assword" not in shown
            assert b"scrypt" not in shown

    async def test_neither_passwords_nor_hashes_are_in_files_events_and_logs(
        self, house: House, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await start(house)
        heard = await house.hear(cap.credentials_revoked())
        made = await add_user(house, password="s3cret-of-the-gateway")
        other = await add_user(house, "other", password=None)
        await login(house, password="s3cret-of-the-gateway")
        await login(house, password="wr0ng-password")
        [kept, _] = await house.storage.read(
            lambda c: [row.password_hash for row in c.exec_driver_sql("select password_hash from cm_client")]
        )
        await move(house, BASIC, made["id"], "Revoked")
        await house.call("POST", BASIC, {"username": "gateway", "password": "s3cret-of-the-gateway"})
        assert kept.startswith("scrypt$10$")
        secrets = ("s3cret-of-the-gateway", "wr0ng-password", other["password"])
        said = "".join(capsys.readouterr())
        assert not any(secret in said for secret in (*secrets, kept))
        assert not any(secret in repr(heard) for secret in (*secrets, kept))
        await house.stop()
        files = [file.read_bytes() for file in house.directory.rglob("*") if file.is_file()]
        assert not any(secret.encode() in data for data in files for secret in secrets)
        await house.open()

    async def test_a_name_that_is_taken_is_refused(self, house: House) -> None:
        await start(house)
        await add_user(house)
        for name in ("gateway", "gateway@kaa"):
            reply = await house.call("POST", BASIC, {"username": name})
            assert (reply.status, reply.message) == (409, "username: 'gateway' is taken")
        await add_user(house, "Gateway")
        assert len(await house.get(BASIC)) == 2

    async def test_of_two_at_once_with_one_name_one_is_made(self, house: House) -> None:
        await start(house)
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(house.call("POST", BASIC, {"username": "gateway"})) for _ in range(2)]
        assert sorted(task.result().status for task in both) == [201, 409]

    async def test_what_cannot_be_a_name_or_a_password_is_refused_by_field(self, house: House) -> None:
        await start(house)
        wrong: list[tuple[Any, str]] = [
            (None, "body"),
            ({}, "body.username"),
            ({"username": ""}, "body.username"),
            ({"username": "a b"}, "body.username"),
            ({"username": "a\0b"}, "body.username"),
            ({"username": "x" * 129}, "body.username"),
            ({"username": 5}, "body.username"),
            ({"username": "@kaa"}, "username"),
            ({"username": "a", "password": "short"}, "body.password"),
            ({"username": "a", "password": "x" * 1_025}, "body.password"),
            ({"username": "a", "password": 12345678}, "body.password"),
        ]
        for body, field in wrong:
            reply = await house.call("POST", BASIC, body)
            assert (reply.status, reply.message.split(":")[0]) == (400, field)
            assert "short" not in reply.message.removesuffix("shorter")
        assert await house.get(BASIC) == []

    async def test_a_name_that_was_deleted_may_be_had_again_with_another_password(self, house: House) -> None:
        await start(house)
        old = await add_user(house)
        assert (await verdict(house))[0] == 200
        await house.call("DELETE", f"{BASIC}/{old['id']}")
        new = await add_user(house, password="another one")
        assert await verdict(house) == UNKNOWN
        assert await verdict(house, password="another one") == (200, new["id"], "gateway", None)


class TestAuthentication:
    async def test_a_name_may_carry_the_tenant(self, house: House) -> None:
        await start(house)
        made = await add_user(house)
        for name, tenant in (("gateway", "kaa"), ("gateway@kaa", "kaa"), ("gateway@kaa", ""), ("gateway", "")):
            assert await verdict(house, name, tenant=tenant) == (200, made["id"], "gateway", None)

    async def test_a_name_with_a_sign_in_it_is_just_a_name(self, house: House) -> None:
        await start(house)
        made = await add_user(house, "site@example.org@kaa")
        assert made["username"] == "site@example.org"
        assert await verdict(house, "site@example.org") == (200, made["id"], "site@example.org", None)

    @pytest.mark.parametrize(
        ("username", "password", "tenant"),
        [
            ("gateway", "correct hors", "kaa"),
            ("gateway", "", "kaa"),
            ("gateway", "Correct horse", "kaa"),
            ("gateway", "correct horse\0", "kaa"),
            ("gateway", "x" * 100_000, "kaa"),
            ("Gateway", "correct horse", "kaa"),
            ("nobody", "correct horse", "kaa"),
            ("", "", "kaa"),
            ("x" * 10_000, "correct horse", "kaa"),
            ("gateway", "correct horse", "other"),
            ("gateway@other", "correct horse", "kaa"),
        ],
    )
    async def test_all_that_is_wrong_is_refused_alike(
        self, house: House, username: str, password: str, tenant: str
    ) -> None:
        await start(house)
        await add_user(house)
        assert await verdict(house, username, password, tenant) == UNKNOWN
        [found] = await house.get(BASIC)
        assert (found["state"], found["lastUseDate"]) == ("Inactive", None)

    async def test_who_does_not_know_the_password_does_not_learn_of_a_suspension(self, house: House) -> None:
        await start(house)
        made = await add_user(house)
        await move(house, BASIC, made["id"], "Active")
        await move(house, BASIC, made["id"], "Suspended")
        assert await verdict(house, password="wrong password") == UNKNOWN
        assert await verdict(house) == (403, made["id"], "gateway", "the credential is suspended")

    async def test_those_who_ask_the_old_way_are_answered_alike(self, house: House) -> None:
        await start(house)
        made = await add_user(house)
        asked = [("gateway", "correct horse"), ("gateway@kaa", "correct horse"), ("gateway", "wrong"), (None, None)]
        replies = [await house.request(OLD_BASIC, username=name, password=password) for name, password in asked]
        found = [(one.status_code, one.credential_id, one.client_id) for one in replies]
        assert found == [(200, made["id"], "gateway")] * 2 + [(401, None, None)] * 2

    async def test_a_hash_keeps_its_cost_when_another_is_configured(self, house: House) -> None:
        await start(house)
        made = await add_user(house)
        await house.restart()
        await start(house, **{"password-cost": 12})
        assert (await verdict(house))[:2] == (200, made["id"])


class TestSlowness:
    async def test_a_thousand_that_reconnect_cost_one_check(self, house: House, checks: list[str]) -> None:
        await start(house)
        await add_user(house)
        checks.clear()
        async with asyncio.TaskGroup() as group:
            at_once = [group.create_task(login(house)) for _ in range(200)]
        later = [await login(house) for _ in range(100)]
        assert {reply.status_code for reply in [task.result() for task in at_once] + later} == {200}
        assert checks == ["correct horse"]

    async def test_an_unknown_name_costs_what_a_wrong_password_costs(self, house: House, checks: list[str]) -> None:
        await start(house)
        await add_user(house)
        checks.clear()
        for name in ("nobody", "gateway", "somebody", "gateway@other"):
            for _ in range(3):
                assert (await login(house, name, "guess")).status_code == 401
        assert await verdict(house, tenant="other") == UNKNOWN
        assert checks == ["guess"] * 4 + ["correct horse"]

    async def test_what_is_remembered_is_dropped_with_any_change(self, house: House, checks: list[str]) -> None:
        await start(house)
        made = await add_user(house)
        checks.clear()
        for state in ("Suspended", "Active", "Revoked"):
            await login(house)
            await login(house)
            assert (await move(house, BASIC, made["id"], state)).status == 200
        assert len(checks) == 3
        assert (await login(house)).status_code == 403
        assert len(checks) == 4

    async def test_it_is_remembered_no_longer_than_the_process_lives(self, house: House, checks: list[str]) -> None:
        await start(house)
        await add_user(house)
        await login(house)
        await house.restart()
        await start(house)
        checks.clear()
        assert (await login(house)).status_code == 200
        assert checks == ["correct horse"]

    async def test_more_than_can_wait_are_refused_for_now_and_the_known_pass_by(
        self, house: House, checks: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await start(house, **{"password-threads": 2, "password-queue": 0})
        await add_user(house)
        assert (await login(house)).status_code == 200
        checks.clear()
        gate = held(monkeypatch)
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(login(house, password=f"guess {number}")) for number in range(2)]
            await until(lambda: len(checks) == 2)
            refused = await login(house, password="guess 3")
            assert (refused.status_code, "try again" in (refused.reason_phrase or "")) == (503, True)
            assert (await house.call("POST", BASIC, {"username": "another"})).status == 503
            assert (await login(house)).status_code == 200
            gate.set()
        assert [task.result().status_code for task in waiting] == [401, 401]
        assert (await login(house, password="guess 3")).status_code == 401

    async def test_one_that_is_revoked_while_its_password_is_checked_is_refused(
        self, house: House, checks: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await start(house)
        made = await add_user(house)
        await move(house, BASIC, made["id"], "Active")
        checks.clear()
        gate = held(monkeypatch)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(login(house))
            await until(lambda: checks)
            assert (await move(house, BASIC, made["id"], "Revoked")).status == 200
            gate.set()
        assert asked.result().status_code == 403


async def test_costs_beyond_reason_are_refused_in_the_configuration() -> None:
    from pydantic import ValidationError

    from kaa.core.config.units import validate_written
    from kaa.modules.cm.module import CmConfig

    for wrong in ({"password-cost": 9}, {"password-cost": 21}, {"password-threads": 0}, {"client-alias": "A B"}):
        with pytest.raises(ValidationError):
            validate_written(CmConfig, CHEAP | wrong)
