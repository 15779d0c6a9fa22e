"""The chain's jobs as an operator runs them: what they do, refuse and show."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult
from PIL import Image

from lightchallenge_dagster.assets.plots import draw_lag, thinned
from lightchallenge_dagster.definitions import build_defs
from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.jobs import chain as jobs
from lightchallenge_dagster.jobs.chain import follow_lease
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.settings import Settings
from lightchallenge_dagster.storage import leases
from lightchallenge_dagster.storage.lag import Sample
from tests import builders as b
from tests.orchestration.conftest import World

Run = Callable[..., ExecuteInProcessResult]


@pytest.fixture
def run(world: World, instance: DagsterInstance) -> Run:
    """Runs a job of the real definitions; ``config`` is its only op's."""

    def execute(job: str, op: str, /, node: bool = True, **config: Any) -> ExecuteInProcessResult:
        resources = world.resources if node else world.without_a_node()
        definitions = build_defs(Settings(), resource_overrides=resources)
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_config={"ops": {op: {"config": config}}} if config else None,
            raise_on_error=False,
        )

    return execute


def a_challenge(world: World) -> int:
    client = Client(world.devnet)
    creator, joiner = wallets.user("creator"), wallets.user("joiner")
    client.fund(creator, joiner)
    challenge = client.create_challenge(creator)
    client.join(joiner, challenge)
    return challenge


def reason(result: ExecuteInProcessResult) -> str:
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    data: Any = failure.event_specific_data
    return str(data.error.message) + str(data.user_failure_data or "") + str(data.error.cause or "")


def checkpoint(world: World) -> int:
    return b.rows(world.database, "select block_number from pipeline.checkpoints")[0][0]


# ── Following ───────────────────────────────────────────────────────────────────────────────


def test_a_follow_run_shows_what_it_did_and_how_far_behind_we_are(world: World, run: Run) -> None:
    a_challenge(world)
    world.anvil.mine(2)
    for minutes in (10, 5):
        b.insert(
            world.database,
            "pipeline.lag_samples",
            chain_id=world.devnet.chain_id,
            at=datetime.now(UTC) - timedelta(minutes=minutes),
            head=100,
            checkpoint=90,
            lag_blocks=10,
            lag_seconds=20,
        )

    result = run("follow_chain", "follow_blocks")

    assert result.success
    shown = result.asset_materializations_for_node("follow_blocks")[0].metadata
    numbers = {name: value.value for name, value in shown.items()}
    (stored,) = b.rows(world.database, "select count(*) from pipeline.chain_logs")[0]
    assert numbers["logs"] == stored >= 2
    assert numbers["blocks"] > 2
    for name in ("rpc_calls", "retries", "splits", "reorg_depth", "lag_blocks", "lag_seconds"):
        assert isinstance(numbers[name], int), name
    assert numbers["rpc_calls"] > 0
    assert numbers["seconds_rpc"] > 0
    assert numbers["seconds_sql"] > 0
    assert "| 1-" in numbers["endpoints"], "by its label, not its URL"
    assert numbers["endpoint_errors"] == 0
    assert world.anvil.url not in str(numbers)
    image = picture(numbers["lag_over_time"])
    assert image.format == "PNG"
    assert "0 blocks (0 s of chain time) behind block" in numbers["lag_over_time"]
    assert "at most 10 in the 10 minutes shown" in numbers["lag_over_time"]


def test_a_failed_follow_run_tells_its_log_which_endpoint_failed(
    run: Run, instance: DagsterInstance
) -> None:
    result = run("follow_chain", "follow_blocks", node=False)
    assert not result.success
    said = " ".join(entry.user_message for entry in instance.all_logs(result.run_id))
    assert re.search(r"endpoint 1-[0-9a-f]{8}: \{.*'unreachable'", said)


# ── Plot ────────────────────────────────────────────────────────────────────────────────────


def picture(markdown: str) -> Image.Image:
    (encoded,) = re.findall(r"data:image/png;base64,([^)]+)\)", markdown)
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def samples(count: int, every_s: int = 15) -> list[Sample]:
    now = datetime.now(UTC)
    return [
        Sample(
            now - timedelta(seconds=every_s * (count - number)),
            1000 + number,
            990 + number - (300 if number == count // 2 else 0),
            None if number < 2 else 900 + number,
            10 + (300 if number == count // 2 else 0),
            20,
        )
        for number in range(count)
    ]


def test_a_day_of_samples_is_a_picture_of_a_few_kilobytes() -> None:
    png = draw_lag(thinned(samples(5760)), 112)
    assert len(png) < 20_000
    image = Image.open(io.BytesIO(png))
    assert image.size == (760, 260)
    corner: Any = image.convert("RGBA").getpixel((2, 2))
    assert corner[3] == 0, "see-through, for the light page and the dark one"


def test_a_short_spike_survives_the_thinning() -> None:
    kept = thinned(samples(5760), 100)
    assert len(kept) <= 100
    assert max(one.lag_blocks for one in kept) == 310
    assert kept == sorted(kept, key=lambda one: one.at)
    assert kept[-1] == samples(5760)[-1] or kept[-1].head == 1000 + 5759


# ── Setting the checkpoint ──────────────────────────────────────────────────────────────────


def test_the_checkpoint_is_set_back_and_the_follower_reads_again(world: World, run: Run) -> None:
    a_challenge(world)
    run("follow_chain", "follow_blocks")
    at = checkpoint(world)

    result = run("set_checkpoint", "move_checkpoint", look_back=1)

    assert result.success
    assert checkpoint(world) == at - 1
    shown = result.asset_materializations_for_node("move_checkpoint")[0].metadata
    assert (shown["before"].value, shown["block"].value) == (at, at - 1)
    assert shown["undone_logs"].value == 1
    assert b.rows(world.database, "select count(*) from pipeline.stakes") == [(1,)]
    assert run("follow_chain", "follow_blocks").success
    assert b.rows(world.database, "select count(*) from pipeline.stakes") == [(2,)]


def test_seeding_takes_the_runbooks_look_back_when_nothing_is_said(world: World, run: Run) -> None:
    world.anvil.mine(30)
    chain = world.resources["chain"].model_dump() | {"seed_lookback": 7}
    world.resources["chain"] = ChainResource(**chain)
    assert run("set_checkpoint", "move_checkpoint").success
    assert checkpoint(world) == world.anvil.block_number() - 7


def test_going_forward_over_unread_blocks_is_refused_and_holds_nobody_up(
    world: World, run: Run
) -> None:
    run("follow_chain", "follow_blocks")
    at = checkpoint(world)
    a_challenge(world)

    result = run("set_checkpoint", "move_checkpoint", block=at + 2)

    assert not result.success
    assert "were never read" in reason(result)
    assert checkpoint(world) == at
    assert run("follow_chain", "follow_blocks").success, "the lease was given back"


def test_it_waits_for_a_run_in_flight(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_challenge(world)
    run("follow_chain", "follow_blocks")
    at = checkpoint(world)
    name = follow_lease(world.devnet.chain_id)
    with world.database.begin() as connection:
        token = leases.acquire(connection, name, "another run", 90.0)
    assert token is not None
    waited: list[int] = []

    def sleep(seconds: float) -> None:
        waited.append(checkpoint(world))
        with world.database.begin() as connection:
            leases.release(connection, name, token)

    monkeypatch.setattr(jobs.time, "sleep", sleep)
    assert run("set_checkpoint", "move_checkpoint", block=at - 1).success
    assert waited == [at]


def test_it_does_not_race_a_run_that_does_not_end(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_challenge(world)
    run("follow_chain", "follow_blocks")
    at = checkpoint(world)
    with world.database.begin() as connection:
        leases.acquire(connection, follow_lease(world.devnet.chain_id), "another run", 90.0)
    monkeypatch.setattr(jobs, "WAIT_FOR_FOLLOWER_S", 0.0)

    result = run("set_checkpoint", "move_checkpoint", block=at - 1)

    assert not result.success
    assert "another run holds the lease" in reason(result)
    assert checkpoint(world) == at


# ── Rebuilding ──────────────────────────────────────────────────────────────────────────────


def test_damaged_projections_are_rebuilt_without_a_node(world: World, run: Run) -> None:
    a_challenge(world)
    run("follow_chain", "follow_blocks")
    right = b.rows(world.database, "select * from pipeline.stakes order by 1, 2")
    b.execute(world.database, "update pipeline.stakes set amount_wei = 1")
    b.execute(world.database, "update public.challenges set status = 'Canceled'")

    one = run("rebuild_projection", "rebuild_projections", node=False, names=["stakes"])

    assert one.success
    assert b.rows(world.database, "select * from pipeline.stakes order by 1, 2") == right
    assert b.rows(world.database, "select status from public.challenges") == [("Canceled",)]
    everything = run("rebuild_projection", "rebuild_projections", node=False)
    assert everything.success
    assert b.rows(world.database, "select status from public.challenges") == [("Active",)]
    assert len(everything.asset_materializations_for_node("rebuild_projections")) == 10


def test_a_projection_that_does_not_exist_is_refused_before_anything_is_rebuilt(
    world: World, run: Run
) -> None:
    result = run("rebuild_projection", "rebuild_projections", names=["stakes", "steaks"])
    assert not result.success
    assert "there is no projection steaks; there are" in reason(result)
    assert result.asset_materializations_for_node("rebuild_projections") == []
