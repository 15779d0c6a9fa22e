"""The indexer against a chain and nodes that misbehave: every table equals the oracle's replay."""

from __future__ import annotations

import pytest

from tests.simulator.soak import regressions, remember
from tests.simulator.runner import Arena, run

SEEDS = 20


@pytest.mark.parametrize("seed", sorted({*range(SEEDS), *regressions()}))
def test_every_table_equals_the_replay_of_the_canonical_chain(servers: Arena, seed: int) -> None:
    result = run(servers, seed)
    if result.differences:
        remember(seed, result.differences[0])
    assert not result.differences, f"seed {seed}:\n" + "\n".join(result.differences)
