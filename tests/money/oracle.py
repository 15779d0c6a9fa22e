"""What must be true in the end, read from the chain itself and compared with the database.

Nothing here asks the pipeline's own code: events and transactions come from the node through the
devnet's client, rows from plain SQL.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from eth_abi.abi import decode
from psycopg.rows import dict_row

from lightchallenge_dagster.devnet import abi
from lightchallenge_dagster.devnet.client import FINALIZED, Client
from lightchallenge_dagster.devnet.deploy import CONTRACTS

ANSWERED, CANCELLED, TIMED_OUT = 4, 5, 6
FUNCTIONS = {
    "requestInferenceV2": "request",
    "recordBinding": "bind",
    "clearBinding": "clear",
    "submitProofForBatch": "batch",
    "submitProofFor": "proof",
    "finalize": "finalize",
    "cancelExpired": "reclaim",
    "timeoutReveal": "reclaim",
    "reclaimAfterFinalizeTimeout": "reclaim",
}


@dataclass(frozen=True, slots=True)
class Expected:
    """What one challenge comes to: ``requests`` paid, ``reclaims`` of them given back.

    ``winners`` and ``cleared`` are wallets (lowercase); each winner was bound ``bindings`` times.
    ``expiries``: so many requests more may have run out of time, each given back.
    """

    challenge_id: int
    winners: frozenset[str]
    cleared: frozenset[str] = frozenset()
    requests: int = 1
    reclaims: int = 0
    bindings: int = 1
    expiries: int = 0
    finalized: bool = True


@dataclass(frozen=True, slots=True)
class Sent:
    """A mined transaction of one of our wallets."""

    hash: str
    wallet: str
    nonce: int
    kind: str
    challenge_id: int | None
    subject: str | None
    block_number: int
    block_hash: str
    succeeded: bool
    value_wei: int


@dataclass(slots=True)
class Chain:
    """Everything that happened since a block, by challenge where it belongs to one."""

    sent: list[Sent] = field(default_factory=list[Sent])
    requests: dict[int, list[dict[str, Any]]] = field(
        default_factory=dict[int, list[dict[str, Any]]]
    )
    attested: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    bound: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])
    cleared: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])
    marked: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])
    unproved: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])
    finalized: Counter[int] = field(default_factory=Counter[int])

    def of(self, kind: str, challenge_id: int) -> list[Sent]:
        """Our successful transactions of a kind for a challenge, in the chain's order."""
        return [
            one
            for one in self.sent
            if one.succeeded and one.kind == kind and one.challenge_id == challenge_id
        ]


def read_chain(client: Client, from_block: int) -> Chain:
    """Blocks and events from ``from_block`` on."""
    node, chain = client.node, Chain()
    wallets = {client.deployment.worker_address, client.deployment.finalizer_address}
    numbers = range(from_block, node.block_number() + 1)
    blocks = node.batch([("eth_getBlockByNumber", [hex(number), True]) for number in numbers])
    ours = [
        (block, tx)
        for block in blocks
        for tx in block["transactions"]
        if tx["from"].lower() in wallets
    ]
    receipts = node.batch([("eth_getTransactionReceipt", [tx["hash"]]) for _, tx in ours])
    prompts = _prompts(client)
    request_tx: dict[int, str] = {}
    for (block, tx), receipt in zip(ours, receipts, strict=True):
        kind, challenge_id, subject = _meaning(client, tx, prompts)
        for log in receipt["logs"]:
            event = abi.load("AIVMInferenceV2").decode_log(log)
            if event is not None and event.name == "InferenceRequestedV2":
                request_tx[int(event.args["requestId"])] = tx["hash"].lower()
        chain.sent.append(
            Sent(
                hash=tx["hash"].lower(),
                wallet=tx["from"].lower(),
                nonce=int(tx["nonce"], 16),
                kind=kind,
                challenge_id=challenge_id,
                subject=subject,
                block_number=int(block["number"], 16),
                block_hash=block["hash"].lower(),
                succeeded=int(receipt["status"], 16) == 1,
                value_wei=int(tx["value"], 16),
            )
        )
    requester = client.deployment.worker_address
    for event in client.events(from_block=from_block):
        args = event.args
        if event.name == "InferenceRequestedV2" and args["requester"] == requester:
            request_id = int(args["requestId"])
            challenge_id = prompts.get(args["promptId"], 0)
            chain.requests.setdefault(challenge_id, []).append(
                {
                    "request_id": request_id,
                    "task_id": args["taskId"],
                    "tx_hash": request_tx.get(request_id),
                    "requester": args["requester"],
                }
            )
        elif event.name == "PoIAttested":
            chain.attested[args["taskId"]] = args
        elif event.name == "BindingRecorded":
            chain.bound[args["challengeId"], args["subject"]] += 1
        elif event.name == "BindingCleared":
            chain.cleared[args["challengeId"], args["subject"]] += 1
        elif event.name == "WinnerMarked":
            chain.marked[args["id"], args["participant"]] += 1
        elif event.name == "ParticipantProofSubmitted" and not args["ok"]:
            chain.unproved[args["id"], args["participant"]] += 1
        elif event.name == "Finalized":
            chain.finalized[args["id"]] += 1
    challenge_of = {
        one["request_id"]: challenge_id for challenge_id, of in chain.requests.items() for one in of
    }
    chain.sent = [
        replace(one, challenge_id=challenge_of.get(-(one.challenge_id or 0)))
        if one.kind == "reclaim"
        else one
        for one in chain.sent
    ]
    return chain


def _prompts(client: Client) -> dict[str, int]:
    """The prompt ids of every (challenge, staker), as the network finds them."""
    found: dict[str, int] = {}
    for event in client.events("challengepay"):
        staker = event.args.get("creator") or event.args.get("user")
        if event.name in ("ChallengeCreated", "Joined") and staker:
            challenge_id = int(event.args["id"])
            found[abi.prompt_id(challenge_id, str(staker))] = challenge_id
    return found


def _meaning(
    client: Client, tx: Mapping[str, Any], prompts: Mapping[str, int]
) -> tuple[str, int | None, str | None]:
    """Kind, challenge and subject of a transaction, from its call data.

    A reclaim names its request only: that is minus the challenge here.
    """
    to, data = (tx.get("to") or "").lower(), str(tx["input"])
    for role, name in CONTRACTS.items():
        if client.address(role) != to:
            continue
        contract = abi.load(name)
        for function in contract.functions.values():
            word = function.signature.split("(")[0]
            if function.selector != data[:10] or word not in FUNCTIONS:
                continue
            kind = FUNCTIONS[word]
            values = decode(function.inputs, bytes.fromhex(data[10:]))
            if kind == "request":
                return kind, prompts.get("0x" + values[2].hex()), None
            if kind == "reclaim":
                return kind, -int(values[0]), None
            subject = values[1].lower() if kind in ("bind", "clear", "proof") else None
            return kind, int(values[0]), subject
    return "other", None, None


def rows(database_url: str, query: str, *parameters: Any) -> list[dict[str, Any]]:
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def differences(
    client: Client,
    database_url: str,
    expected: Sequence[Expected],
    from_block: int,
    *,
    exactly: bool = True,
) -> list[str]:
    """Everything that is not as it must be; empty when all is well.

    ``from_block``: the first block with anything of ours. ``exactly``: each binding was recorded
    once and nothing of ours reverted; a world with reorgs or fights between workers may do more
    of those, but never another effect.
    """
    chain = read_chain(client, from_block)
    found: list[str] = []
    for one in expected:
        found += _effects(client, chain, one, exactly=exactly)
        found += _rows(client, chain, database_url, one)
    found += _others(chain, expected)
    found += _ledger(client, chain, database_url, exactly=exactly)
    return found


def _effects(client: Client, chain: Chain, one: Expected, *, exactly: bool) -> list[str]:
    """One challenge's effects on chain."""
    number = one.challenge_id
    found: list[str] = []

    def want(what: str, is_: object, should: object) -> None:
        if is_ != should:
            found.append(f"challenge {number}: {what}: {is_!r} on chain, expected {should!r}")

    made = [client.request(request["request_id"]) for request in chain.requests.get(number, [])]
    back = sum(request.status in (CANCELLED, TIMED_OUT) for request in made)
    more = max(0, min(back - one.reclaims, one.expiries))
    want("requests paid", len(made), one.requests + more)
    want("requests given back", back, one.reclaims + more)
    want("requests answered", sum(request.status == ANSWERED for request in made), len(made) - back)
    want("request transactions", len(chain.of("request", number)), one.requests + more)
    want("reclaim transactions", len(chain.of("reclaim", number)), one.reclaims + more)
    for earlier, later in itertools.pairwise(made):
        if later.created_at <= earlier.commit_deadline:
            found.append(f"challenge {number}: requested anew while the first could be answered")
    marked = {subject: count for (id_, subject), count in chain.marked.items() if id_ == number}
    want("winners marked", marked, dict.fromkeys(one.winners, 1))
    bound = {subject for id_, subject in chain.bound if id_ == number}
    want("wallets bound", bound, set(one.winners | one.cleared))
    want("still bound", {s for s in bound if client.is_bound(number, s)}, set(one.winners))
    if exactly:
        # Where a reorg takes a binding away, the proof behind it is in vain, and is sent again.
        unproved = {s: count for (id_, s), count in chain.unproved.items() if id_ == number}
        want("proofs not accepted", unproved, {})
        ours = Counter(sent.subject for sent in chain.of("bind", number))
        want("bindings sent", ours, Counter(dict.fromkeys(one.winners, one.bindings)))
        clears = Counter(sent.subject for sent in chain.of("clear", number))
        want("bindings cleared", clears, Counter(dict.fromkeys(one.cleared, 1)))
    want("finalized", chain.finalized[number], int(one.finalized))
    want("finalize transactions", len(chain.of("finalize", number)), int(one.finalized))
    if one.finalized:
        want("status", client.challenge(number).status, FINALIZED)
    return found


def _rows(client: Client, chain: Chain, database_url: str, one: Expected) -> list[str]:
    """What the database says about one challenge."""
    number = one.challenge_id
    found: list[str] = []

    def want(what: str, is_: object, should: object) -> None:
        if is_ != should:
            found.append(f"challenge {number}: {what} is {is_!r} in the database, not {should!r}")

    (row,) = rows(
        database_url,
        "select c.status, c.proof, j.status as job, j.task_id, j.worker_address"
        " from public.challenges c left join public.aivm_jobs j on j.challenge_id = c.id"
        " where c.id = %s",
        number,
    )
    proof: Mapping[str, Any] = row["proof"]
    if requests := chain.requests.get(number):
        last = requests[-1]
        want("aivm_jobs.status", row["job"], "done")
        want("aivm_jobs.task_id", row["task_id"], last["task_id"])
        want("aivm_jobs.worker_address", row["worker_address"], last["requester"])
        binding = {
            "requestId": str(last["request_id"]),
            "taskId": last["task_id"],
            "schemaVersion": 1,
        }
        want("proof.taskBinding", proof.get("taskBinding"), binding)
        want("proof.requestTxHash", proof.get("requestTxHash"), last["tx_hash"])
        want("proof.verificationStatus", proof.get("verificationStatus"), "finalized")
        answer = client.request(last["request_id"]).response_hash
        want("proof.poiResultHash", proof.get("poiResultHash"), answer)
        attested = chain.attested.get(last["task_id"], {})
        for key, is_ in (
            ("poiTranscriptHash", attested.get("transcriptHash")),
            ("poiSlot", str(attested.get("slot"))),
            ("poiAttestationCount", attested.get("count")),
        ):
            want(f"proof.{key}", proof.get(key), is_)
    else:
        want("a job", row["job"], None)
        want("proof.taskBinding", proof.get("taskBinding"), None)
        want("proof.requestTxHash", proof.get("requestTxHash"), None)
    winners = client.challenge(number).winners_count
    want("proof.proofsSubmitted", proof.get("proofsSubmitted"), _counted(winners, one))
    proofs = sorted(
        [*chain.of("proof", number), *chain.of("batch", number)], key=lambda sent: sent.block_number
    )
    for key, sent in (
        ("bindTxHash", chain.of("bind", number)),
        ("submitProofTxHash", proofs),
        ("finalizeTxHash", chain.of("finalize", number)),
    ):
        last_block = max((one.block_number for one in sent), default=0)
        hashes = {one.hash for one in sent if one.block_number == last_block}
        if (hashes or proof.get(key) is not None) and proof.get(key) not in hashes:
            want(f"proof.{key}", proof.get(key), hashes)
    if one.finalized:
        want("challenges.status", row["status"], "Finalized")
        want("proof.finalizationAttempted", proof.get("finalizationAttempted"), True)
        want("proof.finalizationSuccess", proof.get("finalizationSuccess"), True)
        want("proof.lastFinalizationError", proof.get("lastFinalizationError"), None)
    recorded = rows(
        database_url,
        "select subject from pipeline.chain_winners where challenge_id = %s",
        number,
    )
    want("pipeline.chain_winners", {one["subject"] for one in recorded}, set(one.winners))
    return found


def _counted(winners: int, one: Expected) -> int | None:
    """Winners on chain; nothing where neither a proof nor finalize has written a number yet."""
    return winners if winners or one.finalized else None


def _others(chain: Chain, expected: Iterable[Expected]) -> list[str]:
    """Effects for challenges that nobody spoke of."""
    known = {one.challenge_id for one in expected}
    strangers = {
        *chain.requests,
        *(number for number, _ in chain.marked),
        *(number for number, _ in chain.bound),
        *chain.finalized,
    } - known
    return [f"effects for challenges that none were expected for: {strangers}"] * bool(strangers)


def _ledger(client: Client, chain: Chain, database_url: str, *, exactly: bool) -> list[str]:
    """Our transactions and nonces: those on chain are those in the database, and none is open."""
    found: list[str] = []
    mined = {one.hash: one for one in chain.sent}
    stored = rows(
        database_url,
        "select t.hash, t.signer, t.nonce::bigint as nonce, t.block_number, t.block_hash,"
        " t.receipt_status, i.status, i.key from pipeline.transactions t"
        " join pipeline.intents i on i.key = t.intent_key order by t.signer, t.nonce",
    )
    for one in stored:
        sent = mined.pop(one["hash"], None)
        if sent is None:
            # A fee bump lost to its sibling, or the nonce went elsewhere; never both of one nonce.
            if one["block_number"] is not None:
                found.append(f"{one['key']}: {one['hash']} is mined in the database, not on chain")
            continue
        there = (one["block_number"], one["block_hash"], one["receipt_status"])
        really = (sent.block_number, sent.block_hash, int(sent.succeeded))
        if there != really:
            found.append(f"{one['key']}: {there} in pipeline.transactions, {really} on chain")
        if one["status"] != ("confirmed" if sent.succeeded else "reverted"):
            found.append(f"{one['key']}: {one['status']}, though its transaction is final")
        if exactly and not sent.succeeded:
            found.append(f"{one['key']}: reverted on chain")
    found += [f"{one.kind} {one.hash} is on chain and unknown" for one in mined.values()]
    for one in rows(
        database_url,
        "select key, status, nonce, last_error from pipeline.intents"
        " where status in ('signed', 'broadcast', 'mined')",
    ):
        found.append(f"{one['key']} is still {one['status']}: {one['last_error']}")
    for one in rows(
        database_url, "select address, next_nonce::bigint as next from pipeline.signers"
    ):
        latest, pending = (
            int(client.node.call("eth_getTransactionCount", one["address"], tag), 16)
            for tag in ("latest", "pending")
        )
        if not one["next"] == latest == pending:
            found.append(
                f"{one['address']}: next nonce {one['next']} in the database,"
                f" {latest} on chain, {pending} with the node's waiting ones"
            )
    return found
