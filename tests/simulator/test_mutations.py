"""The simulator can fail: broken on purpose, the indexer is found out."""

from __future__ import annotations

import pytest

from tests.simulator.mutations import MUTATIONS
from tests.simulator.runner import Arena, run

A_FEW = range(8)


@pytest.mark.parametrize("mutation", sorted(MUTATIONS))
def test_an_indexer_broken_on_purpose_is_found_out_within_a_few_seeds(
    servers: Arena, mutation: str
) -> None:
    for seed in A_FEW:
        if run(servers, seed, mutation=mutation).differences:
            return
    pytest.fail(f"{mutation!r} went unnoticed in {len(A_FEW)} seeds")
