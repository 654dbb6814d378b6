"""Something to be told of applications: a lamp, which has settings, and what has none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from house import House

from kaa.core.config import Settings
from kaa.core.lifecycle import Core, Instance, Module
from kaa.modules.tekton.module import MODULE as TEKTON

API = "/tekton/api/v1"
NOW = "2025-11-24T16:00:00.000Z"


class LampSettings(Settings):
    brightness: int = 1
    room_name: str | None = None


@asynccontextmanager
async def run_lamp(core: Core, instance: Instance[LampSettings], config: Settings) -> AsyncIterator[None]:
    yield


LAMP = Module(service="lamp", config=Settings, run=run_lamp, settings=LampSettings)
PLAIN = Module(service="plain", config=Settings, run=run_lamp)


def enveloped(instance: str, settings: Any, *, app: str = "home", version: str | None = None) -> dict[str, Any]:
    inner = settings if version is None else {"versions": {version: settings}}
    return {instance: {"kaa": {"applications": {app: inner}}}}


async def with_home(house: House) -> None:
    """Have Tekton and a lamp run, and an application `home` with a version `home-v1`."""
    await house.start(TEKTON, LAMP, PLAIN)
    assert (await house.call("POST", f"{API}/applications", {"name": "home"})).status == 201
    assert (await house.call("POST", f"{API}/applications/home/app-versions", {"nameSuffix": "v1"})).status == 201
