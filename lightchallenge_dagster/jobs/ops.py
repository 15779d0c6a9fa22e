"""What an operator launches by hand: the runbook's ops scripts, each with a dry run and a table.

Jobs that change many rows without naming them are dry runs unless they are told otherwise. The one
that names its challenge runs in earnest.
"""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster import Config, OpExecutionContext, job, op
from pydantic import Field

from lightchallenge_dagster.assets.catalog import TABLES
from lightchallenge_dagster.assets.metadata import lines_metadata, materialization, table_metadata
from lightchallenge_dagster.jobs.money import REQUESTS, SETTLEMENTS
from lightchallenge_dagster.jobs.sending import sending
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.resources.signers import SignersResource
from lightchallenge_dagster.storage.rehearsal import rehearsal

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: The tables that reconcile may have written.
REPAIRED = (
    "chain_challenges",
    "chain_winners",
    "bindings",
    "inference_requests",
    "challenges",
    "aivm_jobs",
)
_DRY = "Show what would be done and take every write back. On by default: switch it off to act."


class RepairConfig(Config):
    """A dry run unless told otherwise."""

    dry_run: bool = Field(True, description=_DRY)


class RunJobConfig(Config):
    """Which challenge, and how."""

    challenge_id: int = Field(ge=1, description="The challenge whose AIVM job is to run now.")
    again: bool = Field(
        False, description="Queue a failed or dead job anew, with its attempts forgiven."
    )
    dry_run: bool = Field(
        False, description="Show what would be sent. Nothing is signed, every write is taken back."
    )


class ResetConfig(RepairConfig):
    """Which jobs hang."""

    minutes: float = Field(
        30, ge=0, description="Without a sign of life for so long, a job in processing hangs."
    )
    challenge_ids: list[int] = Field(
        [],
        description="Reset the jobs of these challenges, and no others; failed and dead ones too.",
    )


class ReconcileConfig(Config):
    """What to compare, and whether to repair. By default it reports and changes nothing."""

    repair: bool = Field(
        False,
        description="Repair what needs no transaction: tables computed again from the stored logs, "
        "flags in proof, missing outcomes, jobs of dead workers. Payments stay with their jobs.",
    )
    dry_run: bool = Field(
        False, description="With repair: do it, show what would be left, and take it back."
    )
    challenge_ids: list[int] = Field([], description="Only these challenges; empty for all.")


class MetadataConfig(RepairConfig):
    """How many URIs to send."""

    batch_size: int | None = Field(
        None, ge=1, le=1000, description="Most URIs to send in this run; unset: BATCH_SIZE."
    )


@op
def run_one_job(
    context: OpExecutionContext,
    config: RunJobConfig,
    database: DatabaseResource,
    chain: ChainResource,
    signers: SignersResource,
    policy: Policy,
) -> None:
    """Dispatch, request and settle one challenge, as far as it goes."""
    from lightchallenge_dagster.steps.ops.run_job import run_aivm_job as step
    from lightchallenge_dagster.steps.settle import SettlePolicy

    worker, finalizer = signers.worker(), signers.finalizer()
    with sending(
        context, database, chain, policy, [worker, finalizer], f"ops:run:{config.challenge_id}",
        [*REQUESTS, *SETTLEMENTS], dry_run=config.dry_run,
    ) as at:  # fmt: skip
        report = step(
            at.engine,
            chain.contracts(),
            at.outbox,
            chain.now_ts(),
            config.challenge_id,
            requests=policy.requests(worker.address),
            settling=SettlePolicy(binder=worker.address, prover=finalizer.address),
            again=config.again,
        )
        at.report(**lines_metadata(report))


@op
def cancel_jobs_of_ended_challenges(
    context: OpExecutionContext, config: RepairConfig, database: DatabaseResource
) -> None:
    """Cancel jobs that have sent nothing and whose challenge ended."""
    from lightchallenge_dagster.steps.ops.terminal_jobs import cancel_terminal_jobs as step

    with _on(database, dry_run=config.dry_run) as engine:
        report = step(engine)
    _report(context, database, report, ["aivm_jobs"], dry_run=config.dry_run)


@op
def write_missing_outcomes(
    context: OpExecutionContext,
    config: RepairConfig,
    database: DatabaseResource,
    chain: ChainResource,
) -> None:
    """Read the outcome of finalized challenges that have none from ChallengePay."""
    from lightchallenge_dagster.steps.ops.outcomes import backfill_chain_outcome as step

    with _on(database, dry_run=config.dry_run) as engine:
        report = step(engine, chain.contracts(), chain.confirmation_blocks)
    _report(context, database, report, ["challenges"], dry_run=config.dry_run)


@op
def set_missing_uris(
    context: OpExecutionContext,
    config: MetadataConfig,
    database: DatabaseResource,
    chain: ChainResource,
    signers: SignersResource,
    policy: Policy,
) -> None:
    """Write the metadata URIs that MetadataRegistry lacks, as its owner."""
    from lightchallenge_dagster.steps.ops import metadata

    owner = signers.metadata()
    with sending(
        context, database, chain, policy, [owner], "ops:metadata", ["metadata"],
        dry_run=config.dry_run,
    ) as at:  # fmt: skip
        report = metadata.backfill_metadata_registry(
            at.engine,
            chain.contracts(),
            at.outbox,
            metadata.MetadataPolicy(
                owner.address,
                policy.metadata_base(),
                config.batch_size or policy.metadata_batch_size,
            ),
        )
        at.report(**lines_metadata(report))


@op
def reset_hanging_jobs(
    context: OpExecutionContext, config: ResetConfig, database: DatabaseResource
) -> None:
    """Queue jobs again whose worker is gone."""
    from lightchallenge_dagster.steps.ops.stuck_jobs import reset_stuck_jobs as step

    with _on(database, dry_run=config.dry_run) as engine:
        report = step(engine, config.minutes, config.challenge_ids or None)
    _report(context, database, report, ["aivm_jobs"], dry_run=config.dry_run)


@op
def compare_with_chain(
    context: OpExecutionContext,
    config: ReconcileConfig,
    database: DatabaseResource,
    chain: ChainResource,
) -> None:
    """Compare the tables with the chain at the checkpoint's block, and repair when told to."""
    from lightchallenge_dagster.steps.ops.reconcile import reconcile as step

    report = step(
        database.engine(),
        chain.contracts(),
        chain.index_policy(),
        challenge_ids=config.challenge_ids or None,
        repair=config.repair,
        dry_run=config.dry_run,
    )
    changed = config.repair and not config.dry_run
    _report(context, database, report, REPAIRED, dry_run=not changed)


# ── What the ops share ──────────────────────────────────────────────────────────────────────


@contextmanager
def _on(database: DatabaseResource, *, dry_run: bool) -> Generator["Engine"]:
    engine = database.engine()
    if not dry_run:
        yield engine
        return
    with rehearsal(engine) as rehearsed:
        yield rehearsed


def _report(
    context: OpExecutionContext,
    database: DatabaseResource,
    report: Any,
    tables: Sequence[str],
    *,
    dry_run: bool,
) -> None:
    context.add_output_metadata({"dry_run": dry_run} | lines_metadata(report))
    if dry_run:
        return
    for key in tables:
        shown = table_metadata(database.engine(), TABLES[key])
        context.log_event(materialization(key, shown))


@job(
    description="Run one challenge's AIVM job by id: dispatch, request and, if due, settle it; "
    "says why not when a gate is shut. Not a dry run unless told so."
)
def run_aivm_job() -> None:
    """Launched by hand: the runbook's runChallengePayAivmJob."""
    run_one_job()


@job(
    description="Cancel AIVM jobs that sent nothing and whose challenge has ended. A dry run "
    "unless dry_run is switched off."
)
def cancel_terminal_jobs() -> None:
    """Launched by hand: the runbook's cancelTerminalJobs."""
    cancel_jobs_of_ended_challenges()


@job(
    description="Write the chain's outcome of finalized challenges that have none. A dry run "
    "unless dry_run is switched off."
)
def backfill_chain_outcome() -> None:
    """Launched by hand: the runbook's backfillChainOutcome."""
    write_missing_outcomes()


@job(
    description="Write the metadata URIs that MetadataRegistry lacks, as its owner; each once, "
    "none overwritten. A dry run unless dry_run is switched off."
)
def backfill_metadata_registry() -> None:
    """Launched by hand: the runbook's backfillRegistry."""
    set_missing_uris()


@job(
    description="Queue AIVM jobs again that hang in processing, and, named by their challenge, "
    "failed and dead ones. A dry run unless dry_run is switched off."
)
def reset_stuck_jobs() -> None:
    """Launched by hand: the runbook's stuck jobs recovery."""
    reset_hanging_jobs()


@job(
    description="Compare the database with the chain at one block: status, outcome, winners, "
    "bindings, jobs, proof flags, claims, intents. Reports; with repair: true it mends what needs "
    "no transaction. It never sends one."
)
def reconcile() -> None:
    """Launched by hand, after a reorg or an incident."""
    compare_with_chain()
