"""The indexed tables as assets.

The live follower (job ``follow_chain``) writes all of them in one transaction and reports their
materializations. Materializing one here is the other way in: ``chain_logs`` reads a block range
again, a projection is rebuilt from the stored logs.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    MaterializeResult,
    asset,
)

from lightchallenge_dagster.assets.catalog import CHAIN, MONEY, OWNERS, TABLES
from lightchallenge_dagster.assets.metadata import (
    LIVE,
    endpoints_metadata,
    markdown_table,
    report_metadata,
    table_metadata,
)
from lightchallenge_dagster.assets.partitions import BLOCK_RANGES
from lightchallenge_dagster.assets.plots import lag_plot
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.rules.ranges import partition_bounds

if TYPE_CHECKING:
    from sqlalchemy import Engine


@asset(
    deps=["lightchain_node"],
    partitions_def=BLOCK_RANGES,
    backfill_policy=BackfillPolicy.single_run(),
    group_name=CHAIN,
    kinds={"postgres", "ethereum"},
    owners=OWNERS[CHAIN],
    description=TABLES["chain_logs"].description,
)
def chain_logs(
    context: AssetExecutionContext, database: DatabaseResource, chain: ChainResource
) -> MaterializeResult[Any]:
    """Read the partitions' blocks again and heal what differs."""
    from lightchallenge_dagster.steps import index

    engine, reader = database.engine(), chain.reader()
    bounds = [partition_bounds(key) for key in context.partition_keys]
    contracts = chain.contracts(reader.rpc)
    report = index.heal(
        engine,
        reader,
        chain.index_policy(),
        contracts.challenge_snapshot,
        min(first for first, _ in bounds),
        max(last for _, last in bounds),
        achievement=contracts.achievement_of if chain.achievement else None,
    )
    return MaterializeResult(
        data_version=LIVE,
        metadata=chain_logs_metadata(
            engine, chain, report_metadata(report) | endpoints_metadata(reader.rpc)
        ),
    )


def chain_logs_metadata(
    engine: "Engine", chain: ChainResource, report: Mapping[str, Any]
) -> dict[str, Any]:
    """What every materialization of chain_logs shows: the lag, the report, what is verified, the
    table."""
    from lightchallenge_dagster.steps import verify
    from lightchallenge_dagster.steps.health import LAG_LIMIT_BLOCKS

    streams = verify.watermarks(engine, chain.index_policy())
    columns = ("contract", "verified up to", "late", "wrong", "history", "problem")
    rows = [
        (
            one.key.role,
            one.block_number,
            one.late_logs,
            one.wrong_logs,
            one.history_logs,
            one.problem,
        )
        for one in streams
    ]
    plot = lag_plot(engine, chain.chain_id, LAG_LIMIT_BLOCKS + chain.confirmation_blocks)
    shown: dict[str, Any] = {} if plot is None else {"lag_over_time": plot}
    shown.update(report)
    if streams:
        shown["verified_block"] = streams[0].block_number
        shown["verified_streams"] = markdown_table(columns, rows)
    return shown | table_metadata(engine, TABLES["chain_logs"])


def projection(
    key: str, *, group: str = CHAIN, deps: Sequence[str] = ("chain_logs",)
) -> AssetsDefinition:
    """The asset of a table computed from ``chain_logs``; materializing it needs no node."""
    table = TABLES[key]

    @asset(
        name=key,
        deps=list(deps),
        group_name=group,
        kinds={"postgres"},
        owners=OWNERS[group],
        description=table.description,
    )
    def rebuild(database: DatabaseResource, chain: ChainResource) -> MaterializeResult[Any]:
        from lightchallenge_dagster.steps import index

        report = index.rebuild(database.engine(), chain.index_policy(), key)
        return MaterializeResult(
            data_version=LIVE,
            metadata=report_metadata(report) | table_metadata(database.engine(), table),
        )

    return rebuild


PROJECTED = [
    "challenges",
    "chain_challenges",
    "participants",
    "stakes",
    "claims",
    "chain_winners",
    "inference_requests",
    "bindings",
    "achievement_mints",
]

CHAIN_ASSETS = [
    chain_logs,
    *(projection(key) for key in PROJECTED),
    projection("aivm_jobs", group=MONEY, deps=("chain_logs", "inference_requests")),
]

#: What one commit of the follower writes, chain_logs apart.
FOLLOWED = [*PROJECTED, "aivm_jobs"]
