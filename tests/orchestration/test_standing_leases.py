"""A run launched for standings or reputation gives its lease back, so the next one is not kept
waiting until the lease expires."""

from __future__ import annotations

import pytest
from dagster import DagsterInstance

from tests import builders as b
from tests.orchestration.conftest import World
from tests.orchestration.test_sensors import ANN, Case, Desk, a_mint, a_season


@pytest.mark.parametrize(
    ("case", "job"),
    [
        (Case("standings_sensor", a_season), "compute_standings"),
        (Case("reputation_sensor", a_mint), "compute_reputation"),
    ],
    ids=["standings", "reputation"],
)
def test_what_comes_up_after_a_run_is_launched_at_once(
    case: Case, job: str, world: World, instance: DagsterInstance
) -> None:
    desk = Desk(case, world, instance)
    case.work(world)
    request = desk.tick().requests[0]
    if request.partition_key is not None:
        instance.add_dynamic_partitions("season", [request.partition_key])
    result = desk.definitions.resolve_job_def(job).execute_in_process(
        instance=instance, tags=request.tags, partition_key=request.partition_key
    )
    assert result.success
    assert desk.tick().requests == [], "nothing is left to do"

    b.mint(world.database, 2, ANN)
    b.execute(world.database, "update public.bracket_matches set winner = participant_b")
    assert len(desk.tick().requests) == 1
