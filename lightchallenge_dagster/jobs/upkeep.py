"""Upkeep of Dagster's own history: event log rows grow for ever otherwise."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from datetime import UTC, datetime, timedelta

from dagster import (
    Config,
    DagsterInstance,
    DagsterRunStatus,
    OpExecutionContext,
    RunRecord,
    RunsFilter,
    job,
    op,
)

from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.storage import lag

#: Runs older than this are deleted with their events; materializations keep their newest run.
KEEP_RUNS_DAYS = 30
_BATCH = 500

_FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


class RetentionConfig(Config):
    """How much history to keep, in days."""

    keep_days: int = KEEP_RUNS_DAYS


def old_runs(instance: DagsterInstance, keep_days: int, limit: int = _BATCH) -> list[RunRecord]:
    """Finished runs created more than ``keep_days`` ago, at most ``limit``."""
    before = datetime.now(UTC) - timedelta(days=keep_days)
    return list(
        instance.get_run_records(
            RunsFilter(statuses=_FINISHED, created_before=before), limit=limit, ascending=True
        )
    )


@op
def delete_old_runs(context: OpExecutionContext, config: RetentionConfig) -> None:
    """Delete finished runs beyond the kept days, with their events."""
    deleted = 0
    while records := old_runs(context.instance, config.keep_days):
        for record in records:
            context.instance.delete_run(record.dagster_run.run_id)
        deleted += len(records)
    context.add_output_metadata({"runs_deleted": deleted, "keep_days": config.keep_days})


@op
def delete_old_samples(context: OpExecutionContext, database: DatabaseResource) -> None:
    """Delete samples of the indexer's lag beyond the days that are drawn from."""
    with database.engine().begin() as connection:
        deleted = lag.drop_old(connection)
    context.add_output_metadata({"samples_deleted": deleted, "keep_days": lag.KEEP_DAYS})


@job(description="Delete finished runs and lag samples older than the kept days.")
def prune_run_history() -> None:
    """Launched daily by ``daily_retention`` when there is something to delete."""
    delete_old_runs()
    delete_old_samples()
