"""The endpoints of a simulation: made where they are not there, and taken away again."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from time import sleep
from typing import Any

from kaa.core.errors import KaaError
from kaa.remote import Remote, RemoteError, path_of

from .description import Simulation

_BATCH = 1_000
_POLL_S = 0.1
_ENDPOINTS = "/epr/api/v1/endpoints"

Step = Callable[[int], None]
"""Is told how many more are done."""


class SimulationError(KaaError):
    """The simulation cannot go on."""


def device_ids(simulation: Simulation) -> dict[str, list[str]]:
    """Give the ids of all endpoints, by the name of their fleet."""
    return {
        name: [f"sim-{simulation.application}-{name}-{number:05}" for number in range(1, fleet.count + 1)]
        for name, fleet in simulation.fleets.items()
    }


def register(server: Remote, simulation: Simulation, version: str, step: Step) -> dict[str, str]:
    """See that every endpoint is there; gives their tokens by their ids.

    One that was there gets a new token, and its earlier ones are deleted: nobody knows them any more.
    """
    _configure(server, simulation)
    there = set(_present(server, simulation))
    tokens: dict[str, str] = {}
    for name, ids in device_ids(simulation).items():
        metadata = simulation.fleets[name].metadata
        missing = (endpoint_id for endpoint_id in ids if endpoint_id not in there)
        while batch := list(islice(missing, _BATCH)):
            tokens |= _register(server, simulation.application, version, batch, metadata)
            step(len(batch))
        for endpoint_id in ids:
            if endpoint_id in there:
                tokens[endpoint_id] = _new_token(server, simulation.application, endpoint_id)
                step(1)
    return tokens


def remove(server: Remote, simulation: Simulation, step: Step) -> int:
    """Take away every endpoint of the simulation's application that it has made; gives how many they were."""
    found = [one for one in _present(server, simulation) if one.startswith(f"sim-{simulation.application}-")]
    for at in range(0, len(found), _BATCH):
        ids = found[at : at + _BATCH]
        server.post(f"{_ENDPOINTS}/delete", {"endpointIds": ids})
        step(len(ids))
    return len(found)


def _configure(server: Remote, simulation: Simulation) -> None:
    if not simulation.settings:
        return
    name = simulation.application
    body = {instance: {"kaa": {"applications": {name: settings}}} for instance, settings in simulation.settings.items()}
    server.ask("PUT", path_of("tekton", "api", "v1", "app-configs", "applications", name), body=body)


def _present(server: Remote, simulation: Simulation) -> Iterator[str]:
    found = server.pages(_ENDPOINTS, {"applicationName": simulation.application})
    return (one["endpointId"] for one in found)


def _register(
    server: Remote, application: str, version: str, ids: Sequence[str], metadata: dict[str, Any]
) -> dict[str, str]:
    endpoints = [{"endpointId": one, "metadata": metadata} for one in ids]
    task = server.post(f"{_ENDPOINTS}/batch", {"appVersion": {"name": version}, "endpoints": endpoints})["taskId"]
    while (found := server.get(f"{_ENDPOINTS}/batch/status", {"appName": application, "taskId": task}))[
        "state"
    ] != "DONE":
        sleep(_POLL_S)
    if found["failedCount"]:
        first = found["failed"][0]
        raise SimulationError(f"the endpoint {first['endpointId']} was not made: {first['statusReason']}")
    return {one["endpointId"]: one["endpointToken"] for one in found["created"]}


def _new_token(server: Remote, application: str, endpoint_id: str) -> str:
    path = path_of("cm", "api", "v1", "endpoints", endpoint_id, "tokens")
    old = server.get(path)["content"]
    made = server.post(path, {"applicationName": application})
    for one in old:
        try:
            server.delete(path + path_of(one["endpointTokenId"]))
        except RemoteError as error:
            if error.status != 404:
                raise
    return str(made["token"])
