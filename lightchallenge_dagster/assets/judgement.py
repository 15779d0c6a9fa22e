"""Verdicts and rankings as assets, cut by the UTC day their challenge ends."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    BackfillPolicy,
    Config,
    MaterializeResult,
    TableColumnDep,
    TableColumnLineage,
    asset,
)
from pydantic import Field

from lightchallenge_dagster.assets.catalog import JUDGEMENT, OWNERS, TABLES, Table
from lightchallenge_dagster.assets.metadata import (
    LIVE,
    merged_report_metadata,
    table_metadata,
)
from lightchallenge_dagster.assets.partitions import CHALLENGE_DAYS
from lightchallenge_dagster.assets.standing_views import rankings_shown, verdicts_shown
from lightchallenge_dagster.jobs import lease
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy

if TYPE_CHECKING:
    from sqlalchemy import Engine


def _lineage(**columns: Iterable[tuple[str, str]]) -> TableColumnLineage:
    return TableColumnLineage(
        deps_by_column={
            column: [TableColumnDep(AssetKey(key), source) for key, source in sources]
            for column, sources in columns.items()
        }
    )


VERDICT_LINEAGE = _lineage(
    challenge_id=[("evidence", "challenge_id")],
    subject=[("evidence", "subject")],
    score=[("evidence", "data"), ("challenges", "proof"), ("challenges", "params")],
    reasons=[("evidence", "data"), ("challenges", "proof"), ("challenges", "params")],
    evidence_hash=[("evidence", "evidence_hash")],
    created_at=[("evidence", "created_at")],
)
RANKING_LINEAGE = _lineage(
    challenge_id=[("verdicts", "challenge_id")],
    subject=[("verdicts", "subject"), ("stakes", "subject")],
    score=[("verdicts", "score")],
    tie_break_at=[("verdicts", "created_at")],
    rank=[("verdicts", "score"), ("verdicts", "created_at")],
    winner=[("verdicts", "score"), ("challenges", "proof")],
)


class Judgement(Config):
    """What a run judges of its days. Rows that come out the same are never written."""

    everything: bool = Field(
        default=True,
        description="Judge all evidence again, not only what is new or changed. The sensor's runs "
        "say false; a backfill judges everything.",
    )
    overwrite_settled: bool = Field(
        default=False,
        description="Also change verdicts that a binding, a proof or a closed ranking hangs on. "
        "Who won a closed ranking stays even then.",
    )


@asset(
    deps=["evidence", "challenges", "chain_challenges", "models"],
    partitions_def=CHALLENGE_DAYS,
    backfill_policy=BackfillPolicy.single_run(),
    group_name=JUDGEMENT,
    kinds={"postgres", "python"},
    owners=OWNERS[JUDGEMENT],
    description=TABLES["verdicts"].description,
)
def verdicts(
    context: AssetExecutionContext,
    config: Judgement,
    database: DatabaseResource,
    chain: ChainResource,
    policy: Policy,
) -> MaterializeResult[Any]:
    """Judge the partitions' evidence, all of it unless the run says otherwise."""
    from lightchallenge_dagster.steps import judge

    engine, now = _prepared(database, chain, policy)

    def judged(day: str) -> judge.JudgeReport:
        return judge.judge(
            engine,
            day,
            now,
            full=config.everything or config.overwrite_settled,
            overwrite_settled=config.overwrite_settled,
        )

    reports = _by_day(context, engine, judged, last=False)
    shown = verdicts_shown(engine, context.partition_keys, now)
    return _result(engine, TABLES["verdicts"], reports, shown, VERDICT_LINEAGE)


@asset(
    deps=["verdicts", "stakes", "chain_challenges"],
    partitions_def=CHALLENGE_DAYS,
    backfill_policy=BackfillPolicy.single_run(),
    group_name=JUDGEMENT,
    kinds={"postgres", "polars"},
    owners=OWNERS[JUDGEMENT],
    description=TABLES["rankings"].description,
)
def rankings(
    context: AssetExecutionContext,
    database: DatabaseResource,
    chain: ChainResource,
    policy: Policy,
) -> MaterializeResult[Any]:
    """Rank every competitive challenge of the partitions; close those whose time has come."""
    from lightchallenge_dagster.steps import rank

    engine, now = _prepared(database, chain, policy)
    reports = _by_day(context, engine, lambda day: rank.rank(engine, day, now), last=True)
    shown = rankings_shown(engine, context.partition_keys)
    return _result(engine, TABLES["rankings"], reports, shown, RANKING_LINEAGE)


def judgement_lease(day: str) -> str:
    """The lease under which one day is judged and ranked."""
    return f"judge:{day}"


def _prepared(
    database: DatabaseResource, chain: ChainResource, policy: Policy
) -> tuple["Engine", datetime]:
    """The engine with every plan up to date, and chain time."""
    from lightchallenge_dagster.steps import plan

    engine = database.engine()
    now = chain.now()
    plan.refresh_plans(engine, policy.plans())
    return engine, now


def _result(
    engine: "Engine",
    table: Table,
    reports: dict[str, Any],
    shown: dict[str, Any],
    lineage: TableColumnLineage,
) -> MaterializeResult[Any]:
    return MaterializeResult(
        data_version=LIVE,
        metadata=shown
        | merged_report_metadata(reports)
        | table_metadata(engine, table)
        | {"dagster/column_lineage": lineage},
    )


def _by_day(
    context: AssetExecutionContext,
    engine: "Engine",
    step: Callable[[str], Any],
    *,
    last: bool,
) -> dict[str, Any]:
    reports: dict[str, Any] = {}
    for day in context.partition_keys:
        with lease.held(
            engine,
            judgement_lease(day),
            context.run.run_id,
            context.run.tags,
            keep_handed_over=not last,
        ):
            reports[day] = step(day)
    return reports


JUDGEMENT_ASSETS = [verdicts, rankings]
