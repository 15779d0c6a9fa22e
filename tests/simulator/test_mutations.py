"""The simulator can fail: broken on purpose, the indexer is found out."""

from __future__ import annotations

import pytest

from tests.simulator.conftest import Play
from tests.simulator.mutations import MUTATIONS, UNBROKEN
from tests.simulator.worker import NO_RESULT

A_FEW = 8

# A seed from where on it is found soon; any other start would do, a few seeds later.
BEGIN = {"checkpoint first": 7}


# Each takes a quarter of a minute: one at every `make test`.
ALWAYS = {"swallow failed logs"}


@pytest.mark.parametrize(
    "mutation",
    [
        pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow)
        for name in sorted(MUTATIONS.keys() - {UNBROKEN})
    ],
)
def test_an_indexer_broken_on_purpose_is_found_out_within_a_few_seeds(
    play: Play, mutation: str
) -> None:
    begin = BEGIN.get(mutation, 3)
    for seed in range(begin, begin + A_FEW):
        found = play(seed, mutation=mutation)["differences"]
        assert not any(NO_RESULT in one for one in found), found
        if found:
            return
    pytest.fail(f"{mutation!r} went unnoticed in {A_FEW} seeds")


@pytest.mark.parametrize("seed", [3, pytest.param(9, marks=pytest.mark.slow)])
def test_the_indexer_as_it_is_stands_what_finds_the_broken_ones_out(play: Play, seed: int) -> None:
    assert not play(seed, mutation=UNBROKEN)["differences"]
