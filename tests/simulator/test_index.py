"""The indexer against a chain and nodes that misbehave: every table equals the oracle's replay."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulator.conftest import Play
from tests.simulator.proxy import KINDS
from tests.simulator.soak import regressions, remember

SEEDS = range(20)
SHORTER = 0.5
"""Half the schedule of the soak, so that twenty fit in a minute; regressions get all of it."""

_played: set[int] = set()
_faults: Counter[str] = Counter()
_kills: Counter[str] = Counter()
_depths: list[int] = []


@pytest.mark.parametrize("seed", SEEDS)
def test_every_table_equals_the_replay_of_the_canonical_chain(play: Play, seed: int) -> None:
    result = play(seed, scale=SHORTER)
    _played.add(seed)
    _faults.update(result["faults"])
    _kills.update(result["kills"])
    _depths.extend(result["reorgs"])
    assert not result["differences"], f"seed {seed}:\n" + "\n".join(result["differences"])


@pytest.mark.parametrize("seed", regressions())
def test_a_seed_that_once_diverged_does_not_any_more(play: Play, seed: int) -> None:
    result = play(seed)
    if result["differences"]:
        remember(seed, result["differences"][0])
    assert not result["differences"], f"seed {seed}:\n" + "\n".join(result["differences"])


def test_these_seeds_had_every_kind_of_fault_kills_and_deep_reorgs() -> None:
    if _played != set(SEEDS):
        pytest.skip("not all seeds were played here")
    missing = set(KINDS) - {kind for kind, count in _faults.items() if count}
    assert missing <= {"cut_at_a_round_number"}, f"faults that never happened: {missing}"
    assert set(_kills) == {"at a request", "at a statement", "at a random moment"}
    assert max(_depths) > 32
