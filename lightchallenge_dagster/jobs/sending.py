"""How a job gets at the outbox: under its lease, or as a dry run that leaves nothing behind."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagster import Config, OpExecutionContext
from pydantic import Field

from lightchallenge_dagster.assets import money_views
from lightchallenge_dagster.assets.catalog import TABLES
from lightchallenge_dagster.assets.metadata import (
    dry_run_metadata,
    materialization,
    report_metadata,
    table_metadata,
)
from lightchallenge_dagster.jobs import lease
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.storage import ops
from lightchallenge_dagster.storage.rehearsal import rehearsal

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.signer import Signer
    from lightchallenge_dagster.steps.outbox import Outbox

_WRITTEN = ("aivm_jobs", "transactions")


class MoneyConfig(Config):
    """Off by default: these jobs are launched by sensors."""

    dry_run: bool = Field(
        False,
        description="Show what would be sent, and why others wait. Nothing is signed or sent, "
        "and every write to the database is taken back.",
    )


@dataclass(frozen=True)
class Sending:
    """What a step is run with. In a dry run ``engine`` takes back all that is written."""

    context: OpExecutionContext
    engine: "Engine"
    outbox: "Outbox"
    kinds: Sequence[str]

    def report(self, *reports: Any, **more: Any) -> None:
        """Show what the steps reported; in a dry run what would be sent, and why others wait."""
        metadata: dict[str, Any] = dict(more)
        if self.outbox.dry_run:
            with self.engine.begin() as connection:
                waiting = ops.waiting_intents(connection, self.kinds)
            metadata |= dry_run_metadata(self.outbox.previews, waiting)
        metadata |= report_metadata(*reports)
        for report in reports:
            for trouble in ("errors", "refused", "held"):
                for message in getattr(report, trouble, ()):
                    self.context.log.warning("%s: %s", trouble, message)
        self.context.add_output_metadata(metadata)
        if self.outbox.dry_run:
            return
        for key in _WRITTEN:
            shown = table_metadata(self.engine, TABLES[key]) | money_views.SHOWN[key](self.engine)
            self.context.log_event(materialization(key, shown))


@contextmanager
def sending(
    context: OpExecutionContext,
    database: DatabaseResource,
    chain: ChainResource,
    policy: Policy,
    signers: Sequence["Signer"],
    lease_name: str,
    kinds: Sequence[str],
    *,
    dry_run: bool = False,
) -> Generator[Sending]:
    """The outbox with these wallets, under the job's lease; ``kinds`` of intents are its own.

    A dry run takes no lease: whatever is at work goes on meanwhile, and what it writes is not
    seen by anybody.
    """
    from lightchallenge_dagster.steps.outbox import Outbox

    engine = database.engine()

    def made(on: "Engine", observe: Callable[[str, str], None]) -> Sending:
        limits = policy.outbox(chain.chain_id, chain.confirmation_blocks)
        outbox = Outbox(on, chain.rpc(), signers, limits, observe=observe, dry_run=dry_run)
        return Sending(context, on, outbox, kinds)

    if dry_run:
        with rehearsal(engine) as rehearsed:
            yield made(rehearsed, lambda _boundary, _key: None)
        return
    with lease.held(engine, lease_name, context.run_id, context.run_tags) as heartbeat:
        yield made(engine, lambda _boundary, _key: heartbeat())
