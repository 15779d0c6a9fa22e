"""The live follower: one range of blocks from the node into every indexed table."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from dagster import OpExecutionContext, job, op

from lightchallenge_dagster.assets.catalog import TABLES
from lightchallenge_dagster.assets.chain import FOLLOWED
from lightchallenge_dagster.assets.metadata import materialization, report_metadata, table_metadata
from lightchallenge_dagster.jobs import lease
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource


def follow_lease(chain_id: int) -> str:
    """The lease under which one chain is followed."""
    return f"follow:{chain_id}"


@op
def follow_blocks(
    context: OpExecutionContext, database: DatabaseResource, chain: ChainResource
) -> None:
    """Index from the checkpoint to the newest confirmed block."""
    from lightchallenge_dagster.steps import index

    engine = database.engine()
    name = follow_lease(chain.chain_id)
    with lease.held(engine, name, context.run_id, context.run_tags) as heartbeat:
        contracts = chain.contracts()
        report = index.follow(
            engine,
            chain.reader(),
            chain.index_policy(),
            contracts.challenge_snapshot,
            heartbeat,
            achievement=contracts.achievement_of if chain.achievement else None,
        )
    metadata = report_metadata(report)
    context.add_output_metadata(metadata)
    logs = metadata | table_metadata(engine, TABLES["chain_logs"])
    for key in report.partitions:
        context.log_event(materialization("chain_logs", logs, partition=key))
    # All of them, also those without a change: each is as of this range now, and Dagster would call
    # the others out of sync with chain_logs.
    for key in FOLLOWED:
        changed = report.rows_changed.get(TABLES[key].name, 0)
        context.log_event(
            materialization(key, table_metadata(engine, TABLES[key]) | {"rows_changed": changed})
        )


@job(description="Index new confirmed blocks into chain_logs and every projection.")
def follow_chain() -> None:
    """Launched by ``block_sensor``."""
    follow_blocks()
