"""Work sensors of judgement and standing: evidence to judge, rankings to close, seasons, mints."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from datetime import UTC, datetime

from dagster import (
    AssetKey,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    define_asset_job,
    sensor,
)

from lightchallenge_dagster.assets.judgement import judgement_lease
from lightchallenge_dagster.assets.partitions import CHALLENGE_DAYS, SEASONS, add_keys
from lightchallenge_dagster.assets.standing import REPUTATION_LEASE, standings_lease
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.sensors.work import Work, requests_or_reason
from lightchallenge_dagster.storage.chain_time import confirmed_now
from lightchallenge_dagster.storage.partitions import challenge_days

judge_and_rank = define_asset_job(
    "judge_and_rank",
    selection=["verdicts", "rankings"],
    description="Judge new evidence of a day's challenges, then rank the competitive ones.",
)
compute_standings = define_asset_job(
    "compute_standings", selection=["season_standings"], description="Compute seasons' standings."
)
compute_reputation = define_asset_job(
    "compute_reputation", selection=["reputation"], description="Compute wallets' reputation."
)

VERDICTS, RANKINGS = AssetKey("verdicts"), AssetKey("rankings")


def judgement_sensor(interval_s: int) -> SensorDefinition:
    """Looks every ``interval_s`` seconds for evidence to judge and rankings to compute or close."""

    @sensor(
        name="judgement_sensor",
        job=judge_and_rank,
        minimum_interval_seconds=interval_s,
        default_status=DefaultSensorStatus.RUNNING,
        description="Evidence without a current verdict; rankings that changed or must close.",
    )
    def look_for_evidence(
        context: SensorEvaluationContext,
        database: DatabaseResource,
        chain: ChainResource,
        policy: Policy,
    ) -> list[RunRequest] | SkipReason:
        from lightchallenge_dagster.steps import judge, plan, rank

        engine = database.engine()
        plan.refresh_plans(engine, policy.plans())
        with engine.connect() as connection:
            now = confirmed_now(connection, chain.chain_id)
            days = challenge_days(connection)
        to_judge = judge.pending(engine)
        to_rank = rank.pending(engine, datetime.fromtimestamp(now, UTC)) if now else {}
        found = [
            _judgement(day, to_judge.get(day, 0), to_rank.get(day, 0))
            for day in sorted({*to_judge, *to_rank})
        ]
        add_keys(context.instance, CHALLENGE_DAYS, {*days, *to_judge, *to_rank})
        return requests_or_reason(engine, found, idle="every verdict and ranking is current")

    return look_for_evidence


def standings_sensor(interval_s: int) -> SensorDefinition:
    """Looks every ``interval_s`` seconds for seasons whose results changed."""

    @sensor(
        name="standings_sensor",
        job=compute_standings,
        minimum_interval_seconds=interval_s,
        default_status=DefaultSensorStatus.RUNNING,
        description="Seasons whose matches, weights or challenge winners changed.",
    )
    def look_for_results(
        context: SensorEvaluationContext, database: DatabaseResource
    ) -> list[RunRequest] | SkipReason:
        engine = database.engine()
        found = standings_work(database)
        add_keys(context.instance, SEASONS, [str(work.partition_key) for work in found])
        return requests_or_reason(engine, found, idle="every season's standings are current")

    return look_for_results


def standings_work(database: DatabaseResource) -> list[Work]:
    """One run for each season whose standings are not current."""
    from lightchallenge_dagster.steps import standings

    return [
        Work(f"season {season}", standings_lease(season), partition_key=season)
        for season in standings.pending(database.engine())
    ]


def reputation_sensor(interval_s: int) -> SensorDefinition:
    """Looks every ``interval_s`` seconds for wallets whose mints changed."""

    @sensor(
        name="reputation_sensor",
        job=compute_reputation,
        minimum_interval_seconds=interval_s,
        default_status=DefaultSensorStatus.RUNNING,
        description="Wallets whose reputation differs from their mints.",
    )
    def look_for_mints(database: DatabaseResource) -> list[RunRequest] | SkipReason:
        from lightchallenge_dagster.steps import reputation

        pending = reputation.pending(database.engine())
        found = [Work(f"{pending} wallets", REPUTATION_LEASE)] if pending else []
        return requests_or_reason(
            database.engine(), found, idle="every wallet's reputation is current"
        )

    return look_for_mints


def _judgement(day: str, to_judge: int, to_rank: int) -> Work:
    # A ranking can need closing with no new evidence; then the verdicts step has nothing to read.
    return Work(
        f"{day}: {to_judge} to judge, {to_rank} challenges to rank",
        judgement_lease(day),
        partition_key=day,
        selection=[VERDICTS, RANKINGS] if to_judge else [RANKINGS],
        config={"verdicts": {"everything": False}} if to_judge else None,
    )
