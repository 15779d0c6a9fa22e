"""Evidence as an asset."""

from datetime import UTC, datetime
from typing import Any

from dagster import AssetExecutionContext, BackfillPolicy, MaterializeResult, asset

from lightchallenge_dagster.assets.catalog import EVIDENCE, OWNERS, TABLES
from lightchallenge_dagster.assets.metadata import LIVE, report_metadata, table_metadata
from lightchallenge_dagster.assets.partitions import CHALLENGE_DAYS
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.sources import EvidenceSources


@asset(
    deps=["opendota_api", "upload_inbox", "linked_accounts", "identity_bindings", "participants"],
    partitions_def=CHALLENGE_DAYS,
    backfill_policy=BackfillPolicy.single_run(),
    group_name=EVIDENCE,
    kinds={"postgres", "api"},
    owners=OWNERS[EVIDENCE],
    description=TABLES["evidence"].description,
)
def evidence(
    context: AssetExecutionContext, database: DatabaseResource, sources: EvidenceSources
) -> MaterializeResult[Any]:
    """Collect again for the challenges that end on the partitions' days."""
    from lightchallenge_dagster.steps import collect

    report = collect.collect(
        database.engine(),
        sources.clients(),
        sources.lookback_days,
        datetime.now(UTC),
        partitions=context.partition_keys,
    )
    return MaterializeResult(
        data_version=LIVE,
        metadata=report_metadata(report) | table_metadata(database.engine(), TABLES["evidence"]),
    )
