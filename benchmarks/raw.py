"""Raw JSON-RPC bytes -> committed: the indexer's own speed, without a node's or a network's."""

from __future__ import annotations

import contextlib
import gc
import time
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import text

from benchmarks import events
from benchmarks.canned import CHAIN_ID, CannedNode, plugged_in
from benchmarks.common import Progress, cpu_of
from benchmarks.side_by_side import contracts_at
from benchmarks.stages import Stages, replace
from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.storage.database import connect


@dataclass(frozen=True, slots=True)
class Raw:
    """What one run over the canned chain took.

    ``seconds`` is all that passed, with the ``seconds_node`` that the canned node needed to put
    its answers together; ``stages`` are seconds of two threads, so they add up to more.
    """

    projections: bool
    blocks: int
    events: int
    headers: int
    bytes: int
    seconds: float
    seconds_node: float
    seconds_cpu: float
    """Of this process, both threads and the canned node's."""
    seconds_cpu_postgres: float
    """Of the database's processes for this database."""
    stages: dict[str, float]
    rows: dict[str, int]

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds


def policy(chain: events.Chain) -> index.IndexPolicy:
    """An indexer of the whole made-up chain."""
    return index.IndexPolicy(
        chain_id=CHAIN_ID, addresses=events.ADDRESSES, start_block=chain.first + 1
    )


def measure(chain: events.Chain, database_url: str, *, projections: bool) -> Raw:
    """Follow ``chain`` into a fresh migrated database, with or without projections."""
    engine = connect(database_url)
    node, stages = CannedNode(chain), Stages()
    gc.collect()
    gc.freeze()  # the made-up chain is not the indexer's garbage to look through
    try:
        with contextlib.ExitStack() as stack:
            if not projections:
                _leave_out_projections(stack)
            url = stack.enter_context(plugged_in(stages.timed("node", node.answer)))
            stack.enter_context(stages.watching())
            rpc = stack.enter_context(contextlib.closing(Rpc(url)))
            contracts = contracts_at(rpc)
            follow = stages.timed("waiting, the rest", index.follow)
            on_cpu = time.process_time()
            started = time.perf_counter()
            report = follow(
                engine,
                ChainReader(rpc),
                policy(chain),
                contracts.challenge_snapshot,
                achievement=contracts.achievement_of,
            )
            seconds = time.perf_counter() - started
            on_cpu = time.process_time() - on_cpu
        with engine.connect() as connection:
            stored = connection.execute(text("select count(*) from pipeline.chain_logs"))
            headers = connection.execute(text("select count(*) from pipeline.chain_blocks"))
            if stored.scalar_one() != chain.events or report.logs != chain.events:
                raise AssertionError(f"{report.logs} of {chain.events} logs were indexed")
            kept = headers.scalar_one()
            backends = connection.execute(
                text("select pid from pg_stat_activity where datname = current_database()")
            )
            at_postgres = sum(cpu_of(pid) for (pid,) in backends)
    finally:
        gc.unfreeze()
        engine.dispose()
    spent = dict(stages.seconds)
    on_node = spent.pop("node")
    return Raw(
        projections=projections,
        blocks=report.blocks,
        events=report.logs,
        headers=kept,
        bytes=node.bytes,
        seconds=seconds,
        seconds_node=on_node,
        seconds_cpu=on_cpu,
        seconds_cpu_postgres=at_postgres,
        stages=spent,
        rows=report.rows_changed,
    )


def _leave_out_projections(stack: contextlib.ExitStack) -> None:
    """For the benchmark only: the indexer itself has no such switch."""

    def nothing(*_: Any, **__: Any) -> None: ...

    def no_rows(*_: Any, **__: Any) -> dict[str, int]:
        return {}

    replace(stack, "storage.projections:begin", nothing)
    replace(stack, "storage.projections:touch", nothing)
    replace(stack, "storage.projections:recompute", no_rows)


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: ``seed``, ``events``, ``per_block`` and the two databases' URLs."""
    progress(0.0, "making the chain up")
    chain = events.chain(arguments["seed"], arguments["events"], arguments["per_block"])
    found: dict[str, Any] = {}
    for at, (name, url) in enumerate(arguments["databases"].items()):
        progress(0.2 + 0.4 * at, name)
        measured = measure(chain, url, projections=name == "with projections")
        found[name] = {**asdict(measured), "events_per_second": measured.events_per_second}
    return found
