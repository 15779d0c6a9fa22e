"""What the web app had written before the indexer came: rows to complete, to keep, to restore.

Plain values, times in epoch seconds: the runner inserts them, the oracle replays over them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from eth_utils.crypto import keccak
from psycopg import sql
from psycopg.types.json import Jsonb

Row = dict[str, Any]

_TIMES = {"joined_at", "claimed_at", "minted_at", "created_at"}


def rows(
    rng: random.Random, users: Sequence[str], aivm: str, first_block: int, began: int
) -> dict[str, list[Row]]:
    """By table of public. ``began`` is the time of the block before ``first_block``."""
    # Ids that the seed's challenges, requests and tokens will most likely have.
    ids = range(2, 10)

    def tx() -> str:
        return "0x" + rng.randbytes(32).hex()

    def cased(user: str) -> str:
        return "0x" + user[2:].upper() if rng.random() < 0.2 else user

    challenges = [
        {
            "id": one,
            "title": f"Challenge {one}",
            "subject": rng.choice(users),
            "tx_hash": rng.choice((None, tx())),
            "timeline": {"start": 1, "end": 2},
            "funds": None,
            "status": rng.choice(("pending", "approved", "Active", "rejected", "Paused")),
            "chain_outcome": None,
            "created_at": began - 100,
        }
        for one in ids
        if rng.random() < 0.4
    ]
    participants = [
        {"challenge_id": one, "subject": cased(user)}
        | rng.choice(
            (
                {"tx_hash": None, "joined_at": None, "source": "evidence_intake"},
                {"tx_hash": None, "joined_at": None, "source": "unknown"},
                {"tx_hash": tx(), "joined_at": began - 50, "source": "onchain_join"},
                {"tx_hash": tx(), "joined_at": began + 10**6, "source": "onchain_join"},
            )
        )
        for one in ids
        for user in users
        if rng.random() < 0.15
    ]
    kinds = ("winner", "loser", "refund", "treasury_eth", "principal", "cashback")
    claims = [
        {
            "challenge_id": one,
            "subject": cased(user),
            "claim_type": kind,
            "amount_wei": rng.choice((0, 5, 10**18)),
            "bucket_id": rng.choice((None, one)),
            "tx_hash": rng.choice((None, tx())),
            "block_number": rng.choice((None, max(0, first_block - 2), first_block + 3)),
            "source": "ui",
            "metadata": rng.choice((None, {"gas": 21000}, ["odd"])),
            "claimed_at": began - 10,
        }
        for one in range(1, 7)
        for user in users
        for kind in kinds
        if rng.random() < 0.06
    ]
    mints = [
        {
            "token_id": token,
            "challenge_id": rng.choice(ids),
            "recipient": rng.choice(users),
            "achievement_type": rng.choice(("completion", "victory")),
            "tx_hash": None,
            "block_number": None,
            "minted_at": began - 5,
        }
        for token in (1, 2, 3, 5001, 6001, 7777)
        if rng.random() < 0.4
    ]
    jobs = [
        {
            "challenge_id": one,
            "status": rng.choice(
                ("submitted", "submitted", "submitted", "queued", "processing", "failed", "dead")
            ),
            "attempts": 0,
            "task_id": task_id(aivm, one - 1),
        }
        for one in range(2, 14)
        if rng.random() < 0.7
    ]
    return {
        "challenges": challenges,
        "participants": participants,
        "claims": claims,
        "achievement_mints": mints,
        "aivm_jobs": jobs,
    }


def task_id(aivm: str, request_id: int) -> str:
    """keccak256(abi.encodePacked(chain id, contract, request id))."""
    packed = (504).to_bytes(32, "big") + bytes.fromhex(aivm[2:]) + request_id.to_bytes(32, "big")
    return "0x" + keccak(packed).hex()


def insert(database_url: str, tables: Mapping[str, Sequence[Row]]) -> None:
    """Write them, as the web app would have."""
    with psycopg.connect(database_url) as connection:
        for table, found in tables.items():
            for row in found:
                values = [
                    sql.SQL("to_timestamp({})").format(value)
                    if name in _TIMES and value is not None
                    else sql.Literal(Jsonb(value) if isinstance(value, dict | list) else value)
                    for name, value in row.items()
                ]
                connection.execute(
                    sql.SQL("insert into public.{} ({}) values ({})").format(
                        sql.Identifier(table),
                        sql.SQL(", ").join(map(sql.Identifier, row)),
                        sql.SQL(", ").join(values),
                    )
                )
