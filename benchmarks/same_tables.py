"""The baseline's rows in the pipeline's own tables: what ours fills, one upsert a row.

The raw log, its block's header, and the row that follows from the event: what a polling indexer
has to write to leave the same tables behind.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.canned import CHAIN_ID

_LOG = """
insert into pipeline.chain_logs (chain_id, block_number, log_index, block_hash, block_timestamp,
    tx_hash, tx_index, address, topics, data, event, challenge_id, account, request_id, args)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (chain_id, block_number, log_index) do update set block_hash = excluded.block_hash,
    block_timestamp = excluded.block_timestamp, tx_hash = excluded.tx_hash,
    tx_index = excluded.tx_index, address = excluded.address, topics = excluded.topics,
    data = excluded.data, event = excluded.event, challenge_id = excluded.challenge_id,
    account = excluded.account, request_id = excluded.request_id, args = excluded.args
"""
_BLOCK = """
insert into pipeline.chain_blocks (chain_id, number, hash, parent_hash, timestamp, log_count)
values (%s, %s, %s, %s, %s, 1)
on conflict (chain_id, number) do update set hash = excluded.hash,
    parent_hash = excluded.parent_hash, timestamp = excluded.timestamp
"""
_CHALLENGE = """
insert into pipeline.chain_challenges (challenge_id, chain_id, creator, kind, currency, token,
    stake_wei, join_closes_ts, start_ts, end_ts, proof_deadline_ts, max_participants, verifier,
    external_id, status, created_block, created_tx)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'Active', %s, %s)
on conflict (challenge_id) do update set creator = excluded.creator, kind = excluded.kind,
    stake_wei = excluded.stake_wei, created_block = excluded.created_block,
    created_tx = excluded.created_tx
"""
_STATUS = "update pipeline.chain_challenges set status = %s, outcome = %s where challenge_id = %s"
_STAKE = """
insert into pipeline.stakes (challenge_id, subject, amount_wei, joined_ts, tx_hash)
values (%s, %s, %s, %s, %s)
on conflict (challenge_id, subject) do update set amount_wei = excluded.amount_wei,
    joined_ts = excluded.joined_ts, tx_hash = excluded.tx_hash
"""
_WINNER = """
insert into pipeline.chain_winners (challenge_id, subject, block_number, tx_hash)
values (%s, %s, %s, %s)
on conflict (challenge_id, subject) do update set block_number = excluded.block_number,
    tx_hash = excluded.tx_hash
"""
_REQUEST = """
insert into pipeline.inference_requests (request_id, task_id, requester, model, prompt_hash,
    prompt_id, model_digest, det_config_hash, status, requested_block, requested_tx, requested_ts)
values (%s, %s, %s, %s, %s, %s, %s, %s, 'requested', %s, %s, %s)
on conflict (request_id) do update set task_id = excluded.task_id, requester = excluded.requester
"""
_PROGRESS = """
update pipeline.inference_requests set status = %s, worker = %s where request_id = %s
"""
_ATTESTED = """
update pipeline.inference_requests set attestations = %s, result_hash = %s, transcript_hash = %s,
    slot = %s
where task_id = %s
"""
_BINDING = """
insert into pipeline.bindings (challenge_id, subject, request_id, task_id, model_digest,
    params_hash, benchmark_hash, schema_version, tx_hash, block_number)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (challenge_id, subject) do update set request_id = excluded.request_id,
    task_id = excluded.task_id, tx_hash = excluded.tx_hash, block_number = excluded.block_number
"""
_UNBOUND = "delete from pipeline.bindings where challenge_id = %s and subject = %s"
_STATUSES = {"Finalized": "Finalized", "Canceled": "Canceled"}
_STAGES = {
    "InferenceCommitted": "committed",
    "InferenceRevealed": "revealed",
    "InferenceFinalized": "finalized",
}
_WALLETS = ("user", "participant", "creator", "subject", "to", "who", "recipient", "requester")


def put_block(cursor: psycopg.Cursor[Any], block: dict[str, Any]) -> None:
    """The header's row."""
    number, at = int(block["number"], 16), int(block["timestamp"], 16)
    cursor.execute(_BLOCK, (CHAIN_ID, number, block["hash"], block["parentHash"], at))


def put_log(
    cursor: psycopg.Cursor[Any], event: str, args: dict[str, Any], log: dict[str, Any], at: int
) -> None:
    """The log's row, decoded arguments beside the raw ones."""
    said = {key: value if isinstance(value, bool) else str(value) for key, value in args.items()}
    row = (
        CHAIN_ID,
        int(log["blockNumber"], 16),
        int(log["logIndex"], 16),
        log["blockHash"],
        at,
        log["transactionHash"],
        int(log["transactionIndex"], 16),
        log["address"],
        log["topics"],
        log["data"],
        event,
        _challenge(args),
        next((args[name] for name in _WALLETS if name in args), None),
        args.get("requestId"),
        Jsonb(said),
    )
    cursor.execute(_LOG, row)


def put_projection(
    cursor: psycopg.Cursor[Any], name: str, args: dict[str, Any], log: dict[str, Any], at: int
) -> None:
    """The row of the pipeline's projection that follows from an event, if one does."""
    block, tx, number = int(log["blockNumber"], 16), log["transactionHash"], _challenge(args)
    if name == "Joined":
        cursor.execute(_STAKE, (number, args["user"], args["amount"], at, tx))
    elif name == "WinnerMarked":
        cursor.execute(_WINNER, (number, args["participant"], block, tx))
    elif name in _STATUSES:
        cursor.execute(_STATUS, (_STATUSES[name], args.get("outcome"), number))
    elif name == "Paused" and number is not None:
        cursor.execute(_STATUS, ("Paused" if args["paused"] else "Active", None, number))
    elif name == "InferenceRequestedV2":
        names = ("taskId", "requester", "model", "promptHash", "promptId", "modelDigest")
        said = [args[each] for each in (*names, "detConfigHash")]
        cursor.execute(_REQUEST, (args["requestId"], *said, block, tx, at))
    elif name in _STAGES:
        cursor.execute(_PROGRESS, (_STAGES[name], args["worker"], args["requestId"]))
    elif name == "PoIAttested":
        said = [args[each] for each in ("count", "resultHash", "transcriptHash", "slot", "taskId")]
        cursor.execute(_ATTESTED, said)
    elif name == "BindingRecorded":
        names = ("requestId", "taskId", "modelDigest", "paramsHash", "benchmarkHash")
        said = [args[each] for each in (*names, "schemaVersion")]
        cursor.execute(_BINDING, (number, args["subject"], *said, tx, block))
    elif name == "BindingCleared":
        cursor.execute(_UNBOUND, (number, args["subject"]))


def put_challenge(
    cursor: psycopg.Cursor[Any],
    args: dict[str, Any],
    facts: tuple[Any, ...],
    log: dict[str, Any],
    at: int,
) -> None:
    """A created challenge as getChallenge shows it (``facts``), and its creator's stake."""
    start, duration = facts[9], facts[10]
    block, tx = int(log["blockNumber"], 16), log["transactionHash"]
    cursor.execute(
        _CHALLENGE,
        (
            *(args["id"], CHAIN_ID, args["creator"], args["kind"], args["currency"], args["token"]),
            *(facts[7], facts[8], start, start + duration, start + duration, 0),
            *(args["creator"], args["externalId"], block, tx),
        ),
    )
    cursor.execute(_STAKE, (args["id"], args["creator"], facts[7], at, tx))


def _challenge(args: dict[str, Any]) -> int | None:
    for name in ("id", "challengeId", "bucketId"):
        if name in args:
            return args[name]
    return None
