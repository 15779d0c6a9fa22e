"""Collection, overdue finalizations, standings, retention: each looks first, then launches."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from lightchallenge_dagster.assets.partitions import SEASONS, add_keys
from lightchallenge_dagster.jobs.evidence import COLLECT_LEASE, collect_evidence
from lightchallenge_dagster.jobs.money import FINALIZE_LEASE, finalize_challenges
from lightchallenge_dagster.jobs.upkeep import KEEP_RUNS_DAYS, old_runs, prune_run_history
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.sensors.judgement import compute_standings, standings_work
from lightchallenge_dagster.sensors.money import finalizations_due, money_work
from lightchallenge_dagster.sensors.work import Work, requests_or_reason
from lightchallenge_dagster.storage import lag

RUNNING = DefaultScheduleStatus.RUNNING


def collection_schedule(cron: str) -> ScheduleDefinition:
    """By ``cron``, when a linked account of an open challenge is to be read."""

    @schedule(
        name="collection_schedule",
        job=collect_evidence,
        cron_schedule=cron,
        default_status=RUNNING,
        description="Collect evidence for linked accounts of open challenges.",
    )
    def collect_when_due(database: DatabaseResource) -> list[RunRequest] | SkipReason:
        from lightchallenge_dagster.steps import collect

        due = collect.collection_due(database.engine())
        found = [Work(f"{due} accounts", COLLECT_LEASE)] if due else []
        return requests_or_reason(
            database.engine(), found, idle="no open challenge has a linked account"
        )

    return collect_when_due


@schedule(
    job=finalize_challenges,
    cron_schedule="*/10 * * * *",
    default_status=RUNNING,
    description="Finalize what is overdue, should the sensor have been stopped.",
)
def overdue_finalizations(
    database: DatabaseResource, chain: ChainResource, policy: Policy
) -> list[RunRequest] | SkipReason:
    """Every ten minutes."""
    engine = database.engine()
    found = money_work(engine, chain, policy, FINALIZE_LEASE, finalizations_due)
    return requests_or_reason(engine, found, idle="no challenge is overdue")


@schedule(
    job=compute_standings,
    cron_schedule="0 * * * *",
    default_status=RUNNING,
    description="Compute the standings of seasons that changed.",
)
def hourly_standings(
    context: ScheduleEvaluationContext, database: DatabaseResource
) -> list[RunRequest] | SkipReason:
    """Every hour."""
    found = standings_work(database)
    add_keys(context.instance, SEASONS, [str(work.partition_key) for work in found])
    return requests_or_reason(database.engine(), found, idle="every season's standings are current")


@schedule(
    job=prune_run_history,
    cron_schedule="30 3 * * *",
    default_status=RUNNING,
    description=f"Delete finished runs older than {KEEP_RUNS_DAYS} days, and old lag samples.",
)
def daily_retention(
    context: ScheduleEvaluationContext, database: DatabaseResource
) -> RunRequest | SkipReason:
    """Every day at 03:30 UTC."""
    with database.engine().connect() as connection:
        samples = lag.has_old(connection)
    if samples or old_runs(context.instance, KEEP_RUNS_DAYS, limit=1):
        return RunRequest()
    return SkipReason(
        f"no finished run is older than {KEEP_RUNS_DAYS} days, no lag sample older than"
        f" {lag.KEEP_DAYS}"
    )
