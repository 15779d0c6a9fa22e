"""One worker with its servers for the simulator's tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.simulator.worker import Worker

Play = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    """``play(seed, mutation=…, scale=…)`` -> the result of that seed."""
    worker = Worker()

    def ask(seed: int, *, mutation: str | None = None, scale: float = 1.0) -> dict[str, Any]:
        assert worker.alive, "the worker ended with an earlier seed"
        worker.ask(seed, mutation=mutation, scale=scale)
        return worker.answer()

    yield ask
    worker.close()
