"""Made-up challenges of one day, on chain and planned, with the chain read to their deadline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from benchmarks.judgement.made_up import CHAIN_ID, DEADLINE, ENDS, HASH, STARTS
from lightchallenge_dagster.steps.plan import PlanPolicy, refresh_plans
from lightchallenge_dagster.storage import frames

if TYPE_CHECKING:
    from sqlalchemy import Engine

_POLICY = PlanPolicy(competitive_margin_s=7_200, submit_reserve_s=600)
_CREATOR = "0x" + "cc" * 20


def fill(engine: Engine, rules: Mapping[int, Mapping[str, Any]]) -> None:
    """One challenge for each id, with its rule as ``proof.params``; and its plan."""
    starts, ends, deadline = (int(moment.timestamp()) for moment in (STARTS, ENDS, DEADLINE))
    timeline = json.dumps({"startsAt": starts, "endsAt": ends, "proofDeadline": deadline})
    ids = pl.DataFrame({"id": list(rules)})
    with engine.begin() as connection:
        frames.write(
            connection,
            "public.challenges",
            ids.select(
                "id",
                pl.format("Challenge {}", "id").alias("title"),
                pl.lit(_CREATOR).alias("subject"),
                pl.lit("Active").alias("status"),
                pl.Series("proof", [json.dumps({"params": rule}) for rule in rules.values()]),
                pl.lit(timeline).alias("timeline"),
                pl.lit(STARTS.isoformat()).alias("created_at"),
                pl.lit(STARTS.isoformat()).alias("updated_at"),
            ),
        )
        on_chain = {
            "chain_id": CHAIN_ID,
            "creator": _CREATOR,
            "kind": 0,
            "currency": 0,
            "token": "0x" + "00" * 20,
            "stake_wei": 10**18,
            "join_closes_ts": starts,
            "start_ts": starts,
            "end_ts": ends,
            "proof_deadline_ts": deadline,
            "max_participants": 0,
            "verifier": "0x" + "aa" * 20,
            "external_id": HASH,
            "status": "Active",
            "created_block": 1,
            "created_tx": HASH,
        }
        constants = [pl.lit(value).alias(name) for name, value in on_chain.items()]
        challenge_id = pl.col("id").alias("challenge_id")
        frames.write(connection, "pipeline.chain_challenges", ids.select(challenge_id, *constants))
        block = {"chain_id": [CHAIN_ID], "number": [1], "hash": [HASH], "parent_hash": [HASH]}
        frames.write(
            connection, "pipeline.chain_blocks", pl.DataFrame(block | {"timestamp": [deadline]})
        )
        head = {"chain_id": [CHAIN_ID], "stream": "live", "first_block": 1, "block_number": 1}
        frames.write(connection, "pipeline.checkpoints", pl.DataFrame(head | {"block_hash": HASH}))
    refresh_plans(engine, _POLICY)


def settle_down(engine: Engine) -> None:
    """Leave the filled tables as they are some time later: vacuumed, with statistics."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("vacuum analyze")
