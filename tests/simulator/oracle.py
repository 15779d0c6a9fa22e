"""What every table must hold, from anvil itself: written from PROTOCOL.md, imports nothing of ours.

``expected`` reads all logs of the canonical chain up to the checkpoint, decodes them with eth_abi
and replays them in plain Python over the rows that were there before; ``differences`` compares
that with the database. Where a contract can be asked (a challenge, a stake, a binding, a winner),
its own state at the checkpoint is the answer, not a sum of events.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, cast

import psycopg
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from tests.simulator.node import Node

CHAIN = 504
BIGINT = 2**63 - 1

# By role. "#" marks an indexed argument, "!" the challenge, "@" the wallet, "%" the request.
_EVENTS = {
    "challengepay": """
        ChallengeCreated(#uint256 !id, #address @creator, uint8 kind, uint8 currency,
            address token, uint256 startTs, bytes32 externalId)
        Joined(#uint256 !id, #address @user, uint256 amount)
        ParticipantProofSubmitted(#uint256 !id, #address @participant, #address verifier,
            bool ok)
        WinnerMarked(#uint256 !id, #address @participant, uint256 contrib, uint256
            winnersPool, uint32 winnersCount)
        VerificationConfigUpdated(#uint256 !id, address verifier, uint256 proofDeadlineTs)
        Finalized(#uint256 !id, uint8 status, uint8 outcome)
        Paused(#uint256 !id, bool paused)
        Canceled(#uint256 !id)
        FeesBooked(#uint256 !id, uint256 protocolAmt, uint256 creatorAmt, uint256 cashback)
        SnapshotSet(#uint256 !id, bool success)
        WinnerClaimed(#uint256 !id, #address @user, uint256 amount)
        LoserClaimed(#uint256 !id, #address @user, uint256 amount)
        RefundClaimed(#uint256 !id, #address @user, uint256 amount)
        AutoDistributed(#uint256 !id, uint256 winnersCount, uint256 losersCount)
        AutoRefunded(#uint256 !id, uint256 count)
        DispatcherSet(#address @addr, bool enabled)
        GlobalPaused(bool paused)
    """,
    "legacy": """
        PrincipalClaimed(#uint256 !id, #address @who, uint256 amount)
        CashbackClaimed(#uint256 !id, #address @who, uint256 amount)
        ValidatorClaimed(#uint256 !id, #address @who, uint256 amount)
        ValidatorRejectClaimed(#uint256 !id, #address @who, uint256 amount)
        RejectCreatorClaimed(#uint256 !id, #address @who, uint256 amount)
        RejectContributionClaimed(#uint256 !id, #address @who, uint256 amount)
    """,
    "treasury": """
        ClaimedETH(#uint256 !bucketId, #address @to, uint256 amount)
        ClaimedERC20(#uint256 !bucketId, #address token, #address @to, uint256 amount)
    """,
    "aivm_inference": """
        InferenceRequestedV2(#uint256 %requestId, #address @requester, #bytes32 taskId,
            string model, bytes32 promptHash, bytes32 promptId, bytes32 modelDigest, bytes32
            detConfigHash)
        InferenceCommitted(#uint256 %requestId, #address @worker, bytes32 commitment)
        InferenceRevealed(#uint256 %requestId, #address @worker, bytes32 responseHash,
            string response)
        PoIAttested(#bytes32 taskId, #address @signer, uint64 count, bytes32 resultHash,
            bytes32 transcriptHash, uint64 slot)
        InferenceFinalized(#uint256 %requestId, #bytes32 taskId, #address @worker, bytes32
            resultHash, uint256 workerPaidWei, uint256 protocolFeeWei)
    """,
    "task_registry": """
        BindingRecorded(#uint256 !challengeId, #address @subject, uint256 %requestId,
            bytes32 taskId, bytes32 modelDigest, bytes32 paramsHash, bytes32 benchmarkHash,
            uint16 schemaVersion)
        BindingCleared(#uint256 !challengeId, #address @subject)
    """,
    "achievement": """
        AchievementMinted(#uint256 tokenId, #uint256 !challengeId, #address @recipient,
            uint8 aType)
        AdminMinted(#uint256 tokenId, #address @to, #uint256 !challengeId)
    """,
    "metadata_registry": """
        MetadataSet(#address challengeContract, #uint256 !challengeId, #address @setter,
            string newUri)
        MetadataForceSet(#address challengeContract, #uint256 !challengeId, #address
            @setter, string previousUri, string newUri)
        MetadataCleared(#address challengeContract, #uint256 !challengeId, #address
            @clearer)
    """,
}
_CONTRACTS = {
    "challengepay": "ChallengePay",
    "legacy": "LegacyChallengePay",
    "treasury": "Treasury",
    "aivm_inference": "AIVMInferenceV2",
    "task_registry": "ChallengeTaskRegistry",
    "achievement": "ChallengeAchievement",
    "metadata_registry": "MetadataRegistry",
}
_CLAIMS = {
    "ChallengePay.WinnerClaimed": "winner",
    "ChallengePay.LoserClaimed": "loser",
    "ChallengePay.RefundClaimed": "refund",
    "Treasury.ClaimedETH": "treasury_eth",
    "LegacyChallengePay.PrincipalClaimed": "principal",
    "LegacyChallengePay.CashbackClaimed": "cashback",
    "LegacyChallengePay.ValidatorClaimed": "validator_reward",
    "LegacyChallengePay.ValidatorRejectClaimed": "validator_reject",
    "LegacyChallengePay.RejectCreatorClaimed": "reject_creator",
    "LegacyChallengePay.RejectContributionClaimed": "reject_contribution",
}
_CHALLENGE = (
    "(uint256,uint8,uint8,uint8,address,uint8,address,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256,address,uint256,uint32,uint256,bool,bool,bool)"
)
_CHALLENGE_FIELDS = (
    "id", "kind", "status", "outcome", "creator", "currency", "token", "stake", "join_closes_ts",
    "start_ts", "duration", "max_participants", "pool", "participants_count", "verifier",
    "proof_deadline_ts", "winners_count", "winners_pool", "paused", "canceled", "payouts_done",
)  # fmt: skip
_BINDING = ("uint256", "bytes32", "bytes32", "bytes32", "bytes32", "uint16", "bool")
_STAGES = {
    "requested": "submitted",
    "committed": "committed",
    "revealed": "revealed",
    "finalized": "done",
}

Row = dict[str, Any]
Tables = dict[str, dict[Any, Row]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the oracle is told: where the chain is, who plays which role, and what was there before.

    ``highest`` is the highest block there ever was, on any branch: headers are kept from ``window``
    blocks below that on. ``before`` holds the public rows that were written before the first block
    was indexed, by table.
    """

    node: Node
    addresses: Mapping[str, str]
    first_block: int
    confirmations: int
    window: int
    highest: int
    mirror: bool
    before: Mapping[str, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not as it must be (``expected`` None: it must not be there)."""

    table: str
    key: Any
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.table} {self.key}\n    expected {self.expected}\n    found    {self.found}"


@dataclass(slots=True)
class _Log:
    block: int
    index: int
    block_hash: str
    timestamp: int
    tx_hash: str
    tx_index: int
    address: str
    topics: tuple[str, ...]
    data: str
    event: str | None = None
    args: dict[str, Any] | None = None
    challenge: int | None = None
    account: str | None = None
    request: int | None = None
    snapshot: Row | None = None

    @property
    def at(self) -> tuple[int, int]:
        return self.block, self.index


# ── Decoding ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    inputs: tuple[tuple[str, str, bool], ...]
    challenge: str
    account: str
    request: str


@cache
def _registry() -> dict[tuple[str, str], _Event]:
    found: dict[tuple[str, str], _Event] = {}
    for role, text in _EVENTS.items():
        for name, inside in re.findall(r"(\w+)\(([^)]*)\)", text):
            inputs = [part.split() for part in inside.split(",")]
            marked = {word[0]: word[1:] for _, word in inputs if word[0] in "!@%"}
            canonical = f"{name}({','.join(kind.lstrip('#') for kind, _ in inputs)})"
            found[role, "0x" + keccak(text=canonical).hex()] = _Event(
                f"{_CONTRACTS[role]}.{name}",
                tuple((w.lstrip("!@%"), k.lstrip("#"), k.startswith("#")) for k, w in inputs),
                marked.get("!", ""),
                marked.get("@", ""),
                marked.get("%", ""),
            )
    return found


def _value(kind: str, raw: Any) -> Any:
    if kind == "string":
        return raw.decode("utf-8", errors="replace").replace("\0", "\ufffd")
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, bytes):
        return "0x" + raw.hex()
    return str(raw).lower()


def _decode(log: _Log, event: _Event) -> None:
    """Fill in what the log says; leave it undecoded when it does not fit its signature."""
    indexed = [(name, kind) for name, kind, flag in event.inputs if flag]
    plain = [(name, kind) for name, kind, flag in event.inputs if not flag]
    data = bytes.fromhex(log.data[2:])
    if len(log.topics) != len(indexed) + 1:
        return
    if not any(kind == "string" for _, kind in plain) and len(data) != 32 * len(plain):
        return
    try:
        values = {
            name: _value(kind, abi_decode([kind], bytes.fromhex(topic[2:]))[0])
            for (name, kind), topic in zip(indexed, log.topics[1:], strict=True)
        }
        kinds = ["bytes" if kind == "string" else kind for _, kind in plain]
        for (name, kind), raw in zip(plain, abi_decode(kinds, data), strict=True):
            values[name] = _value(kind, raw)
    except Exception:  # noqa: BLE001
        return
    log.event = event.name
    log.args = {name: values[name] for name, _, _ in event.inputs}
    if event.challenge and int(values[event.challenge]) <= BIGINT:
        log.challenge = int(values[event.challenge])
    log.account = values[event.account] if event.account else None
    log.request = int(values[event.request]) if event.request else None


# ── The canonical chain ─────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Canon:
    facts: Facts
    checkpoint: int
    headers: dict[int, Row] = field(default_factory=dict[int, Row])
    logs: list[_Log] = field(default_factory=list[_Log])

    def call(
        self, role: str, signature: str, outputs: Sequence[str], block: int, *args: Any
    ) -> Any:
        """What a contract answered at the end of ``block``."""
        name, _, inside = signature.rstrip(")").partition("(")
        del name
        kinds = inside.split(",") if inside else []
        data = keccak(text=signature)[:4] + abi_encode(kinds, args)
        answer = self.facts.node.call(
            "eth_call", {"to": self.facts.addresses[role], "data": "0x" + data.hex()}, hex(block)
        )
        return abi_decode(outputs, bytes.fromhex(answer[2:]))

    def challenge(self, challenge_id: int, block: int) -> Row:
        (found,) = self.call(
            "challengepay", "getChallenge(uint256)", [_CHALLENGE], block, challenge_id
        )
        return {
            name: value.lower() if isinstance(value, str) else value
            for name, value in zip(_CHALLENGE_FIELDS, found, strict=True)
        }

    def contribution(self, challenge_id: int, user: str, block: int) -> int:
        signature = "contribOf(uint256,address)"
        return self.call("challengepay", signature, ["uint256"], block, challenge_id, user)[0]

    def named(self, *events: str) -> list[_Log]:
        return [log for log in self.logs if log.event in events]


def _read(facts: Facts, checkpoint: int) -> _Canon:
    canon = _Canon(facts, checkpoint)
    first = max(0, facts.first_block - 1)
    blocks = facts.node.batch(
        [("eth_getBlockByNumber", [hex(n), False]) for n in range(first, checkpoint + 1)]
    )
    for block in blocks:
        canon.headers[int(block["number"], 16)] = {
            "hash": block["hash"],
            "parent_hash": block["parentHash"],
            "timestamp": int(block["timestamp"], 16),
        }
    roles = {
        address.lower(): "legacy" if role.startswith("legacy") else role
        for role, address in facts.addresses.items()
    }
    found: list[Row] = []
    if checkpoint >= facts.first_block:
        found = facts.node.call(
            "eth_getLogs",
            {
                "address": list(roles),
                "fromBlock": hex(facts.first_block),
                "toBlock": hex(checkpoint),
            },
        )
    for one in found:
        event = _registry().get((roles[one["address"]], one["topics"][0]))
        if event is None:
            continue
        number = int(one["blockNumber"], 16)
        assert canon.headers[number]["hash"] == one["blockHash"], "the chain moved under the oracle"
        log = _Log(
            number, int(one["logIndex"], 16), one["blockHash"], canon.headers[number]["timestamp"],
            one["transactionHash"], int(one["transactionIndex"], 16), one["address"],
            tuple(one["topics"]), one["data"],
        )  # fmt: skip
        _decode(log, event)
        canon.logs.append(log)
    canon.logs.sort(key=lambda log: log.at)
    typed = {
        (log.tx_hash, log.topics[1])
        for log in canon.logs
        if log.event == "ChallengeAchievement.AchievementMinted"
    }
    for log in canon.logs:
        if log.event == "ChallengePay.ChallengeCreated" and log.challenge is not None:
            assert log.account is not None
            log.snapshot = canon.challenge(log.challenge, log.block) | {
                "creator_contribution": canon.contribution(log.challenge, log.account, log.block),
                "block_number": log.block,
            }
        elif log.event == "ChallengeAchievement.AdminMinted" and (
            (log.tx_hash, log.topics[1]) not in typed
        ):
            kinds = ["uint256", "address", "uint8", "uint64"]
            signature = "achievementOf(uint256)"
            token = int(log.topics[1], 16)
            kind = canon.call("achievement", signature, kinds, log.block, token)[2]
            log.snapshot = {"a_type": kind, "block_number": log.block}
    return canon


# ── What must be in the tables ──────────────────────────────────────────────────────────────


def expected(facts: Facts, checkpoint: int) -> Tables:
    """Every table by key, as it must be when the chain is indexed up to ``checkpoint``."""
    canon = _read(facts, checkpoint)
    tables: Tables = {
        "pipeline.chain_logs": {log.at: _stored_log(log) for log in canon.logs},
        "pipeline.checkpoints": {
            "live": {"block_number": checkpoint, "block_hash": canon.headers[checkpoint]["hash"]}
        },
        "public.indexer_state": {},
    }
    if facts.mirror:
        for stream in ("status", "claims", "aivm", "achievement"):
            tables["public.indexer_state"][f"last_{stream}_block"] = {"value": str(checkpoint)}
    tables["pipeline.chain_challenges"] = _chain_challenges(canon)
    tables["pipeline.stakes"] = _stakes(canon)
    tables["pipeline.chain_winners"] = _winners(canon)
    tables["pipeline.bindings"] = _bindings(canon)
    tables["pipeline.inference_requests"] = _requests(canon)
    tables["public.challenges"] = _challenges(canon)
    tables["public.participants"] = _participants(canon, tables["pipeline.stakes"])
    tables["public.claims"] = _claims(canon)
    tables["public.achievement_mints"] = _mints(canon)
    tables["public.aivm_jobs"] = _jobs(canon, tables["pipeline.inference_requests"])
    return tables


def _stored_log(log: _Log) -> Row:
    return {
        "block_hash": log.block_hash,
        "block_timestamp": log.timestamp,
        "tx_hash": log.tx_hash,
        "tx_index": log.tx_index,
        "address": log.address,
        "topics": list(log.topics),
        "data": log.data,
        "event": log.event,
        "challenge_id": log.challenge,
        "account": log.account,
        "request_id": log.request,
        "args": log.args,
        "snapshot": log.snapshot,
        "problem": log.event is None or _makes_no_row(log),
    }


def _makes_no_row(log: _Log) -> bool:
    """A mint of a type nobody knows, or whose numbers no row can hold: flagged, not dropped."""
    if log.event not in {
        "ChallengeAchievement.AchievementMinted",
        "ChallengeAchievement.AdminMinted",
    }:
        return False
    args = log.args or {}
    kind = int(args.get("aType") or (log.snapshot or {}).get("a_type") or 0)
    return kind > 1 or max(int(args["tokenId"]), int(args["challengeId"])) > BIGINT


def _created(canon: _Canon) -> dict[int, _Log]:
    """The creation of each challenge; what happened to its id before does not count."""
    return {
        log.challenge: log
        for log in canon.named("ChallengePay.ChallengeCreated")
        if log.challenge is not None
    }


def _clip(value: int) -> int:
    return min(value, BIGINT)


def _chain_challenges(canon: _Canon) -> dict[Any, Row]:
    rows: dict[Any, Row] = {}
    for one, log in _created(canon).items():
        now = canon.challenge(one, canon.checkpoint)
        ended = {1: "Finalized", 2: "Canceled"}.get(now["status"])
        rows[one] = {
            "chain_id": CHAIN,
            "creator": now["creator"],
            "kind": now["kind"],
            "currency": now["currency"],
            "token": now["token"],
            "stake_wei": now["stake"],
            "join_closes_ts": _clip(now["join_closes_ts"]),
            "start_ts": _clip(now["start_ts"]),
            "end_ts": _clip(now["start_ts"] + now["duration"]),
            "proof_deadline_ts": _clip(now["proof_deadline_ts"]),
            "max_participants": _clip(now["max_participants"]),
            "verifier": now["verifier"],
            "external_id": (log.args or {})["externalId"],
            "status": ended or ("Paused" if now["paused"] else "Active"),
            "outcome": now["outcome"] if ended == "Finalized" else None,
            "created_block": log.block,
            "created_tx": log.tx_hash,
        }
    return rows


def _stakes(canon: _Canon) -> dict[Any, Row]:
    created = _created(canon)
    rows: dict[Any, Row] = {}
    for log in canon.named("ChallengePay.ChallengeCreated", "ChallengePay.Joined"):
        if log.challenge is None or log.account is None:
            continue
        if (
            log.event == "ChallengePay.ChallengeCreated"
            and not (log.snapshot or {})["creator_contribution"]
        ):
            continue
        key = (log.challenge, log.account)
        amount = int((log.args or {}).get("amount", 0))
        if key in rows:
            rows[key]["amount_wei"] += amount
        else:
            rows[key] = {"amount_wei": amount, "joined_ts": log.timestamp, "tx_hash": log.tx_hash}
    for (challenge, user), row in rows.items():
        # Of a challenge that began before the first block, only the joins since then are known.
        if challenge in created:
            row["amount_wei"] = canon.contribution(challenge, user, canon.checkpoint)
    return rows


def _winners(canon: _Canon) -> dict[Any, Row]:
    rows: dict[Any, Row] = {}
    for log in canon.named("ChallengePay.WinnerMarked"):
        key = (log.challenge, log.account)
        rows.setdefault(key, {"block_number": log.block, "tx_hash": log.tx_hash})
    for challenge, user in rows:
        outputs = ["bool"]
        signature = "isWinner(uint256,address)"
        assert canon.call("challengepay", signature, outputs, canon.checkpoint, challenge, user)[0]
    return rows


def _bindings(canon: _Canon) -> dict[Any, Row]:
    rows: dict[Any, Row] = {}
    for log in canon.named(
        "ChallengeTaskRegistry.BindingRecorded", "ChallengeTaskRegistry.BindingCleared"
    ):
        key = (log.challenge, log.account)
        if log.event == "ChallengeTaskRegistry.BindingCleared":
            rows.pop(key, None)
            continue
        found = canon.call(
            "task_registry", "getBinding(uint256,address)", _BINDING, canon.checkpoint, *key
        )
        rows[key] = {
            "request_id": found[0],
            "task_id": "0x" + found[1].hex(),
            "model_digest": "0x" + found[2].hex(),
            "params_hash": "0x" + found[3].hex(),
            "benchmark_hash": "0x" + found[4].hex(),
            "schema_version": found[5],
            "tx_hash": log.tx_hash,
            "block_number": log.block,
        }
    return rows


def _requests(canon: _Canon) -> dict[Any, Row]:
    rows: dict[Any, Row] = {}
    by_task: dict[str, Row] = {}
    for log in canon.named("AIVMInferenceV2.InferenceRequestedV2"):
        args = log.args or {}
        rows[log.request] = by_task[args["taskId"]] = {
            "task_id": args["taskId"],
            "requester": args["requester"],
            "model": args["model"],
            "prompt_hash": args["promptHash"],
            "prompt_id": args["promptId"],
            "model_digest": args["modelDigest"],
            "det_config_hash": args["detConfigHash"],
            "status": "requested",
            "worker": None,
            "response": None,
            "response_hash": None,
            "result_hash": None,
            "transcript_hash": None,
            "slot": None,
            "attestations": 0,
            "requested_block": log.block,
            "requested_tx": log.tx_hash,
            "requested_ts": log.timestamp,
            "finalized_block": None,
        }
    for log in canon.logs:
        args = log.args or {}
        if log.event == "AIVMInferenceV2.PoIAttested":
            row = by_task.get(args["taskId"])
            if row is not None:
                row |= {
                    "result_hash": args["resultHash"],
                    "transcript_hash": args["transcriptHash"],
                    "slot": int(args["slot"]),
                    "attestations": min(int(args["count"]), 2**31 - 1),
                }
            continue
        row = rows.get(log.request)
        if row is None:
            continue
        if log.event == "AIVMInferenceV2.InferenceCommitted":
            row |= {"status": "committed", "worker": args["worker"]}
        elif log.event == "AIVMInferenceV2.InferenceRevealed":
            row |= {
                "status": "revealed",
                "worker": args["worker"],
                "response": args["response"],
                "response_hash": args["responseHash"],
            }
        elif log.event == "AIVMInferenceV2.InferenceFinalized":
            row |= {
                "status": "finalized",
                "worker": args["worker"],
                "result_hash": args["resultHash"],
                "finalized_block": log.block,
            }
    return rows


def _challenges(canon: _Canon) -> dict[Any, Row]:
    """Status and outcome are the chain's, words and times of an existing row the web app's."""
    before = {row["id"]: row for row in canon.facts.before.get("challenges", ())}
    created = _created(canon)
    speaking: dict[int, list[_Log]] = {}
    for log in canon.named(
        "ChallengePay.Finalized", "ChallengePay.Canceled", "ChallengePay.Paused"
    ):
        if log.challenge is None:
            continue
        birth = created.get(log.challenge)
        if birth is None or log.at > birth.at:
            speaking.setdefault(log.challenge, []).append(log)
    rows: dict[Any, Row] = {
        one: {key: value for key, value in row.items() if key != "id"}
        for one, row in before.items()
    }
    for one in created.keys() | (speaking.keys() & before.keys()):
        was, birth = before.get(one), created.get(one)
        paused: bool | None = None
        ending: tuple[str, int | None] | None = None
        for log in speaking.get(one, ()):
            args = log.args or {}
            if log.event == "ChallengePay.Paused":
                paused = args["paused"]
            elif log.event == "ChallengePay.Canceled":
                ending = ("Canceled", None)
            else:
                ending = (
                    "Canceled" if args["status"] == "2" else "Finalized",
                    int(args["outcome"]),
                )
        if was is None:
            assert birth is not None
            snapshot = birth.snapshot or {}
            rows[one] = {
                "title": None,
                "subject": birth.account,
                "tx_hash": birth.tx_hash,
                "timeline": {
                    "start": _clip(snapshot["start_ts"]),
                    "end": _clip(snapshot["start_ts"] + snapshot["duration"]),
                },
                "funds": {
                    "stake": str(snapshot["stake"]),
                    "currency": snapshot["currency"],
                    "token": snapshot["token"],
                },
                "status": "Paused" if paused else "Active",
                "chain_outcome": None,
                "created_at": birth.timestamp,
            }
        else:
            if paused is None:
                paused = str(was["status"]).lower() == "paused"
            rows[one]["status"] = "Paused" if paused else "Active"
            if birth is not None:
                rows[one]["tx_hash"] = was["tx_hash"] or birth.tx_hash
        if ending is not None:
            rows[one]["status"] = ending[0]
            if ending[1] is not None:
                rows[one]["chain_outcome"] = ending[1]
        if was is not None and str(was["status"]).lower() == "rejected":
            rows[one]["status"] = was["status"]
    return rows


def _participants(canon: _Canon, stakes: dict[Any, Row]) -> dict[Any, Row]:
    rows: dict[Any, Row] = {
        (row["challenge_id"], row["subject"].lower()): {
            "subject": row["subject"],
            "tx_hash": row["tx_hash"],
            "joined_at": row["joined_at"],
            "source": row["source"],
        }
        for row in canon.facts.before.get("participants", ())
    }
    began = canon.headers[canon.facts.first_block - 1]["timestamp"]
    for key, stake in stakes.items():
        was = rows.get(key)
        rows[key] = {
            "subject": was["subject"] if was else key[1],
            "tx_hash": stake["tx_hash"],
            "joined_at": stake["joined_ts"],
            "source": "onchain_join",
        }
        if was and was["tx_hash"] and was["joined_at"] and was["joined_at"] <= began:
            # It joined before the first indexed block: that stays its first join.
            rows[key] |= {"tx_hash": was["tx_hash"], "joined_at": was["joined_at"]}
    return rows


def _claims(canon: _Canon) -> dict[Any, Row]:
    rows: dict[Any, Row] = {}
    for row in canon.facts.before.get("claims", ()):
        key = (row["challenge_id"], row["subject"].lower(), row["claim_type"])
        rows[key] = {name: value for name, value in row.items() if name not in _CLAIM_KEY} | {
            "subject": row["subject"]
        }
    events: dict[Any, list[_Log]] = {}
    for log in canon.logs:
        if log.event in _CLAIMS and log.challenge is not None:
            key = (log.challenge, log.account, _CLAIMS[log.event])
            events.setdefault(key, []).append(log)
    for key, logs in events.items():
        was = rows.get(key)
        amount = sum(int((log.args or {})["amount"]) for log in logs)
        metadata: Row = {}
        if was is not None:
            counted = (
                was["block_number"] is not None and was["block_number"] < canon.facts.first_block
            )
            if counted and str(was["tx_hash"]).lower() not in {log.tx_hash for log in logs}:
                amount += was["amount_wei"]
            metadata = _object(was["metadata"])
        metadata["events"] = [
            {
                "event": log.event,
                "contract": log.address,
                "amount_wei": (log.args or {})["amount"],
                "tx_hash": log.tx_hash,
                "block_number": log.block,
                "log_index": log.index,
            }
            for log in logs
        ]
        rows[key] = {
            "subject": was["subject"] if was else key[1],
            "amount_wei": amount,
            "bucket_id": key[0],
            "tx_hash": logs[-1].tx_hash,
            "block_number": logs[-1].block,
            "source": "indexer",
            "metadata": metadata,
            "claimed_at": logs[-1].timestamp,
        }
    return rows


def _object(value: Any) -> Row:
    """A copy of a JSON object; empty for anything else."""
    return dict(cast("Row", value)) if isinstance(value, dict) else {}


_CLAIM_KEY = {"challenge_id", "claim_type"}


def _mints(canon: _Canon) -> dict[Any, Row]:
    rows: dict[Any, Row] = {
        row["token_id"]: {name: value for name, value in row.items() if name != "token_id"}
        for row in canon.facts.before.get("achievement_mints", ())
    }
    best: dict[int, tuple[bool, tuple[int, int], _Log, str]] = {}
    for log in canon.named(
        "ChallengeAchievement.AchievementMinted", "ChallengeAchievement.AdminMinted"
    ):
        args = log.args or {}
        token = int(args["tokenId"])
        if token > BIGINT:
            continue
        if "aType" in args:
            kind = args["aType"]
        elif log.snapshot is not None:
            kind = str(log.snapshot["a_type"])
        else:
            continue
        # The event that names the type speaks before the one that does not; the later one wins.
        found = ("aType" in args, log.at, log, kind)
        if token not in best or found[:2] > best[token][:2]:
            best[token] = found
    for token, (_, _, log, kind) in best.items():
        name = {"0": "completion", "1": "victory"}.get(kind)
        if name is None or log.challenge is None:
            continue
        rows[token] = {
            "challenge_id": log.challenge,
            "recipient": log.account,
            "achievement_type": name,
            "tx_hash": log.tx_hash,
            "block_number": log.block,
            "minted_at": log.timestamp,
        }
    return rows


def _jobs(canon: _Canon, requests: dict[Any, Row]) -> dict[Any, Row]:
    stages = {row["task_id"]: _STAGES[row["status"]] for row in requests.values()}
    rows: dict[Any, Row] = {}
    for row in canon.facts.before.get("aivm_jobs", ()):
        status = row["status"]
        if status == "submitted":
            status = stages.get(row["task_id"], "submitted")
        rows[row["challenge_id"]] = {"status": status, "task_id": row["task_id"]}
    return rows


# ── What is in the tables ───────────────────────────────────────────────────────────────────

_KEYS: dict[str, tuple[str, ...]] = {
    "pipeline.chain_logs": ("block_number", "log_index"),
    "pipeline.checkpoints": ("stream",),
    "public.indexer_state": ("key",),
    "pipeline.chain_challenges": ("challenge_id",),
    "pipeline.stakes": ("challenge_id", "subject"),
    "pipeline.chain_winners": ("challenge_id", "subject"),
    "pipeline.bindings": ("challenge_id", "subject"),
    "pipeline.inference_requests": ("request_id",),
    "public.challenges": ("id",),
    "public.participants": ("challenge_id", "subject"),
    "public.claims": ("challenge_id", "subject", "claim_type"),
    "public.achievement_mints": ("token_id",),
    "public.aivm_jobs": ("challenge_id",),
}
_LOWERED = {("public.participants", "subject"), ("public.claims", "subject")}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, datetime):
        return int(value.timestamp())
    return value


def _found(connection: psycopg.Connection[DictRow], table: str) -> dict[Any, Row]:
    rows: dict[Any, Row] = {}
    for row in connection.execute(_select(table)).fetchall():
        parts = [
            str(row[name]).lower() if (table, name) in _LOWERED else _plain(row[name])
            for name in _KEYS[table]
        ]
        key = parts[0] if len(parts) == 1 else tuple(parts)
        assert key not in rows, f"{table} has {key} twice"
        rows[key] = {name: _plain(value) for name, value in row.items()}
        if table == "pipeline.chain_logs":
            rows[key]["problem"] = row["problem"] is not None
    return rows


def _select(table: str) -> sql.Composed:
    return sql.SQL("select * from {}").format(sql.Identifier(*table.split(".")))


def _same(name: str, wanted: Any, found: Any) -> bool:
    if name == "snapshot" and wanted and found:
        # Numbers beyond what JavaScript holds are kept as text. Not all that the contract says
        # has to be kept, but what is kept has to be so.
        ours, theirs = _object(wanted), _object(found)
        needed = ours.keys() & {"creator_contribution", "start_ts", "duration", "stake", "a_type"}
        return needed <= theirs.keys() <= ours.keys() | {"block_hash"} and all(
            str(theirs[key]).lower() == str(ours[key]).lower()
            for key in theirs.keys() & ours.keys()
        )
    return bool(wanted == found)


def differences(facts: Facts, database_url: str, *, head: int, most: int = 20) -> list[Difference]:
    """How the database differs from the chain; at most ``most`` rows of each table.

    The checkpoint has to be ``facts.confirmations`` below ``head``, or above that where the chain
    became shorter, and on the canonical chain.
    """
    with psycopg.Connection[DictRow].connect(database_url, row_factory=dict_row) as connection:
        connection.execute("set transaction isolation level repeatable read")
        held = _found(connection, "pipeline.checkpoints").get("live")
        least = head - facts.confirmations
        if held is None or not least <= held["block_number"] <= max(head, least):
            wanted = f"between {least} and {head}"
            return [Difference("pipeline.checkpoints", "live", wanted, held)]
        checkpoint = held["block_number"]
        found: list[Difference] = []
        canon = expected(facts, checkpoint)
        for table, rows in canon.items():
            found += list(_compared(table, rows, _found(connection, table)))[:most]
        found += _headers(connection, facts, checkpoint, canon["pipeline.chain_logs"])[:most]
        found += _adopted(connection, facts, canon)[:most]
        return found


def _compared(
    table: str, wanted: Mapping[Any, Row], found: Mapping[Any, Row]
) -> Iterable[Difference]:
    for key in sorted(wanted.keys() | found.keys(), key=repr):
        if key not in found:
            yield Difference(table, key, wanted[key], None)
        elif key not in wanted:
            yield Difference(table, key, None, found[key])
        else:
            # The columns that the oracle knows; the others name an insertion or are the web app's.
            wrong = [
                name
                for name, one in wanted[key].items()
                if not _same(name, one, found[key].get(name))
            ]
            if wrong:
                yield Difference(
                    table,
                    key,
                    {name: wanted[key][name] for name in wrong},
                    {name: found[key].get(name) for name in wrong},
                )


def _headers(
    connection: psycopg.Connection[DictRow], facts: Facts, checkpoint: int, logs: Mapping[Any, Row]
) -> list[Difference]:
    """Kept: a window of headers, empty blocks included, and those of all blocks with logs."""
    counts: dict[int, int] = {}
    for number, _ in logs:
        counts[number] = counts.get(number, 0) + 1
    stored = {
        row["number"]: row
        for row in connection.execute("select * from pipeline.chain_blocks").fetchall()
    }
    first = max(0, facts.first_block - 1)
    needed = set(counts) | set(range(max(first, facts.highest - facts.window), checkpoint + 1))
    headers = facts.node.batch(
        [("eth_getBlockByNumber", [hex(n), False]) for n in sorted(needed | stored.keys())]
    )
    found: list[Difference] = []
    for header in headers:
        if header is None:
            continue
        number = int(header["number"], 16)
        wanted = {
            "hash": header["hash"],
            "parent_hash": header["parentHash"],
            "timestamp": int(header["timestamp"], 16),
            "log_count": counts.get(number, 0),
        }
        row = stored.pop(number, None)
        if row is None:
            found.append(Difference("pipeline.chain_blocks", number, wanted, None))
        elif any(row[name] != value for name, value in wanted.items()):
            found.append(Difference("pipeline.chain_blocks", number, wanted, row))
    found += [
        Difference("pipeline.chain_blocks", number, None, row) for number, row in stored.items()
    ]
    return found


def _adopted(
    connection: psycopg.Connection[DictRow], facts: Facts, canon: Tables
) -> list[Difference]:
    """A remembered row is of something the chain speaks of, and says what was there before."""
    before = {
        "challenges": {str(row["id"]) for row in facts.before.get("challenges", ())},
        "participants": {
            f"{row['challenge_id']}:{row['subject'].lower()}"
            for row in facts.before.get("participants", ())
        },
        "claims": {
            f"{row['challenge_id']}:{row['subject'].lower()}:{row['claim_type']}"
            for row in facts.before.get("claims", ())
        },
        "achievement_mints": {
            str(row["token_id"]) for row in facts.before.get("achievement_mints", ())
        },
    }
    keys = {
        "participants": {f"{one}:{user}" for one, user in canon["pipeline.stakes"]},
        "claims": {
            ":".join(map(str, key))
            for key, row in canon["public.claims"].items()
            if row["source"] == "indexer"
        },
    }
    found: list[Difference] = []
    for row in connection.execute("select * from pipeline.adopted_rows").fetchall():
        table, key = row["table_name"], row["row_key"]
        if table in keys and key not in keys[table]:
            found.append(Difference("pipeline.adopted_rows", (table, key), None, row["before"]))
        if (key in before[table]) != (row["before"] is not None):
            wanted = "the row of before" if key in before[table] else "null"
            found.append(Difference("pipeline.adopted_rows", (table, key), wanted, row["before"]))
    return found
