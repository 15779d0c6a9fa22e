"""A little of the storm in every ``make test``; ``make soak-money`` goes on for hours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.money.storm import Arena, arena, run

SEEDS = range(1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with arena(tmp_path_factory.mktemp("storm")) as one:
        yield one


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_dies_in_the_storm_everything_happens_exactly_once(
    servers: Arena, seed: int
) -> None:
    result = run(servers, seed, kills=12, longest_s=8)
    assert sum(result.kills.values()) >= 3
    assert result.differences == [], f"seed {seed}: python -m tests.money --seed {seed} --times 5"
