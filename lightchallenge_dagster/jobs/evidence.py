"""Evidence coming in: provider APIs on a schedule, uploads as they arrive."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagster import OpExecutionContext, job, op

from lightchallenge_dagster.assets.catalog import TABLES
from lightchallenge_dagster.assets.metadata import materialization, report_metadata, table_metadata
from lightchallenge_dagster.jobs import lease
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.sources import EvidenceSources

if TYPE_CHECKING:
    from collections.abc import Iterable

COLLECT_LEASE = "collect"
INTAKE_LEASE = "intake"


@op
def collect_from_providers(
    context: OpExecutionContext, database: DatabaseResource, sources: EvidenceSources
) -> None:
    """Fetch what linked accounts did for the challenges that are open."""
    from lightchallenge_dagster.steps import collect

    engine = database.engine()
    with lease.held(engine, COLLECT_LEASE, context.run_id, context.run_tags) as heartbeat:
        report = collect.collect(
            engine, sources.clients(), sources.lookback_days, datetime.now(UTC), heartbeat
        )
    for failure in report.failed:
        context.log.warning(failure)
    _report(context, database, report, report.partitions)


@op
def take_in_files(
    context: OpExecutionContext, database: DatabaseResource, sources: EvidenceSources
) -> None:
    """Store every waiting upload as evidence, or set it aside with the reason."""
    from lightchallenge_dagster.steps import intake

    engine = database.engine()
    with lease.held(engine, INTAKE_LEASE, context.run_id, context.run_tags) as heartbeat:
        report = intake.take_in(engine, sources.inbox_path(), datetime.now(UTC), heartbeat)
    for name, reason in report.rejected:
        context.log.warning("upload %s was rejected: %s", name, reason)
    _report(context, database, report, report.partitions)


def _report(
    context: OpExecutionContext,
    database: DatabaseResource,
    report: Any,
    partitions: "Iterable[str]",
) -> None:
    metadata = report_metadata(report)
    context.add_output_metadata(metadata)
    metadata |= table_metadata(database.engine(), TABLES["evidence"])
    for day in partitions:
        context.log_event(materialization("evidence", metadata, partition=day))


@job(description="Collect evidence from provider APIs for open challenges.")
def collect_evidence() -> None:
    """Launched by ``collection_schedule``."""
    collect_from_providers()


@job(description="Take uploads from the inbox folder.")
def take_in_uploads() -> None:
    """Launched by ``upload_sensor``."""
    take_in_files()
