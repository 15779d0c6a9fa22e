"""End to end from the same anvil: our follower and the baseline, each in a process of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import baseline, events
from benchmarks.canned import CHAIN_ID
from benchmarks.common import Progress
from benchmarks.stages import Stages
from lightchallenge_dagster.chain.contracts import Addresses, Contracts
from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.storage.database import connect

CONFIRMATIONS = 12
COUNTED = ("public.claims", "public.achievement_mints", "public.challenges")
SAME = (
    *COUNTED,
    "public.participants",
    "pipeline.chain_logs",
    "pipeline.chain_challenges",
    "pipeline.stakes",
    "pipeline.chain_winners",
    "pipeline.bindings",
    "pipeline.inference_requests",
)


def contracts_at(rpc: Rpc) -> Contracts:
    """The made-up contracts behind an RPC client."""
    return Contracts(
        rpc,
        Addresses(
            challengepay=events.ADDRESSES["challengepay"],
            treasury=events.ADDRESSES["treasury"],
            aivm_inference=events.ADDRESSES["aivm_inference"],
            task_registry=events.ADDRESSES["task_registry"],
            poi_verifier=events.VERIFIER,
            achievement=events.ADDRESSES["achievement"],
            metadata_registry=events.ADDRESSES["metadata_registry"],
        ),
    )


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: ``side`` ("ours" or a baseline's variant), ``rpc_url``, ``database_url``, …"""
    side = arguments["side"]
    progress(0.0, side)
    return _ours(arguments) if side == "ours" else _theirs(side, arguments)


def _ours(arguments: dict[str, Any]) -> dict[str, Any]:
    engine = connect(arguments["database_url"])
    policy = index.IndexPolicy(
        chain_id=CHAIN_ID,
        addresses=events.ADDRESSES,
        start_block=arguments["first"],
        confirmations=CONFIRMATIONS,
    )
    with contextlib.closing(Rpc(arguments["rpc_url"])) as rpc:
        contracts = contracts_at(rpc)

        # The node was loaded from a file without its old states, so a challenge is read as it is
        # now, on both sides.
        def snapshot(asked: Sequence[tuple[int, str, Any]]) -> list[dict[str, Any]]:
            now = arguments["head"]
            return contracts.challenge_snapshot([(one, who, now) for one, who, _ in asked])

        def achievement(asked: Sequence[tuple[int, Any]]) -> list[tuple[int, str, int, int]]:
            now = arguments["head"]
            return contracts.achievement_of([(token, now) for token, _ in asked])

        stages = Stages()
        with stages.watching():
            follow = stages.timed("waiting, the rest", index.follow)
            started = time.perf_counter()
            report = follow(engine, ChainReader(rpc), policy, snapshot, achievement=achievement)
            seconds = time.perf_counter() - started
    engine.dispose()
    return {
        "events": report.logs,
        "seconds": seconds,
        "events_per_second": report.logs / seconds,
        "rpc_calls": report.rpc_calls,
        "seconds_rpc": report.seconds_rpc,
        "seconds_sql": report.seconds_sql,
        "stages": stages.seconds,
        "rows": baseline.counted(arguments["database_url"], SAME),
    }


def _theirs(variant: baseline.Variant, arguments: dict[str, Any]) -> dict[str, Any]:
    indexer = baseline.Baseline(
        arguments["rpc_url"], arguments["database_url"], dict(events.ADDRESSES), variant
    )
    started = time.perf_counter()
    done = indexer.run(arguments["first"], arguments["head"] - CONFIRMATIONS)
    seconds = time.perf_counter() - started
    return {
        "events": done.events,
        "seconds": seconds,
        "events_per_second": done.events / seconds,
        "rpc_calls": done.rpc_calls,
        "rows": baseline.counted(arguments["database_url"], COUNTED if variant == "lean" else SAME),
    }
