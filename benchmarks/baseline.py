"""What polling indexers usually do, done well: the benchmark's yardstick.

For each range of 2,000 blocks and each event type one ``eth_getLogs`` (requests), each log decoded
(eth_abi), each row one ``insert … on conflict do update``, then the range's checkpoint. It keeps
its connections open, prepares its statements and fetches a block at most once. It checks nothing
and undoes nothing.

``plain`` leaves the same tables behind as ours (``same_tables``) and commits every statement by
itself, as ``pool.query`` does; ``batched`` does the same and commits once a range. ``lean`` writes
one row an event, no raw log and no header, and takes block times from the logs where the node
sends them; it too commits every statement.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

import psycopg
import requests
from eth_abi.abi import decode
from eth_utils.crypto import keccak
from psycopg import sql
from psycopg.types.json import Jsonb

from benchmarks import same_tables
from benchmarks.events import LEGACY, Shape, shapes
from lightchallenge_dagster.rules.events import CONTRACTS

Variant = Literal["plain", "batched", "lean"]
RANGE = 2_000

_EVENTS_TABLE = """
create table if not exists public.baseline_events (
    block_number bigint not null, log_index integer not null, contract text not null,
    event text not null, challenge_id bigint, tx_hash text not null, args jsonb not null,
    at timestamptz not null, primary key (block_number, log_index))
"""
_CHALLENGE = """
insert into public.challenges (id, subject, tx_hash, timeline, funds, status, created_at)
values (%s, %s, %s, %s, %s, 'Active', %s)
on conflict (id) do update set subject = excluded.subject, tx_hash = excluded.tx_hash,
    timeline = excluded.timeline, funds = excluded.funds, updated_at = now()
"""
_STATUS = """
insert into public.challenges (id, status, chain_outcome) values (%s, %s, %s)
on conflict (id) do update set status = excluded.status, updated_at = now(),
    chain_outcome = coalesce(excluded.chain_outcome, public.challenges.chain_outcome)
"""
_PARTICIPANT = """
insert into public.participants (challenge_id, subject, tx_hash, joined_at, source)
values (%s, %s, %s, %s, 'onchain_join')
on conflict (challenge_id, lower(subject)) do update set tx_hash = excluded.tx_hash,
    joined_at = excluded.joined_at, source = excluded.source, updated_at = now()
"""
_CLAIM = """
insert into public.claims (challenge_id, subject, claim_type, amount_wei, bucket_id, tx_hash,
    block_number, source, claimed_at)
values (%s, %s, %s, %s, %s, %s, %s, 'indexer', %s)
on conflict (challenge_id, lower(subject), claim_type) do update set
    amount_wei = excluded.amount_wei, tx_hash = excluded.tx_hash,
    block_number = excluded.block_number, source = excluded.source,
    claimed_at = excluded.claimed_at, updated_at = now()
"""
_MINT = """
insert into public.achievement_mints (token_id, challenge_id, recipient, achievement_type, tx_hash,
    block_number, minted_at)
values (%s, %s, %s, %s, %s, %s, %s)
on conflict (token_id) do update set challenge_id = excluded.challenge_id,
    recipient = excluded.recipient, achievement_type = excluded.achievement_type,
    tx_hash = excluded.tx_hash, block_number = excluded.block_number
"""
_EVENT = """
insert into public.baseline_events (block_number, log_index, contract, event, challenge_id,
    tx_hash, args, at)
values (%s, %s, %s, %s, %s, %s, %s, %s)
on conflict (block_number, log_index) do update set contract = excluded.contract,
    event = excluded.event, challenge_id = excluded.challenge_id, tx_hash = excluded.tx_hash,
    args = excluded.args
"""
_CHECKPOINT = """
insert into public.indexer_state (key, value) values (%s, %s)
on conflict (key) do update set value = excluded.value
"""
_CLAIM_TYPES = {
    "WinnerClaimed": "winner",
    "LoserClaimed": "loser",
    "RefundClaimed": "refund",
    "ClaimedETH": "treasury_eth",
    "PrincipalClaimed": "principal",
    "CashbackClaimed": "cashback",
    "ValidatorClaimed": "validator_reward",
    "ValidatorRejectClaimed": "validator_reject",
    "RejectCreatorClaimed": "reject_creator",
    "RejectContributionClaimed": "reject_contribution",
}
_MINTED = ("completion", "victory")
_VIEW = {
    name: "0x" + keccak(text=name)[:4].hex()
    for name in ("getChallenge(uint256)", "achievementOf(uint256)")
}


@dataclass(slots=True)
class Polled:
    """What a baseline run did."""

    events: int = 0
    rpc_calls: int = 0


@dataclass(slots=True)
class Baseline:
    """One polling indexer on one node and one database."""

    rpc_url: str
    database_url: str
    addresses: dict[str, str]
    variant: Variant
    done: Polled = field(default_factory=Polled)
    _session: requests.Session = field(default_factory=requests.Session)
    _times: dict[int, datetime] = field(default_factory=dict[int, datetime])
    _stored: set[int] = field(default_factory=set[int])

    def run(self, first: int, last: int) -> Polled:
        """Index the blocks ``first`` to ``last``."""
        events = [
            (self.addresses[LEGACY if role == "legacy_challengepay" else role], role, name, shape)
            for (role, name), shape in shapes().items()
        ]
        autocommit = self.variant != "batched"
        with psycopg.connect(self.database_url, autocommit=autocommit) as connection:
            connection.execute(_EVENTS_TABLE)
            cursor = connection.cursor()
            for start in range(first, last + 1, RANGE):
                end = min(start + RANGE - 1, last)
                for address, role, name, shape in events:
                    for log in self._logs(address, shape.topic0, start, end):
                        self._row(cursor, role, name, shape, log)
                cursor.execute(_CHECKPOINT, ("baseline", str(end)))
                if not autocommit:
                    connection.commit()
        return self.done

    def _logs(self, address: str, topic: str, first: int, last: int) -> list[dict[str, Any]]:
        query = {
            "address": address,
            "topics": [topic],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        return self._call("eth_getLogs", query)

    def _call(self, method: str, *params: Any) -> Any:
        self.done.rpc_calls += 1
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._session.post(self.rpc_url, json=body, timeout=60).json()
        return answer["result"]

    def _view(self, address: str, name: str, number: int, types: tuple[str, ...]) -> Any:
        call = {"to": address, "data": f"{_VIEW[name]}{number:064x}"}
        return decode(types, bytes.fromhex(self._call("eth_call", call, "latest")[2:]))

    def _time(self, log: dict[str, Any]) -> datetime:
        number = int(log["blockNumber"], 16)
        if number in self._times:
            return self._times[number]
        if (known := log.get("blockTimestamp")) is not None:
            return datetime.fromtimestamp(int(known, 16), UTC)
        block = self._call("eth_getBlockByNumber", hex(number), False)
        self._times[number] = datetime.fromtimestamp(int(block["timestamp"], 16), UTC)
        return self._times[number]

    def _row(
        self,
        cursor: psycopg.Cursor[Any],
        role: str,
        name: str,
        shape: Shape,
        log: dict[str, Any],
    ) -> None:
        args = _decoded(shape, log)
        if self.variant != "lean":
            self._same_tables(cursor, role, name, args, log)
        block, tx, at = int(log["blockNumber"], 16), log["transactionHash"], self._time(log)
        self.done.events += 1
        if name == "ChallengeCreated":
            number, creator = args["id"], args["creator"]
            types = ("uint256",) * 4 + ("address", "uint256", "address") + ("uint256",) * 4
            facts = self._view(log["address"], "getChallenge(uint256)", number, types)
            timeline = Jsonb({"start": facts[9], "end": facts[9] + facts[10]})
            funds = Jsonb({"stake": str(facts[7]), "currency": facts[5], "token": facts[6]})
            cursor.execute(_CHALLENGE, (number, creator, tx, timeline, funds, at))
            if self.variant != "lean":
                cursor.execute(_PARTICIPANT, (number, creator, tx, at))
                same_tables.put_challenge(cursor, args, facts, log, int(at.timestamp()))
        elif name == "Joined":
            cursor.execute(_PARTICIPANT, (args["id"], args["user"], tx, at))
        elif name in _CLAIM_TYPES:
            number, amount = args.get("id") or args["bucketId"], args["amount"]
            who = args.get("user") or args.get("to") or args["who"]
            kind = _CLAIM_TYPES[name]
            cursor.execute(_CLAIM, (number, who, kind, amount, number, tx, block, at))
        elif name == "Finalized":
            cursor.execute(_STATUS, (args["id"], "Finalized", args["outcome"]))
        elif name == "Canceled":
            cursor.execute(_STATUS, (args["id"], "Canceled", None))
        elif name == "Paused":
            cursor.execute(_STATUS, (args["id"], "Paused" if args["paused"] else "Active", None))
        elif name in {"AchievementMinted", "AdminMinted"}:
            kind = args.get("aType")
            if kind is None:
                types = ("uint256", "address", "uint8")
                kind = self._view(log["address"], "achievementOf(uint256)", args["tokenId"], types)[
                    2
                ]
            who = args.get("recipient") or args["to"]
            cursor.execute(
                _MINT, (args["tokenId"], args["challengeId"], who, _MINTED[kind], tx, block, at)
            )
        elif self.variant == "lean":
            said = {key: str(value) for key, value in args.items()}
            number = args.get("id") or args.get("challengeId") or args.get("bucketId")
            index = int(log["logIndex"], 16)
            cursor.execute(_EVENT, (block, index, role, name, number, tx, Jsonb(said), at))

    def _same_tables(
        self,
        cursor: psycopg.Cursor[Any],
        role: str,
        name: str,
        args: dict[str, Any],
        log: dict[str, Any],
    ) -> None:
        number = int(log["blockNumber"], 16)
        if number not in self._stored:
            block = self._call("eth_getBlockByNumber", hex(number), False)
            self._times[number] = datetime.fromtimestamp(int(block["timestamp"], 16), UTC)
            self._stored.add(number)
            same_tables.put_block(cursor, block)
        at = int(self._times[number].timestamp())
        same_tables.put_log(cursor, f"{CONTRACTS[role]}.{name}", args, log, at)
        same_tables.put_projection(cursor, name, args, log, at)


def _decoded(shape: Shape, log: dict[str, Any]) -> dict[str, Any]:
    """The log's arguments by name, with hex for bytes."""
    plain = [kind for kind, indexed in zip(shape.types, shape.indexed, strict=True) if not indexed]
    data = iter(decode(plain, bytes.fromhex(log["data"][2:])))
    topics = itertools.islice(cast("list[str]", log["topics"]), 1, None)
    args: dict[str, Any] = {}
    for name, kind, indexed in zip(shape.names, shape.types, shape.indexed, strict=True):
        if indexed:
            (value,) = decode([kind], bytes.fromhex(next(topics)[2:]))
        else:
            value = next(data)
        args[name] = "0x" + value.hex() if isinstance(value, bytes) else value
    return args


def counted(database_url: str, tables: tuple[str, ...]) -> dict[str, int]:
    """Rows of these tables ("schema.name")."""
    found: dict[str, int] = {}
    with psycopg.connect(database_url) as connection:
        for name in tables:
            query = sql.SQL("select count(*) from {}").format(sql.Identifier(*name.split(".")))
            row = connection.execute(query).fetchone()
            found[name] = 0 if row is None else int(row[0])
    return found
