"""Materializing an asset is its backfill: what it recomputes, and what it must leave alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, materialize

from lightchallenge_dagster.assets.chain import CHAIN_ASSETS, chain_logs
from lightchallenge_dagster.assets.evidence import evidence
from lightchallenge_dagster.assets.judgement import rankings, verdicts
from lightchallenge_dagster.assets.standing import reputation, season_standings
from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.steps import index
from tests import builders as b
from tests.orchestration.conftest import World

ANN, BOB = b.wallet(1), b.wallet(2)
FIRST_RANGE = "000000000-000099999"
TWO_DAYS = {
    "dagster/asset_partition_range_start": "2026-03-08",
    "dagster/asset_partition_range_end": "2026-03-09",
}


@pytest.fixture
def backfill(world: World, instance: DagsterInstance) -> Callable[..., dict[str, Any]]:
    """Materializes an asset, as the UI would, and returns its newest metadata by name."""

    def run(asset: Any, tags: Mapping[str, str] | None = None, **how: Any) -> dict[str, Any]:
        keys = [how["partition_key"]] if "partition_key" in how else []
        if asset.partitions_def is not None:
            instance.add_dynamic_partitions(str(asset.partitions_def.name), keys)
        result = materialize(
            [asset], instance=instance, resources=world.resources, tags=dict(tags or {}), **how
        )
        assert result.success
        event: AssetMaterialization = result.asset_materializations_for_node(asset.op.name)[-1]
        return {name: value.value for name, value in event.metadata.items()}

    return run


def follow(world: World, chain: ChainResource | None = None) -> None:
    chain = chain or world.resources["chain"]
    index.follow(
        world.database,
        chain.reader(),
        chain.index_policy(),
        chain.contracts().challenge_snapshot,
    )


def a_challenge_with_a_joiner(world: World) -> int:
    client = Client(world.devnet)
    creator, joiner = wallets.user("creator"), wallets.user("joiner")
    client.fund(creator, joiner)
    challenge_id = client.create_challenge(creator)
    client.join(joiner, challenge_id)
    return challenge_id


def test_a_block_range_is_read_again_and_its_gaps_are_healed(
    world: World, backfill: Callable[..., dict[str, Any]]
) -> None:
    a_challenge_with_a_joiner(world)
    follow(world)
    before = b.rows(world.database, "select block_number, block_hash from pipeline.checkpoints")
    everything = b.rows(world.database, "select * from pipeline.chain_logs order by 2, 3")
    b.execute(world.database, "delete from pipeline.chain_logs where event like '%Joined'")
    metadata = backfill(chain_logs, partition_key=FIRST_RANGE)
    assert metadata["added_logs"] == 1
    assert b.rows(world.database, "select * from pipeline.chain_logs order by 2, 3") == everything
    after = b.rows(world.database, "select block_number, block_hash from pipeline.checkpoints")
    assert after == before, "a backfill never moves the live checkpoint"


def test_a_backfill_heals_a_gap_while_the_follower_goes_on_and_leaves_it_the_checkpoint(
    world: World, backfill: Callable[..., dict[str, Any]]
) -> None:
    honest = world.resources["chain"]
    challenge = a_challenge_with_a_joiner(world)
    follow(world)
    client, carol = Client(world.devnet), wallets.user("carol")
    client.fund(carol)
    followed_to: list[tuple[int, str]] = []

    def checkpoint() -> tuple[int, str]:
        (row,) = b.rows(world.database, "select block_number, block_hash from pipeline.checkpoints")
        return row

    def meanwhile(method: str, params: list[Any], result: Any) -> Any:
        # The backfill has asked for logs; before it has its answer the follower commits a range.
        if method == "eth_getLogs" and not followed_to:
            client.join(carol, challenge)
            follow(world, honest)
            followed_to.append(checkpoint())
        return result

    b.execute(world.database, "delete from pipeline.chain_logs where event like '%Joined'")
    front = world.front()
    front.bend = meanwhile
    world.read_from(front.url)
    metadata = backfill(chain_logs, partition_key=FIRST_RANGE)

    assert metadata["added_logs"] == 1
    assert [checkpoint()] == followed_to, "the follower's, not the backfill's"
    joined = b.rows(
        world.database, "select count(*) from pipeline.chain_logs where event like '%Joined'"
    )
    assert joined == [(2,)]
    assert b.rows(world.database, "select count(*) from pipeline.stakes") == [(3,)]


@pytest.mark.parametrize("asset", CHAIN_ASSETS[1:], ids=lambda asset: asset.key.to_user_string())
def test_a_projection_is_rebuilt_without_a_node(
    asset: Any, world: World, instance: DagsterInstance
) -> None:
    a_challenge_with_a_joiner(world)
    follow(world)
    result = materialize([asset], instance=instance, resources=world.without_a_node())
    assert result.success
    event = result.asset_materializations_for_node(asset.op.name)[-1]
    assert event.metadata["rows_changed"].value == 0, "it was right already"


def test_a_damaged_projection_is_mended(
    world: World, backfill: Callable[..., dict[str, Any]]
) -> None:
    a_challenge_with_a_joiner(world)
    follow(world)
    right = b.rows(world.database, "select * from pipeline.stakes order by 1, 2")
    b.execute(world.database, "update pipeline.stakes set amount_wei = 1")
    stakes = next(asset for asset in CHAIN_ASSETS if asset.key == AssetKey("stakes"))
    assert backfill(stakes)["rows_changed"] == 2
    assert b.rows(world.database, "select * from pipeline.stakes order by 1, 2") == right


def judged(world: World, challenge_id: int, ends: datetime = b.ENDS) -> None:
    b.challenge(world.database, challenge_id, b.competitive(), ends=ends)
    b.stake(world.database, challenge_id, ANN, BOB)
    b.evidence(world.database, challenge_id, ANN, [b.run(5)])
    b.evidence(world.database, challenge_id, BOB, [b.run(8)])


def test_a_day_range_is_judged_and_ranked_in_one_run(
    world: World, instance: DagsterInstance
) -> None:
    follow(world)
    judged(world, 7)
    judged(world, 8, b.DEADLINE)
    instance.add_dynamic_partitions("challenge_day", ["2026-03-08", "2026-03-09"])
    result = materialize(
        [verdicts, rankings], instance=instance, resources=world.resources, tags=TWO_DAYS
    )
    assert result.success
    ranked = b.rows(
        world.database, "select challenge_id, subject, winner from public.rankings order by 1, rank"
    )
    assert ranked == [(7, BOB, True), (7, ANN, False), (8, BOB, True), (8, ANN, False)]


def test_materializing_again_on_unchanged_data_writes_nothing_and_says_so(
    world: World, backfill: Callable[..., dict[str, Any]]
) -> None:
    follow(world)
    judged(world, 7)
    for asset in (verdicts, rankings):
        backfill(asset, partition_key="2026-03-08")
        again = backfill(asset, partition_key="2026-03-08")
        assert again["inserted"] == again["changed"] == 0


def test_a_backfill_judges_everything_again_and_the_sensors_runs_what_has_changed(
    world: World, instance: DagsterInstance
) -> None:
    follow(world)
    judged(world, 7)
    instance.add_dynamic_partitions("challenge_day", ["2026-03-08"])

    def judge(**config: bool) -> dict[str, Any]:
        result = materialize(
            [verdicts],
            instance=instance,
            resources=world.resources,
            partition_key="2026-03-08",
            run_config={"ops": {"verdicts": {"config": config}}} if config else None,
        )
        (event,) = result.asset_materializations_for_node("verdicts")
        return {name: value.value for name, value in event.metadata.items()}

    assert judge()["inserted"] == 2
    # As if by an earlier version of the evaluator: nothing that a sensor looks at tells.
    b.execute(world.database, "update public.verdicts set score = 1 where subject = :ann", ann=ANN)
    assert judge(everything=False)["judged"] == 0
    again = judge()
    assert (again["judged"], again["changed"], again["unchanged"]) == (2, 1, 1)
    b.execute(world.database, "update public.verdicts set score = 1 where subject = :ann", ann=ANN)
    b.intent(world.database, 7, ANN)
    assert (settled := judge())["changed"] == 0 and settled["frozen"] == 1
    assert judge(overwrite_settled=True)["changed"] == 1


def test_a_season_is_computed_by_its_partition(
    world: World, backfill: Callable[..., dict[str, Any]]
) -> None:
    season = b.season(world.database)
    b.match(world.database, b.competition(world.database, season), ANN, BOB, winner=ANN)
    assert backfill(season_standings, partition_key=season)["wallets"] == 2
    points = b.rows(world.database, "select wallet, points from season_standings order by 2 desc")
    assert points == [(ANN, 3), (BOB, 0)]


def test_reputation_is_recomputed(world: World, backfill: Callable[..., dict[str, Any]]) -> None:
    b.mint(world.database, 1, ANN, "victory")
    assert backfill(reputation)["dagster/row_count"] == 1
    assert b.rows(world.database, "select points, level from reputation") == [(150, 2)]


def test_a_day_of_evidence_without_linked_accounts_collects_nothing(
    world: World, backfill: Callable[..., dict[str, Any]]
) -> None:
    assert backfill(evidence, partition_key="2026-03-08")["accounts"] == 0


def test_a_table_shows_its_columns_rows_and_first_ten(
    world: World, backfill: Callable[..., dict[str, Any]]
) -> None:
    follow(world)
    judged(world, 7)
    metadata = backfill(verdicts, partition_key="2026-03-08")
    assert metadata["dagster/row_count"] == 2
    assert metadata["dagster/table_name"] == "public.verdicts"
    columns = {column.name: column.type for column in metadata["dagster/column_schema"].columns}
    assert columns["score"] == "numeric"
    assert ANN in metadata["top_ten"]
    lineage = metadata["dagster/column_lineage"].deps_by_column
    assert lineage["evidence_hash"][0].asset_key == AssetKey("evidence")
