"""Jobs on the chain's tables: follow, verify, set the checkpoint, rebuild a projection."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dagster import AssetObservation, Config, Failure, OpExecutionContext, job, op
from pydantic import Field

from lightchallenge_dagster.assets.catalog import TABLES
from lightchallenge_dagster.assets.chain import FOLLOWED, chain_logs_metadata
from lightchallenge_dagster.assets.metadata import (
    endpoints_metadata,
    markdown_table,
    materialization,
    report_metadata,
    table_metadata,
)
from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.jobs import lease
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.rules.ranges import partitions_of
from lightchallenge_dagster.storage import lag

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.rpc import Rpc

#: A run says this often how far it is.
SAY_EVERY_S = 15.0
#: set_checkpoint waits this long for the follower to end, or for the lease of one that died.
WAIT_FOR_FOLLOWER_S = 180.0


def follow_lease(chain_id: int) -> str:
    """The lease under which one chain is followed."""
    return f"follow:{chain_id}"


def verify_lease(chain_id: int) -> str:
    """The lease under which one chain is read a second time."""
    return f"verify:{chain_id}"


@op
def follow_blocks(
    context: OpExecutionContext, database: DatabaseResource, chain: ChainResource
) -> None:
    """Index from the checkpoint to the newest confirmed block."""
    from lightchallenge_dagster.steps import index

    engine, reader = database.engine(), chain.reader()
    name = follow_lease(chain.chain_id)
    with (
        lease.held(engine, name, context.run_id, context.run_tags) as heartbeat,
        _endpoints_told(context, reader.rpc),
    ):
        contracts = chain.contracts(reader.rpc)
        report = index.follow(
            engine,
            reader,
            chain.index_policy(),
            contracts.challenge_snapshot,
            _sampling(engine, chain, heartbeat),
            achievement=contracts.achievement_of if chain.achievement else None,
        )
    with engine.begin() as connection:
        lag.sample(connection, chain.chain_id, report.head, report.head_ts)
    metadata = report_metadata(report) | endpoints_metadata(reader.rpc)
    context.add_output_metadata(metadata)
    _report(context, engine, chain, metadata, report.partitions, report.rows_changed)


@op
def verify_blocks(
    context: OpExecutionContext, database: DatabaseResource, chain: ChainResource
) -> None:
    """Read again what lies behind the checkpoint, compare and repair."""
    from lightchallenge_dagster.steps import verify

    engine, reader, policy = database.engine(), chain.reader(), chain.index_policy()
    name = verify_lease(chain.chain_id)

    def where() -> str:
        streams = verify.watermarks(engine, policy)
        return f"verified up to block {streams[0].block_number}" if streams else "starting"

    with (
        lease.held(engine, name, context.run_id, context.run_tags) as heartbeat,
        _endpoints_told(context, reader.rpc),
    ):
        contracts = chain.contracts(reader.rpc)
        report = verify.verify(
            engine,
            reader,
            policy,
            contracts.challenge_snapshot,
            _saying(context, where, heartbeat),
            achievement=contracts.achievement_of if chain.achievement else None,
            behind=chain.verify_behind_blocks,
        )
    metadata = report_metadata(replace(report, findings=[])) | endpoints_metadata(reader.rpc)
    if report.findings:
        rows = [
            (one.finding, one.log.block_number, one.log.log_index, one.event, one.log.tx_hash)
            for one in report.findings[:100]
        ]
        metadata["found"] = markdown_table(("", "block", "log", "event", "transaction"), rows)
    context.add_output_metadata(metadata)
    if report.late_logs or report.wrong_logs or report.history_logs:
        partitions = partitions_of(report.from_block, report.to_block)
        _report(context, engine, chain, metadata, partitions, report.rows_changed)
    else:
        # Nothing was written, and still it is worth seeing on the table's page.
        context.log_event(
            AssetObservation("chain_logs", metadata=chain_logs_metadata(engine, chain, metadata))
        )


class CheckpointConfig(Config):
    """Where to set the checkpoint. With neither, STATUS_INDEXER_SEED_LOOKBACK blocks back."""

    block: int | None = Field(
        None, ge=0, description="The last block that counts as read; the next one is read first."
    )
    look_back: int | None = Field(
        None, ge=0, description="Blocks below the confirmed head, instead of a block."
    )


@op
def move_checkpoint(
    context: OpExecutionContext,
    config: CheckpointConfig,
    database: DatabaseResource,
    chain: ChainResource,
) -> None:
    """Undo what hangs above the block, in one transaction; the follower reads it again."""
    from lightchallenge_dagster.steps.set_checkpoint import CheckpointRefused, set_checkpoint

    engine, reader = database.engine(), chain.reader()
    look_back = config.look_back
    if config.block is None and look_back is None:
        look_back = chain.seed_lookback
    refused = report = None
    with _when_free(context, engine, follow_lease(chain.chain_id)):
        try:
            report = set_checkpoint(
                engine, reader, chain.index_policy(), block=config.block, look_back=look_back
            )
        except CheckpointRefused as error:
            # Nothing was touched, so the follower need not wait for the lease to expire.
            refused = error
    if refused is not None:
        raise Failure(str(refused), allow_retries=False)
    if report is None:
        raise AssertionError("either refused or done")
    metadata = report_metadata(report)
    context.add_output_metadata(metadata)
    after = report.before if report.before is not None else report.block
    partitions = partitions_of(report.block + 1, after)
    _report(context, engine, chain, metadata, partitions, report.rows_changed)


class ProjectionsConfig(Config):
    """Which projections to rebuild; all of them when none is named."""

    names: list[str] = Field([], description="Such as claims or stakes; empty for all of them.")


@op
def rebuild_projections(
    context: OpExecutionContext,
    config: ProjectionsConfig,
    database: DatabaseResource,
    chain: ChainResource,
) -> None:
    """Recompute tables from the stored logs and the snapshots beside them, without the chain."""
    from lightchallenge_dagster.steps import index

    engine, policy = database.engine(), chain.index_policy()
    unknown = sorted(set(config.names) - index.PROJECTIONS.keys())
    if unknown:
        raise Failure(
            f"there is no projection {', '.join(unknown)}; there are"
            f" {', '.join(index.PROJECTIONS)}",
            allow_retries=False,
        )
    changed: dict[str, int] = {}
    seconds = 0.0
    for name in index.PROJECTIONS:
        if config.names and name not in config.names:
            continue
        report = index.rebuild(engine, policy, name)
        changed[name] = report.rows_changed
        seconds += report.seconds_sql
        context.log_event(
            materialization(name, report_metadata(report) | table_metadata(engine, TABLES[name]))
        )
    context.add_output_metadata(
        {
            "rows_changed": sum(changed.values()),
            "projections": markdown_table(("projection", "rows changed"), changed.items()),
            "seconds_sql": seconds,
        }
    )


@job(description="Index new confirmed blocks into chain_logs and every projection.")
def follow_chain() -> None:
    """Launched by ``block_sensor``."""
    follow_blocks()


@job(description="Read indexed blocks a second time, compare, and repair what differs.")
def verify_chain() -> None:
    """Launched by ``verification_sensor``."""
    verify_blocks()


@job(
    name="set_checkpoint",
    description="Seed the indexer, or set it back: what hangs above the block is undone and read "
    "again. Going forward over unread blocks is refused.",
)
def set_checkpoint_job() -> None:
    """Launched by hand: the runbook's seedStatusIndexer."""
    move_checkpoint()


@job(description="Recompute tables from the stored logs, without the chain.")
def rebuild_projection() -> None:
    """Launched by hand; materializing one table does the same for it."""
    rebuild_projections()


# ── What the ops share ──────────────────────────────────────────────────────────────────────


def _report(
    context: OpExecutionContext,
    engine: "Engine",
    chain: ChainResource,
    metadata: Mapping[str, Any],
    partitions: Sequence[str],
    rows_changed: Mapping[str, int],
) -> None:
    """Say that chain_logs and what follows from it are as of now."""
    logs = chain_logs_metadata(engine, chain, metadata)
    for key in partitions:
        context.log_event(materialization("chain_logs", logs, partition=key))
    # All of them, also those without a change: each is as of this range now, and Dagster would call
    # the others out of sync with chain_logs.
    for key in FOLLOWED:
        changed = rows_changed.get(TABLES[key].name, 0)
        context.log_event(
            materialization(key, table_metadata(engine, TABLES[key]) | {"rows_changed": changed})
        )


@contextmanager
def _endpoints_told(context: OpExecutionContext, rpc: "Rpc") -> Generator[None]:
    """A run that fails has no metadata: what went wrong with which endpoint goes to its log."""
    try:
        yield
    except Exception:
        for one in rpc.endpoints:
            context.log.error(f"endpoint {one.label}: {dict(one.counts)}, last: {one.last_error}")
        raise


def _saying(
    context: OpExecutionContext, where: Callable[[], str], heartbeat: Callable[[], None]
) -> Callable[[], None]:
    said = time.monotonic()

    def beat() -> None:
        nonlocal said
        heartbeat()
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            context.log.info(where())

    return beat


def _sampling(
    engine: "Engine", chain: ChainResource, heartbeat: Callable[[], None]
) -> Callable[[], None]:
    # A reader of its own: the follower's is at work in another thread.
    reader = chain.reader()
    sampled = time.monotonic()

    def beat() -> None:
        nonlocal sampled
        heartbeat()
        if time.monotonic() - sampled < lag.SAMPLE_EVERY_S:
            return
        sampled = time.monotonic()
        # A sample is no reason to end a run: the follower will find out about the node itself.
        with suppress(TransientError):
            head = reader.head()
            with engine.begin() as connection:
                lag.sample(connection, chain.chain_id, head.number, head.timestamp)

    return beat


@contextmanager
def _when_free(context: OpExecutionContext, engine: "Engine", name: str) -> Generator[None]:
    """Hold the follower's lease, waiting for a run in flight to end."""
    until = time.monotonic() + WAIT_FOR_FOLLOWER_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lease.held(engine, name, context.run_id, context.run_tags))
                break
            except lease.LeaseTaken:
                if time.monotonic() > until:
                    raise
            context.log.info(f"waiting for the lease {name!r}: a run is in flight, or died lately")
            time.sleep(2.0)
        yield
