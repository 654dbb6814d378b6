"""Waiting for a condition: what a test says instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 10.0


async def until(condition: Callable[[], Any], *, what: str = "", within_s: float = PATIENCE_S) -> Any:
    """Give what the condition (a function, or an async one) gives as soon as that is true; fail if it never is."""
    deadline = time.monotonic() + within_s  # noqa: TID251  the test's own patience, whatever clock the house has
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:  # noqa: TID251  as above
            raise AssertionError(f"not within {within_s:g} s: {what or inspect.getsource(condition).strip()}")
        await asyncio.sleep(0.001)
