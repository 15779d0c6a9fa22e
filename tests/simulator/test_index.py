"""The indexer against a chain and nodes that misbehave: every table equals the oracle's replay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.__main__ import regressions, remember
from tests.simulator.runner import Arena, Result, arena, run

SEEDS = 20

_results: list[Result] = []


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with arena(tmp_path_factory.mktemp("simulator")) as servers:
        yield servers


@pytest.mark.parametrize("seed", sorted({*range(SEEDS), *regressions()}))
def test_every_table_equals_the_replay_of_the_canonical_chain(servers: Arena, seed: int) -> None:
    result = run(servers, seed)
    _results.append(result)
    if result.differences:
        remember(seed, result.differences[0])
    assert not result.differences, f"seed {seed}:\n" + "\n".join(result.differences)
