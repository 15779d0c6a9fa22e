"""Jobs as an operator launches them, over a devnet with challenges, stakes and verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dagster import DagsterInstance, ExecuteInProcessResult
from sqlalchemy import Engine, text

from lightchallenge_dagster.definitions import build_defs
from lightchallenge_dagster.settings import Settings
from tests.orchestration.conftest import World
from tests.steps.index_world import open_world
from tests.steps.money_world import Money

JOBS = {
    "request_inferences": "dispatch_and_request",
    "settle_winners": "bind_and_prove",
    "finalize_challenges": "finalize_overdue",
    "run_aivm_job": "run_one_job",
    "cancel_terminal_jobs": "cancel_jobs_of_ended_challenges",
    "backfill_chain_outcome": "write_missing_outcomes",
    "backfill_metadata_registry": "set_missing_uris",
    "reset_stuck_jobs": "reset_hanging_jobs",
    "reconcile": "compare_with_chain",
}


@dataclass
class Shop:
    """The money world and the real definitions on the same database and node."""

    world: World
    money: Money
    instance: DagsterInstance

    def run(self, job: str, /, **config: Any) -> ExecuteInProcessResult:
        """Run a job; ``config`` is its only op's."""
        definitions = build_defs(Settings(), resource_overrides=self.world.resources)
        op = JOBS[job]
        return definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            run_config={"ops": {op: {"config": config}}} if config else None,
            raise_on_error=False,
        )

    def shown(self, job: str, /, **config: Any) -> dict[str, Any]:
        """What a run that succeeds shows on its page, as plain values."""
        result = self.run(job, **config)
        assert result.success, reason(result)
        return metadata(result)

    def everything(self) -> dict[str, list[str]]:
        """Every row of every table of ours and of the web app, as text."""
        return everything(self.world.database)

    def chain(self) -> tuple[int, dict[str, tuple[int, int]]]:
        """The block number, and what each wallet has sent: mined, and with what waits."""
        anvil, devnet = self.world.anvil, self.world.devnet
        wallets = [
            devnet.worker_address,
            devnet.finalizer_address,
            devnet.metadata_owner_address,
        ]
        return anvil.block_number(), {
            one: (
                int(anvil.rpc("eth_getTransactionCount", one, "latest"), 16),
                int(anvil.rpc("eth_getTransactionCount", one, "pending"), 16),
            )
            for one in wallets
        }


def everything(engine: Engine) -> dict[str, list[str]]:
    """Every row of every table in public and pipeline, as text and in a stable order."""
    with engine.connect() as connection:
        tables = connection.scalars(
            text("""
                select format('%I.%I', schemaname, tablename) from pg_tables
                 where schemaname in ('public', 'pipeline') order by 1
            """)
        ).all()
        return {
            table: list(
                connection.scalars(text(f"select t::text from {table} t order by 1"))  # noqa: S608
            )
            for table in tables
        }


def metadata(result: ExecuteInProcessResult) -> dict[str, Any]:
    """The output metadata of the run's only op, as plain values."""
    (event,) = [one for one in result.all_events if one.is_successful_output]
    shown = event.step_output_data.metadata
    return {name: value.value for name, value in shown.items()}


def reason(result: ExecuteInProcessResult) -> str:
    """Why a run failed."""
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    data: Any = failure.event_specific_data
    return str(data.error.message) + str(data.user_failure_data or "") + str(data.error.cause or "")


def table(markdown: str) -> list[dict[str, str]]:
    """A Markdown table as rows by column, escapes undone."""
    lines = [line.strip().strip("|").split("|") for line in markdown.splitlines() if "|" in line]
    header, _, *rows = [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in line] for line in lines]
    return [dict(zip(header, row, strict=True)) for row in rows]


def open_shop(world: World, instance: DagsterInstance) -> Iterator[Shop]:
    for indexed in open_world(world.database, world.devnet):
        yield Shop(world, Money.of(indexed), instance)
