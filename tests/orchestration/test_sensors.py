"""What each sensor and schedule decides: nothing new, something new, in flight, failed, no node."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    Definitions,
    RunRequest,
    build_schedule_context,
    build_sensor_context,
)
from dagster._core.definitions.partitions.context import partition_loading_context

from lightchallenge_dagster.checks.catalog import Check, Surroundings
from lightchallenge_dagster.definitions import build_defs
from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.sensors import health as health_sensor
from lightchallenge_dagster.sensors.judgement import RANKINGS, VERDICTS
from lightchallenge_dagster.settings import Settings
from lightchallenge_dagster.steps import index, plan
from lightchallenge_dagster.steps.health import Findings
from tests import builders as b
from tests.orchestration.conftest import World

ANN = b.wallet(1)


@dataclass(frozen=True)
class Tick:
    """What one evaluation decided."""

    requests: list[RunRequest]
    skipped: str | None


@dataclass(frozen=True)
class Case:
    """A sensor or schedule, and what gives it something to do."""

    name: str
    work: Callable[[World], Any]
    needs_node: bool = False
    schedule: bool = False


def a_join(world: World) -> None:
    client = Client(world.devnet)
    creator = wallets.user("creator")
    client.fund(creator)
    client.create_challenge(creator)


def a_log_left_out(world: World) -> None:
    """Indexed, but for one event that a node did not show."""
    a_join(world)
    follow(world)
    b.execute(
        world.database,
        "delete from pipeline.chain_logs where event = 'ChallengePay.ChallengeCreated'",
    )


def an_upload(world: World) -> None:
    upload = world.inbox / f"0__{ANN}__strava.json"
    upload.write_text("[]")
    os.utime(upload, (0, 0))  # nobody is writing it any more


def some_evidence(world: World) -> None:
    b.evidence(world.database, 0, ANN, [b.run(5)])


def a_season(world: World) -> None:
    season = b.season(world.database)
    b.match(
        world.database,
        b.competition(world.database, season, type="bracket"),
        ANN,
        b.wallet(2),
        winner=ANN,
    )


def a_mint(world: World) -> None:
    b.mint(world.database, 1, ANN)


def requestable_challenge(world: World) -> None:
    """Judged, staked and complete: the gate of a threshold challenge is open."""
    now = world.anvil.now()
    b.challenge(
        world.database,
        7,
        b.distance_rule(1),
        starts=datetime.fromtimestamp(now - 100, UTC),
        ends=datetime.fromtimestamp(now + 1000, UTC),
        deadline=datetime.fromtimestamp(now + 100_000, UTC),
        model_id="strava.distance@1",
        model_hash=b.HASH,
        proof={
            "backend": "lightchain_poi",
            "paramsHash": b.HASH,
            "benchmarkHash": b.HASH,
            "params": b.distance_rule(1),
        },
    )
    b.stake(world.database, 7, ANN)
    b.verdict(world.database, 7, ANN)
    b.judgement(world.database, 7, ANN)
    plan.refresh_plans(world.database, plan.PlanPolicy(7200, 600))


def settleable_challenge(world: World) -> None:
    requestable_challenge(world)
    task = "0x" + "77" * 32
    b.insert(
        world.database,
        "public.aivm_jobs",
        challenge_id=7,
        status="submitted",
        attempts=1,
        task_id=task,
        created_at=datetime.now(UTC),
        updated_at=datetime.now(UTC),
    )
    b.insert(
        world.database,
        "pipeline.inference_requests",
        request_id=1,
        task_id=task,
        requester=wallets.worker().address,
        model="strava.distance@1",
        prompt_hash=b.HASH,
        prompt_id=b.HASH,
        model_digest=b.HASH,
        det_config_hash=b.HASH,
        status="requested",
        requested_block=1,
        requested_tx=b.HASH,
        requested_ts=world.anvil.now(),
    )


def overdue_challenge(world: World) -> None:
    b.challenge(world.database, 7)


def a_linked_account(world: World) -> None:
    requestable_challenge(world)
    b.insert(
        world.database, "public.participants", challenge_id=7, subject=ANN, source="onchain_join"
    )
    b.insert(
        world.database,
        "public.linked_accounts",
        subject=ANN,
        provider="opendota",
        external_id="86745912",
    )


def follow(world: World) -> None:
    chain = world.resources["chain"]
    index.follow(
        world.database,
        chain.reader(),
        chain.index_policy(),
        chain.contracts().challenge_snapshot,
    )


CASES = [
    Case("block_sensor", a_join, needs_node=True),
    Case("verification_sensor", a_log_left_out, needs_node=True),
    Case("upload_sensor", an_upload),
    Case("judgement_sensor", some_evidence),
    Case("standings_sensor", a_season),
    Case("reputation_sensor", a_mint),
    Case("request_sensor", requestable_challenge),
    Case("settlement_sensor", settleable_challenge),
    Case("finalization_sensor", overdue_challenge),
    Case("collection_schedule", a_linked_account, schedule=True),
    Case("overdue_finalizations", overdue_challenge, schedule=True),
    Case("hourly_standings", a_season, schedule=True),
]
BY_NAME = {case.name: case for case in CASES}
EACH = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


class Desk:
    """Evaluates one sensor or schedule of the real definitions, as the daemon would."""

    def __init__(self, case: Case, world: World, instance: DagsterInstance) -> None:
        self.case = case
        self.instance = instance
        self.definitions = build_defs(Settings(), resource_overrides=world.resources)
        self.blind = build_defs(Settings(), resource_overrides=world.without_a_node())

    def tick(self, *, node: bool = True) -> Tick:
        definitions = self.definitions if node else self.blind
        with partition_loading_context(dynamic_partitions_store=self.instance):
            data = self._schedule(definitions) if self.case.schedule else self._sensor(definitions)
        return Tick(list(data.run_requests or []), data.skip_message)

    def _sensor(self, definitions: Definitions) -> Any:
        sensor = definitions.resolve_sensor_def(self.case.name)
        with build_sensor_context(
            instance=self.instance,
            repository_def=definitions.get_repository_def(),
            resources=definitions.resources,
        ) as context:
            return sensor.evaluate_tick(context)

    def _schedule(self, definitions: Definitions) -> Any:
        schedule = definitions.resolve_schedule_def(self.case.name)
        with build_schedule_context(
            instance=self.instance,
            repository_def=definitions.get_repository_def(),
            resources=definitions.resources,
            scheduled_execution_time=datetime.now(UTC),
        ) as context:
            return schedule.evaluate_tick(context)


@pytest.fixture
def instance(
    request: pytest.FixtureRequest, instance: DagsterInstance, lasting_instance: DagsterInstance
) -> DagsterInstance:
    case = getattr(request.node, "callspec", None)
    if case is not None and case.params["case"].schedule:
        return lasting_instance
    return instance


@pytest.fixture
def followed(world: World) -> World:
    """A world whose chain is indexed up to now."""
    follow(world)
    return world


@EACH
def test_with_nothing_new_no_run_is_launched(
    case: Case, followed: World, instance: DagsterInstance
) -> None:
    tick = Desk(case, followed, instance).tick()
    assert tick.requests == []
    assert tick.skipped, "the UI shows why"


@EACH
def test_something_new_launches_exactly_one_run(
    case: Case, followed: World, instance: DagsterInstance
) -> None:
    case.work(followed)
    assert len(Desk(case, followed, instance).tick().requests) == 1


@EACH
def test_while_that_run_is_in_flight_no_other_is_launched(
    case: Case, followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(case, followed, instance)
    case.work(followed)
    desk.tick()
    tick = desk.tick()
    assert tick.requests == []
    assert "in flight" in str(tick.skipped)


@EACH
def test_a_run_that_failed_is_followed_by_another_attempt_under_a_new_key(
    case: Case, followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(case, followed, instance)
    case.work(followed)
    first = desk.tick().requests[0]
    b.execute(followed.database, "update pipeline.leases set expires_at = now()")
    second = desk.tick().requests[0]
    assert first.run_key != second.run_key


@EACH
def test_an_unreachable_node_is_seen_and_drops_nothing(
    case: Case, followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(case, followed, instance)
    case.work(followed)
    if case.needs_node:
        with pytest.raises(Exception, match="node"):
            desk.tick(node=False)
        assert len(desk.tick().requests) == 1, "the outage took no lease and lost no block"
    else:
        assert len(desk.tick(node=False).requests) == 1, "decided from the database alone"


def test_an_empty_range_is_committed_by_the_tick_itself(
    followed: World, instance: DagsterInstance
) -> None:
    followed.anvil.mine(3)
    tick = Desk(BY_NAME["block_sensor"], followed, instance).tick()
    assert tick.requests == []
    checkpoint = b.rows(followed.database, "select block_number from pipeline.checkpoints")
    assert checkpoint == [(followed.anvil.block_number(),)]


def test_many_blocks_while_a_run_was_busy_become_one_range(
    followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(BY_NAME["block_sensor"], followed, instance)
    a_join(followed)
    desk.tick()
    followed.anvil.mine(40)
    a_join(followed)
    b.execute(followed.database, "update pipeline.leases set expires_at = now()")
    requests = desk.tick().requests
    assert len(requests) == 1
    first, last = requests[0].tags["lightchallenge/blocks"].split("-")
    assert int(last) - int(first) > 40


def range_of(request: RunRequest) -> tuple[int, int]:
    first, last = request.tags["lightchallenge/blocks"].split("-")
    return int(first), int(last)


def checkpoint(world: World) -> int:
    return b.rows(world.database, "select block_number from pipeline.checkpoints")[0][0]


def test_the_block_sensor_decides_in_well_under_a_second(
    followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(BY_NAME["block_sensor"], followed, instance)
    desk.tick()  # imports
    took: list[float] = []
    for work in (lambda: None, lambda: followed.anvil.mine(50), lambda: a_join(followed)):
        work()
        started = time.perf_counter()
        desk.tick()
        took.append(time.perf_counter() - started)
    assert max(took) < 1.0


def test_after_a_failed_run_its_whole_range_is_asked_for_again(
    followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(BY_NAME["block_sensor"], followed, instance)
    before = checkpoint(followed)
    a_join(followed)
    request = desk.tick().requests[0]
    blind = desk.blind.resolve_job_def("follow_chain").execute_in_process(
        instance=instance, tags=request.tags, raise_on_error=False
    )
    assert not blind.success
    assert checkpoint(followed) == before
    assert desk.tick().requests == [], "a pause before the next attempt"
    followed.anvil.mine(2)
    b.execute(followed.database, "update pipeline.leases set expires_at = now()")

    second = desk.tick().requests[0]

    assert range_of(second) == (before + 1, followed.anvil.block_number())
    assert range_of(request)[0] == before + 1
    result = desk.definitions.resolve_job_def("follow_chain").execute_in_process(
        instance=instance, tags=second.tags
    )
    assert result.success
    assert checkpoint(followed) == followed.anvil.block_number()


def test_a_run_whose_lease_was_taken_over_commits_no_second_range(
    followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(BY_NAME["block_sensor"], followed, instance)
    a_join(followed)
    silent = desk.tick().requests[0]
    b.execute(followed.database, "update pipeline.leases set expires_at = now()")
    living = desk.tick().requests[0]
    job = desk.definitions.resolve_job_def("follow_chain")

    late = job.execute_in_process(instance=instance, tags=silent.tags, raise_on_error=False)
    assert not late.success, "at most one range run in flight"
    assert job.execute_in_process(instance=instance, tags=living.tags).success


def test_each_tick_samples_the_lag_at_most_every_fifteen_seconds(
    followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(BY_NAME["block_sensor"], followed, instance)
    followed.anvil.mine(3)
    for _ in range(3):
        desk.tick()
    samples = b.rows(
        followed.database, "select head, checkpoint, lag_blocks from pipeline.lag_samples"
    )
    head = followed.anvil.block_number()
    assert samples == [(head, head, 0)]
    b.execute(followed.database, "update pipeline.lag_samples set at = at - interval '16 seconds'")
    desk.tick()
    assert b.rows(followed.database, "select count(*) from pipeline.lag_samples") == [(2,)]


def test_the_verification_launched_by_its_sensor_brings_back_what_was_left_out(
    followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(BY_NAME["verification_sensor"], followed, instance)
    a_log_left_out(followed)
    request = desk.tick().requests[0]

    result = desk.definitions.resolve_job_def("verify_chain").execute_in_process(
        instance=instance, tags=request.tags
    )

    assert result.success
    assert b.rows(followed.database, "select count(*) from public.challenges") == [(1,)]
    event = result.asset_materializations_for_node("verify_blocks")[0]
    assert event.metadata["late_logs"].value == 1
    assert "ChallengePay.ChallengeCreated" in str(event.metadata["found"].value)
    assert event.metadata["verified_block"].value == checkpoint(followed)
    assert desk.tick().requests == [], "verified, and the lease is given back"


def test_an_idle_chain_is_verified_without_a_run(
    followed: World, instance: DagsterInstance
) -> None:
    tick = Desk(BY_NAME["verification_sensor"], followed, instance).tick()
    assert tick.requests == []
    watermarks = b.rows(
        followed.database, "select distinct block_number from pipeline.verified_streams"
    )
    assert watermarks == [(checkpoint(followed),)]


def test_a_day_old_sample_stays_and_one_of_last_week_is_for_the_daily_job(
    followed: World, lasting_instance: DagsterInstance
) -> None:
    desk = Desk(Case("daily_retention", a_join, schedule=True), followed, lasting_instance)
    for days in (1, 8):
        b.insert(
            followed.database,
            "pipeline.lag_samples",
            chain_id=followed.devnet.chain_id,
            at=datetime.now(UTC) - timedelta(days=days),
            head=1,
            checkpoint=1,
            lag_blocks=0,
            lag_seconds=0,
        )
    assert len(desk.tick().requests) == 1
    result = desk.definitions.resolve_job_def("prune_run_history").execute_in_process(
        instance=lasting_instance
    )
    assert result.success
    assert b.rows(followed.database, "select count(*) from pipeline.lag_samples") == [(1,)]
    assert desk.tick().requests == []


def test_new_evidence_is_judged_and_ranked_in_the_partition_of_its_challenge(
    followed: World, instance: DagsterInstance
) -> None:
    some_evidence(followed)
    request = Desk(BY_NAME["judgement_sensor"], followed, instance).tick().requests[0]
    assert request.partition_key == "unscheduled"
    assert request.asset_selection == [VERDICTS, RANKINGS]
    assert "unscheduled" in instance.get_dynamic_partitions("challenge_day")


def test_the_follower_launched_by_the_sensor_writes_what_happened(
    followed: World, instance: DagsterInstance
) -> None:
    desk = Desk(BY_NAME["block_sensor"], followed, instance)
    a_join(followed)
    request = desk.tick().requests[0]
    result = desk.definitions.resolve_job_def("follow_chain").execute_in_process(
        instance=instance, tags=request.tags
    )
    assert result.success
    assert b.rows(followed.database, "select count(*) from public.participants") == [(1,)]
    materialized = {key for key in instance.all_asset_keys()}
    assert {AssetKey("chain_logs"), AssetKey("participants")} <= materialized
    assert desk.tick().requests == [], "the run gave its lease back and left nothing to do"


def test_retention_launches_nothing_while_no_run_is_old(
    followed: World, lasting_instance: DagsterInstance
) -> None:
    tick = Desk(Case("daily_retention", a_join, schedule=True), followed, lasting_instance).tick()
    assert tick.requests == []
    assert tick.skipped


def test_health_is_reported_once_and_again_only_when_it_changes(
    followed: World, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = build_defs(Settings(), resource_overrides=followed.resources)
    sensor = definitions.resolve_sensor_def("health_sensor")

    clock = [1_000_000.0]
    # On a busy machine a check is slow enough to pause for longer than this test takes.
    now = SimpleNamespace(time=lambda: clock[0], perf_counter=lambda: clock[0])
    monkeypatch.setattr(health_sensor, "time", now)

    def reported(cursor: str | None) -> tuple[dict[str, bool], str | None]:
        clock[0] += 30
        with build_sensor_context(
            instance=instance,
            repository_def=definitions.get_repository_def(),
            resources=definitions.resources,
            cursor=cursor,
        ) as context:
            data = sensor.evaluate_tick(context)
        return {event.check_name: event.passed for event in data.asset_events}, data.cursor

    first, cursor = reported(None)
    assert all(first.values())
    assert len(first) > 20
    again, cursor = reported(cursor)
    assert again == {}
    b.insert(
        followed.database,
        "public.aivm_jobs",
        challenge_id=7,
        status="dead",
        attempts=10,
        created_at=datetime.now(UTC),
        updated_at=datetime.now(UTC),
    )
    changed, _ = reported(cursor)
    assert changed == {"jobs_dead": False}


def test_a_check_that_gets_slow_is_evaluated_more_rarely_and_stays_as_it_was_found_meanwhile(
    followed: World, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = build_defs(Settings(), resource_overrides=followed.resources)
    sensor = definitions.resolve_sensor_def("health_sensor")
    clock = [1_000_000.0]
    looked: list[str] = []

    def slow(check: Check, around: Surroundings) -> Findings:
        looked.append(check.name)
        # Ten seconds for the one that reads all logs; nothing for the others.
        clock[0] += 10 * (check.name == "claims_match_events")
        broken = check.name == "claims_match_events"
        return Findings(["what"], [("wrong",)], 1) if broken else Findings()

    monkeypatch.setattr(health_sensor, "find", slow)
    now = SimpleNamespace(time=lambda: clock[0], perf_counter=lambda: clock[0])
    monkeypatch.setattr(health_sensor, "time", now)

    def tick(cursor: str | None, after_s: float) -> tuple[str | None, str]:
        looked.clear()
        clock[0] += after_s
        with build_sensor_context(
            instance=instance,
            repository_def=definitions.get_repository_def(),
            resources=definitions.resources,
            cursor=cursor,
        ) as context:
            data = sensor.evaluate_tick(context)
        return data.cursor, str(data.skip_message)

    cursor, _ = tick('{"claims_match_events": [[true, 0, 1], 5.0, 9e9]}', 0)
    assert "claims_match_events" in looked, "a cursor of an older version says nothing"
    cursor, said = tick(cursor, 30)
    assert "claims_match_events" not in looked
    assert "stakes_match_events" in looked
    assert said == "red: claims_match_events"
    cursor, _ = tick(cursor, 10 * health_sensor.PACE)
    assert "claims_match_events" in looked
    tick(cursor, -60)
    assert {"claims_match_events", "stakes_match_events"} <= set(looked), "the clock was set back"
