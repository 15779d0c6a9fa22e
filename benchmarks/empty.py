"""A long row of empty blocks with a few logs in it: how long it takes, and in how much memory."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from benchmarks import events
from benchmarks.canned import CHAIN_ID
from benchmarks.common import Progress
from benchmarks.side_by_side import contracts_at
from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.storage.database import connect


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: follow the node at ``rpc_url`` from block 1 on, in one run."""
    engine = connect(arguments["database_url"])
    policy = index.IndexPolicy(
        chain_id=CHAIN_ID, addresses=events.ADDRESSES, start_block=1, confirmations=0
    )
    ranges = 0

    def heartbeat() -> None:
        nonlocal ranges
        ranges += 1
        if ranges % 10 == 0:
            progress(min(1.0, ranges * policy.max_block_range / arguments["blocks"]), "following")

    with contextlib.closing(Rpc(arguments["rpc_url"])) as rpc:
        contracts = contracts_at(rpc)
        started = time.perf_counter()
        report = index.follow(
            engine,
            ChainReader(rpc),
            policy,
            contracts.challenge_snapshot,
            heartbeat,
            achievement=contracts.achievement_of,
        )
        seconds = time.perf_counter() - started
    engine.dispose()
    return {
        "blocks": report.blocks,
        "logs": report.logs,
        "partitions": len(report.partitions),
        "rpc_calls": report.rpc_calls,
        "seconds": seconds,
        "seconds_rpc": report.seconds_rpc,
        "seconds_sql": report.seconds_sql,
    }
