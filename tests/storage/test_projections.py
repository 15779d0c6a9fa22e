"""However the logs came, in which ranges and after which reorgs, the same rows follow."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from eth_abi.abi import encode
from sqlalchemy import Connection, Engine, text

from lightchallenge_dagster.rules.events import (
    CONTRACTS,
    SPECS,
    DecodedEvent,
    RawLog,
    decode,
    topic_of,
)
from lightchallenge_dagster.rules.reorg import Block
from lightchallenge_dagster.storage import blocks, projections
from lightchallenge_dagster.storage.blocks import IndexedLog
from lightchallenge_dagster.storage.projections import CONCERNS, PROJECTIONS
from lightchallenge_dagster.storage.sql import load

CHAIN = 504
START = 100
WALLETS = [f"0x{0xA0 + number:040x}" for number in range(4)]
CHALLENGES = range(2, 6)
REQUESTS = range(1, 5)
TASKS = {number: bytes([number]) * 32 for number in REQUESTS}
TOKENS = [1, 2, 3, 2**63, 2**200]
VOLATILE = {"id", "created_at", "updated_at", "adopted_at", "last_error"}
TABLES = (*PROJECTIONS.values(), "pipeline.adopted_rows", "pipeline.chain_logs")

EVENTS = {f"{CONTRACTS[spec.role]}.{spec.signature.partition('(')[0]}": spec for spec in SPECS}


def arguments_of(signature: str) -> list[tuple[str, str, bool]]:
    inside = signature[signature.index("(") + 1 : -1]
    parts = [part.split() for part in inside.split(",")]
    return [(words[-1], words[0], "indexed" in words) for words in parts]


class Chance:
    """Random logs whose keys meet often: few challenges, wallets, requests and tokens."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, name: str, kind: str, known: dict[str, Any]) -> Any:
        pick = self.random
        if name in {"id", "challengeId", "bucketId"}:
            return pick.choice([*CHALLENGES, *CHALLENGES, 2**63, 0])
        if name == "requestId":
            return pick.choice(REQUESTS)
        if name == "taskId":
            # An attestation names a task only; a request always has its own.
            number = known.get("requestId") or pick.choice(REQUESTS)
            return TASKS[number]
        if name == "tokenId":
            return pick.choice(TOKENS)
        if name == "aType":
            return pick.choice([0, 0, 1, 1, 2, 13])
        if name in {"status", "outcome"}:
            return pick.choice([0, 1, 2])
        if kind == "address":
            return pick.choice(WALLETS)
        if kind == "bool":
            return pick.random() < 0.5
        if kind == "bytes32":
            return pick.randbytes(32)
        if kind == "string":
            return pick.choice(["", 'a "quoted" \\ word\n\t', "\u00e9", "x" * 40])
        limit = 2 ** int(kind.removeprefix("uint"))
        return pick.choice([0, 1, 5, 10**18, limit - 1]) % limit

    def log(self, block: Block, index: int) -> IndexedLog:
        event = self.random.choice(sorted(EVENTS))
        spec = EVENTS[event]
        values: dict[str, Any] = {}
        arguments = arguments_of(spec.signature)
        for argument, kind, _ in arguments:
            values[argument] = self.value(argument, kind, values)
        topics = [topic_of(event)]
        topics += [
            "0x" + encode([kind], [values[argument]]).hex()
            for argument, kind, indexed in arguments
            if indexed
        ]
        plain = [(argument, kind) for argument, kind, indexed in arguments if not indexed]
        data = encode([kind for _, kind in plain], [values[argument] for argument, _ in plain])
        tx_index = index // 2
        raw = RawLog(
            block.number,
            block.hash,
            f"0x{block.number:032x}{tx_index:032x}",
            tx_index,
            index,
            f"0x{0xC0 + len(spec.role):040x}",
            tuple(topics),
            "0x" + data.hex(),
        )
        decoded = decode(raw, spec.role)
        assert decoded.event == event
        if self.random.random() < 0.02:
            decoded = DecodedEvent(None, problem="spoiled")
        return IndexedLog(raw, decoded, block.timestamp, self.snapshot(decoded, block))

    def snapshot(self, decoded: DecodedEvent, block: Block) -> dict[str, Any] | None:
        pick = self.random
        if decoded.snapshot == "challenge" and decoded.challenge_id is not None:
            return {
                "id": str(decoded.challenge_id),
                "block_number": str(block.number + pick.choice([0, 0, 2])),
                "creator": decoded.account,
                "kind": "0",
                "currency": "0",
                "token": "0x" + "0" * 40,
                "stake": "5",
                "join_closes_ts": "1000",
                "start_ts": pick.choice(["1000", str(2**255)]),
                "duration": "60",
                "max_participants": "0",
                "verifier": WALLETS[0],
                "proof_deadline_ts": "2000",
                "creator_contribution": pick.choice(["0", "5", str(10**18)]),
            }
        if decoded.snapshot == "achievement":
            return {"a_type": pick.choice(["0", "1", "2"]), "block_number": block.number}
        return None


@dataclass
class Indexer:
    """The storage side of a follower: what is committed, and the chain as it believes it."""

    engine: Engine
    chain: list[tuple[Block, list[IndexedLog]]] = field(default_factory=list)

    def commit(self, part: list[tuple[Block, list[IndexedLog]]], undo: int = 0) -> None:
        """Undo the last ``undo`` blocks, then add ``part``, in one transaction."""
        with self.engine.begin() as connection:
            projections.begin(connection)
            keep = len(self.chain) - undo
            base = START + keep - 1
            if undo:
                projections.touch(connection, CHAIN, base + 1, 2**62, orphaned=True)
                blocks.undo_after(connection, CHAIN, base)
            logs = [log for _, found in part for log in found]
            counts = {block.number: len(found) for block, found in part}
            blocks.add_headers(connection, CHAIN, [block for block, _ in part], counts)
            blocks.add_logs(connection, CHAIN, logs)
            if part:
                first, last = part[0][0].number, part[-1][0].number
                projections.touch(connection, CHAIN, first, last, orphaned=False)
            projections.recompute(connection, CHAIN, START)
        self.chain[keep:] = part

    def rebuild(self, projection: str) -> int:
        with self.engine.begin() as connection:
            projections.begin(connection)
            projections.touch_all(connection, CHAIN, projection)
            return projections.recompute(connection, CHAIN, START, [projection])[projection]

    def state(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        with self.engine.connect() as connection:
            for table in TABLES:
                rows = connection.execute(text(f"select * from {table}")).mappings()  # noqa: S608
                found[table] = sorted(
                    repr(sorted((k, v) for k, v in _plain(row).items() if k not in VOLATILE))
                    for row in rows
                )
        return found


def differing(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """The rows that are in one of the states only, with their table."""
    return [
        f"{table}: {row}" for table in TABLES for row in sorted(set(one[table]) ^ set(other[table]))
    ]


def _plain(row: Any) -> dict[str, Any]:
    """A row as a dictionary; a kept ``before`` without the columns that are never equal twice."""
    found = dict(row)
    before = found.get("before")
    if isinstance(before, dict):
        found["before"] = {k: v for k, v in before.items() if k not in VOLATILE}
    return found


def blocks_from(
    chance: Chance, first: int, count: int, fork: int
) -> list[tuple[Block, list[IndexedLog]]]:
    part: list[tuple[Block, list[IndexedLog]]] = []
    for number in range(first, first + count):
        block = Block(number, f"0x{fork:032x}{number:032x}", "0x", 1_000_000 + number, "0x0")
        size = chance.random.choice([0, 2, 6, 14])
        part.append((block, [chance.log(block, index) for index in range(size)]))
    return part


def web_app_rows(connection: Connection, seed: int) -> None:
    """Rows that were there before the indexer: some it will complete, some it never meets."""
    pick = random.Random(seed)
    block = Block(START - 1, "0x" + "11" * 32, "0x", 1_000_000 + START - 1, "0x0")
    blocks.add_headers(connection, CHAIN, [block], {})
    for challenge in CHALLENGES:
        if pick.random() < 0.5:
            connection.execute(
                text(
                    "insert into public.challenges (id, title, status, chain_outcome, tx_hash)"
                    " values (:id, :title, :status, :outcome, :tx)"
                ),
                {
                    "id": challenge,
                    "title": pick.choice(["T", None]),
                    "status": pick.choice(["pending", "APPROVED", "Rejected", "paused", "final"]),
                    "outcome": pick.choice([None, 1]),
                    "tx": pick.choice([None, "0xweb"]),
                },
            )
        for wallet in WALLETS:
            shown = wallet.upper().replace("X", "x") if pick.random() < 0.5 else wallet
            if pick.random() < 0.3:
                old = pick.random() < 0.3
                connection.execute(
                    text(
                        "insert into public.participants (challenge_id, subject, tx_hash,"
                        " joined_at, source) values (:c, :s, :tx, to_timestamp(:at), :source)"
                    ),
                    {
                        "c": challenge,
                        "s": shown,
                        "tx": "0xold" if old else None,
                        "at": 5 if old else None,
                        "source": pick.choice(["evidence_intake", "unknown"]),
                    },
                )
            if pick.random() < 0.3:
                connection.execute(
                    text(
                        "insert into public.claims (challenge_id, subject, claim_type, amount_wei,"
                        " source, metadata, block_number, tx_hash, claimed_at) values"
                        " (:c, :s, :t, 7, :source, cast(:meta as jsonb), :b, '0xOLD',"
                        " to_timestamp(9))"
                    ),
                    {
                        "c": challenge,
                        "s": shown,
                        "t": pick.choice(["winner", "treasury_eth", "cashback"]),
                        "source": pick.choice(["ui", "indexer"]),
                        "meta": pick.choice(['{"gas": 1}', "null", "[1]", None]),
                        "b": pick.choice([None, START - 5, START + 1]),
                    },
                )
        connection.execute(
            text(
                "insert into public.aivm_jobs (challenge_id, status, attempts, task_id)"
                " values (:c, :status, 1, :task)"
            ),
            {
                "c": challenge,
                "status": pick.choice(["submitted", "submitted", "queued", "dead"]),
                "task": "0x" + TASKS[pick.choice(REQUESTS)].hex(),
            },
        )
    connection.execute(
        text(
            "insert into public.achievement_mints (token_id, challenge_id, recipient,"
            " achievement_type, minted_at) values (2, 3, :w, 'completion', to_timestamp(3))"
        ),
        {"w": WALLETS[1].upper()},
    )
    connection.execute(
        text(
            "insert into public.evidence (challenge_id, subject, provider, data, evidence_hash)"
            " select challenge_id, subject, 'strava', '{}', '0x1' from public.participants"
        )
    )


def test_a_projection_is_computed_for_every_event_that_its_fold_reads() -> None:
    """Else a commit of only that event would leave the rows as they were."""
    for name, concerned in CONCERNS.items():
        read = set(re.findall(r"'(\w+\.\w+)'", load(f"index/{name}")))
        assert read <= set(concerned), name
        assert set(concerned) <= EVENTS.keys(), name


@pytest.mark.parametrize("seed", range(12))
def test_ranges_and_reorgs_leave_what_one_commit_of_the_chain_leaves(
    database: Engine, seed: int
) -> None:
    chance = Chance(seed)
    pick = chance.random
    with database.begin() as connection:
        web_app_rows(connection, seed)
    indexer = Indexer(database)
    for fork in range(1, 13):
        undo = pick.randint(0, min(6, len(indexer.chain))) if pick.random() < 0.5 else 0
        first = START + len(indexer.chain) - undo
        part = blocks_from(chance, first, pick.randint(0 if undo else 1, 9), fork)
        cuts = sorted(
            {pick.randint(1, len(part)) for _ in range(pick.randint(0, 3))} if part else {}
        )
        for begin, end in zip([0, *cuts], [*cuts, len(part)], strict=True):
            if begin < end or undo:
                indexer.commit(part[begin:end], undo)
                undo = 0
    reached = indexer.state()

    assert {name: indexer.rebuild(name) for name in PROJECTIONS} == dict.fromkeys(PROJECTIONS, 0)
    assert differing(indexer.state(), reached) == []

    with database.begin() as connection:
        tables = ", ".join(
            ("public.evidence", "public.reminders", "pipeline.chain_blocks", *TABLES)
        )
        connection.execute(text(f"truncate {tables}"))
        web_app_rows(connection, seed)
    at_once = Indexer(database)
    at_once.commit(indexer.chain)
    assert differing(at_once.state(), reached) == []
    assert all(reached[table] for table in ("public.claims", "pipeline.stakes"))

    # Everything undone leaves what the web app had written, and nothing of the indexer's.
    at_once.commit([], undo=len(at_once.chain))
    left = at_once.state()
    with database.begin() as connection:
        connection.execute(text(f"truncate {tables}"))
        web_app_rows(connection, seed)
    assert differing(left, at_once.state()) == []


def joined(block: Block, index: int, challenge: int, wallet: str) -> IndexedLog:
    topic = topic_of("ChallengePay.Joined")
    topics = (topic, f"0x{challenge:064x}", "0x" + "0" * 24 + wallet[2:])
    tx = f"0x{block.number:032x}{index:032x}"
    raw = RawLog(block.number, block.hash, tx, index, index, WALLETS[0], topics, f"0x{5:064x}")
    return IndexedLog(raw, decode(raw, "challengepay"), block.timestamp)


@pytest.mark.parametrize("analyzed", [False, True], ids=["never analyzed", "analyzed"])
def test_a_commit_reads_the_logs_of_its_own_keys_however_many_a_challenge_has(
    database: Engine, analyzed: bool
) -> None:
    wallets = [f"0x{0xBEEF0000 + number:040x}" for number in range(3000)]
    indexer = Indexer(database)
    blocks_ = [Block(START + at, f"0x{at:064x}", "0x", 1_000_000, "0x0") for at in range(31)]
    indexer.commit(
        [
            (block, [joined(block, index, 2, wallets[at * 100 + index]) for index in range(100)])
            for at, block in enumerate(blocks_[:30])
        ]
    )
    if analyzed:
        with database.begin() as connection:
            connection.execute(text("analyze"))
    late = blocks_[30]
    logs = [joined(late, 0, 2, wallets[7]), joined(late, 1, 2, wallets[0])]

    with database.begin() as connection:
        before = rows_read(connection)
        projections.begin(connection)
        blocks.add_logs(connection, CHAIN, logs)
        projections.touch(connection, CHAIN, late.number, late.number, orphaned=False)
        changed = projections.recompute(connection, CHAIN, START)
        read = rows_read(connection) - before

    assert changed["stakes"] == 2
    assert 0 < read < 50


def rows_read(connection: Connection) -> int:
    """Rows that this session has read of the tables that grow with the chain."""
    return connection.execute(
        text(
            "select coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)"
            " from pg_stat_xact_user_tables"
            " where relname in ('chain_logs', 'stakes', 'participants', 'adopted_rows')"
        )
    ).scalar_one()
