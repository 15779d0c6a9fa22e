"""Season standings and reputation as assets."""

from typing import Any

from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    BackfillPolicy,
    MaterializeResult,
    asset,
)

from lightchallenge_dagster.assets.catalog import OWNERS, STANDING, TABLES
from lightchallenge_dagster.assets.metadata import (
    LIVE,
    merged_report_metadata,
    report_metadata,
    table_metadata,
)
from lightchallenge_dagster.assets.partitions import SEASONS
from lightchallenge_dagster.assets.standing_views import reputation_shown, standings_shown
from lightchallenge_dagster.jobs import lease
from lightchallenge_dagster.resources.database import DatabaseResource

REPUTATION_LEASE = "reputation"


def standings_lease(season: str) -> str:
    """The lease under which one season is computed."""
    return f"standings:{season}"


@asset(
    deps=[
        AssetDep("rankings", partition_mapping=AllPartitionMapping()),
        AssetDep("verdicts", partition_mapping=AllPartitionMapping()),
        "chain_winners",
        "chain_challenges",
        "stakes",
        "seasons",
        "competitions",
        "season_competitions",
        "bracket_matches",
        "team_roster",
    ],
    partitions_def=SEASONS,
    backfill_policy=BackfillPolicy.single_run(),
    group_name=STANDING,
    kinds={"postgres", "polars"},
    owners=OWNERS[STANDING],
    description=TABLES["season_standings"].description,
)
def season_standings(
    context: AssetExecutionContext, database: DatabaseResource
) -> MaterializeResult[Any]:
    """Compute the partitions' seasons."""
    from lightchallenge_dagster.steps import standings

    engine = database.engine()
    reports: dict[str, Any] = {}
    for season in context.partition_keys:
        with lease.held(engine, standings_lease(season), context.run.run_id, context.run.tags):
            reports[season] = standings.compute(engine, season)
    return MaterializeResult(
        data_version=LIVE,
        metadata=standings_shown(engine, context.partition_keys)
        | merged_report_metadata(reports)
        | table_metadata(engine, TABLES["season_standings"]),
    )


@asset(
    deps=["achievement_mints"],
    group_name=STANDING,
    kinds={"postgres", "polars"},
    owners=OWNERS[STANDING],
    description=TABLES["reputation"].description,
)
def reputation(
    context: AssetExecutionContext, database: DatabaseResource
) -> MaterializeResult[Any]:
    """Compute every wallet's points and level."""
    from lightchallenge_dagster.steps import reputation as step

    engine = database.engine()
    with lease.held(engine, REPUTATION_LEASE, context.run.run_id, context.run.tags):
        report = step.compute(engine)
    return MaterializeResult(
        data_version=LIVE,
        metadata=reputation_shown(engine)
        | report_metadata(report)
        | table_metadata(engine, TABLES["reputation"]),
    )


STANDING_ASSETS = [season_standings, reputation]
