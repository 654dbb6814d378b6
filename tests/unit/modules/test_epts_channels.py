"""The channels: found in order, however many there are, and nobody waits meanwhile."""

import pytest
from house import House

from kaa.modules.epts.repository import ChannelRepository

ENDPOINTS = 80_000


@pytest.fixture
async def channels(house: House) -> ChannelRepository:
    """Those of many endpoints, made in no order; the tests fail by themselves if one of them blocks the loop."""
    await house.storage.write(
        lambda c: (
            c.exec_driver_sql(
                "insert into epts_channel (application, endpoint_id, series, value_name)"
                " with n (n) as (select 0 union all select n + 1 from n where n < ?)"
                " select 'home', printf('dev-%05d', n * 7919 % ?), 'auto~x', 'value' from n",
                (ENDPOINTS - 1, ENDPOINTS),
            )
            and None
        )
    )
    return ChannelRepository(house.storage)


async def test_a_large_selection_is_found_in_order_without_blocking_the_loop(channels: ChannelRepository) -> None:
    found = await channels.find("home")
    assert [channel.endpoint_id for channel in found] == [f"dev-{n:05d}" for n in range(ENDPOINTS)]


async def test_so_is_one_by_the_ids_of_endpoints(channels: ChannelRepository) -> None:
    wanted = [f"dev-{n:05d}" for n in range(ENDPOINTS)]
    found = await channels.find("home", endpoint_ids=wanted[::-1])
    assert [channel.endpoint_id for channel in found] == wanted


async def test_the_numbers_of_all_channels_are_found_without_blocking_the_loop(channels: ChannelRepository) -> None:
    assert len(await channels.ids_of("home")) == ENDPOINTS


async def test_series_of_one_endpoint_come_by_name_whatever_their_script(house: House) -> None:
    channels = ChannelRepository(house.storage)
    names = ["Zeit", "auto~a", "größe", "температура", "\U0001f321"]
    await channels.ensure([("home", "dev-1", name, value) for name in names[::-1] for value in ("b", "a")])
    found = await channels.find("home", series=names)
    assert [(one.series, one.value_name) for one in found] == [(name, value) for name in names for value in ("a", "b")]
    assert names == sorted(names)
