"""A SIGKILL at every boundary of every kind of transaction, then a fresh worker: one effect each.

Each case starts from a world right before that kind of transaction. A worker process kills itself
there with a real SIGKILL; others, fresh, bring the world to its end; the oracle reads the chain.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lightchallenge_dagster.devnet.deploy import deploy
from lightchallenge_dagster.devnet.processes import Postgres, start_anvil
from lightchallenge_dagster.devnet.supervisor import Supervisor
from tests.conftest import REMEMBERING
from tests.money.hatchery import Hatchery
from tests.money.ladder import Ladder
from tests.money.worker import Kill

BOUNDARIES = (
    "planned", "simulated", "signed", "stored", "sent", "broadcast", "receipt", "mined", "noted",
)  # fmt: skip

HALFWAY = ("stored", "sent", "mined", "noted")

# Kind of transaction, the rung before it, how many of that kind there are.
KINDS = (
    ("request", "request", 2),
    ("bind", "bind", 4),
    ("clear", "bind", 1),
    ("reclaim", "reclaim", 2),
    ("batch", "proof", 1),
    ("proof", "proof", 1),
    ("finalize", "finalize", 3),
)
CASES = [
    pytest.param(kind, rung, boundary, nth, id=f"{kind} {nth} {boundary}")
    for kind, rung, count in KINDS
    for boundary in BOUNDARIES
    # Between two of a kind as well: half of them are through, the others are not.
    for nth in ((1, (count + 1) // 2) if count > 2 and boundary in HALFWAY else (1,))
]


@pytest.fixture(scope="module")
def ladder(supervisor: Supervisor, postgres: Postgres, migrated_template: str) -> Iterator[Ladder]:
    anvil = start_anvil(supervisor, name="anvil-money", arguments=REMEMBERING)
    deployment = deploy(anvil.url)
    with Hatchery.of(deployment) as hatchery:
        ladder = Ladder(postgres, anvil, deployment, hatchery, migrated_template)
        ladder.warm()
        yield ladder
        ladder.close()
    anvil.handle.stop()


@pytest.mark.parametrize(("kind", "rung", "boundary", "nth"), CASES)
def test_a_process_killed_at_a_boundary_leaves_exactly_one_effect_behind(
    ladder: Ladder, kind: str, rung: str, boundary: str, nth: int
) -> None:
    with ladder.case(rung) as case:
        killed = case.work(kill=Kill(boundary, kind, nth))
        assert killed.returncode == -9, killed.said
        assert killed.died_at == (kind, boundary)
        case.time_passes()
        last = case.finish()
        assert last.report["due"] == {}, last.said
        assert case.differences() == []
