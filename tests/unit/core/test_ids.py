"""Identifiers: of the form that is promised, and never twice, whoever asks."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from kaa.core.ids import RandomIds


def test_a_uuid_is_of_version_4() -> None:
    made = uuid.UUID(RandomIds().uuid())
    assert (made.version, made.variant) == (4, uuid.RFC_4122)


@pytest.mark.parametrize(("bits", "length"), [(128, 22), (256, 43)])
def test_a_token_is_url_safe_and_as_long_as_is_asked(bits: int, length: int) -> None:
    assert re.fullmatch(rf"[A-Za-z0-9_-]{{{length}}}", RandomIds().token(bits))


def test_a_secret_that_is_larger_than_what_is_at_hand_is_random_throughout() -> None:
    made = RandomIds().token(66_000)  # 11,000 characters, 500 parts
    parts = {made[at : at + 22] for at in range(0, len(made), 22)}
    assert (len(made), len(parts)) == (11_000, 500)


def test_threads_that_ask_at_once_get_different_ones() -> None:
    ids = RandomIds()
    with ThreadPoolExecutor(4) as threads:
        made = [one for part in threads.map(lambda _: [ids.token() for _ in range(2_000)], range(8)) for one in part]
    assert len(set(made)) == len(made) == 16_000


def test_correlation_ids_of_two_processes_differ() -> None:
    one, another = RandomIds(), RandomIds()
    assert not {one.correlation_id() for _ in range(1_000)} & {another.correlation_id() for _ in range(1_000)}
