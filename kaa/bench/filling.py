"""Fills a server quickly: arrays of samples over MQTT."""

from math import ceil

from kaa.bench.devices import FIELDS
from kaa.bench.generator import flood
from kaa.bench.jobs import Flood
from kaa.bench.server import Endpoint, Server

SAMPLES = 1_000
_IN_FLIGHT = 4


def fill(server: Server, endpoints: list[Endpoint], *, points: int, connections: int) -> int:
    """Have about so many points stored, spread over the devices; gives how many it were."""
    messages = ceil(points / FIELDS / SAMPLES / connections)
    done = flood(
        Flood(
            host=server.host,
            port=server.port,
            topics=tuple(endpoint.topic() for endpoint in endpoints),
            connections=connections,
            in_flight=_IN_FLIGHT,
            messages=messages,
            samples=SAMPLES,
        )
    )
    return done.acknowledged * SAMPLES * FIELDS


def fill_series(server: Server, endpoint: Endpoint, *, points: int) -> None:
    """Have so many points stored in each series of one device; to thousands."""
    fill(server, [endpoint], points=points * FIELDS, connections=1)
