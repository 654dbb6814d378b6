"""Values that look as if somebody had measured them."""

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from .description import Signal

Source = Callable[[float], Any]
"""Gives the value at a time, in seconds since the start."""


def sources(signals: Mapping[str, Signal], seed: str) -> dict[str, Source]:
    """Give where the values of one device come from; the same seed gives the same values."""
    chance = Random(seed)
    return {name: _source(signal, chance) for name, signal in signals.items()}


def _source(signal: Signal, chance: Random) -> Source:
    if signal.choice:
        return lambda _: chance.choice(signal.choice)
    if signal.wave is not None:
        wave, phase = signal.wave, chance.uniform(-0.05, 0.05)

        def swing(at_s: float) -> float:
            turn = at_s * 1000 / wave.period + phase
            value = wave.mean + wave.amplitude * math.sin(turn * math.tau) + chance.uniform(-1, 1) * wave.noise
            return round(value, signal.digits)

        return swing
    if signal.counter is not None:
        counter, pace = signal.counter, chance.uniform(0.8, 1.2)
        return lambda at_s: round(counter.start + counter.rate * pace * at_s, signal.digits)
    assert signal.walk is not None
    walk, value = signal.walk, signal.walk.start

    def go(_: float) -> float:
        nonlocal value
        value += chance.uniform(-walk.step, walk.step)
        value = max(value, walk.min) if walk.min is not None else value
        value = min(value, walk.max) if walk.max is not None else value
        return round(value, signal.digits)

    return go
