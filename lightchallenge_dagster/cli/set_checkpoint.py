"""``lightchallenge set-checkpoint``."""

from __future__ import annotations

from uuid import uuid4

import click

from lightchallenge_dagster.cli import surroundings
from lightchallenge_dagster.errors import LightChallengeError


@click.command("set-checkpoint", cls=surroundings.DeploymentCommand)
@click.option("--block", type=click.IntRange(min=0), help="The last block that counts as read.")
@click.option(
    "--look-back", type=click.IntRange(min=0), help="Blocks below the confirmed head, instead."
)
def command(block: int | None, look_back: int | None) -> None:
    """Seed the indexer, or set it back; by default STATUS_INDEXER_SEED_LOOKBACK blocks.

    What hangs above the block is undone, and read again by follow_chain. Going forward over
    blocks that were never read is refused.

    \b
    Examples:
      lightchallenge set-checkpoint
      lightchallenge set-checkpoint --look-back 100000
      lightchallenge set-checkpoint --block 4711000
    """
    from lightchallenge_dagster.definitions import resources
    from lightchallenge_dagster.jobs import lease
    from lightchallenge_dagster.jobs.chain import follow_lease
    from lightchallenge_dagster.settings import Settings
    from lightchallenge_dagster.steps import set_checkpoint as step

    loaded = Settings.load()
    engine = surroundings.engine(loaded)
    chain = resources(loaded)["chain"].process_config_and_initialize()
    if block is None and look_back is None:
        look_back = loaded.seed_lookback
    refused = report = None
    with lease.held(engine, follow_lease(chain.chain_id), f"cli {uuid4()}", {}):
        try:
            report = step.set_checkpoint(
                engine, chain.reader(), chain.index_policy(), block=block, look_back=look_back
            )
        except LightChallengeError as error:
            # Nothing was touched, so nobody has to wait for the lease to expire.
            refused = error
    if report is None:
        raise refused or AssertionError("either refused or done")
    click.echo(
        f"checkpoint {report.block} ({report.block_hash}), it was {report.before};"
        f" {report.undone_logs} logs undone, block {report.block + 1} is read next"
    )
