"""The ways in which a node misleads a sender, by name."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.money.lying_chain import Shaker

Call = Mapping[str, Any]
"""One JSON-RPC call: id, method, params."""
Bend = Callable[["Talk", Call, Any, random.Random], Any]
"""(…, the true result) -> another result, or None for: nothing to lie about."""

SEND, COUNT, RECEIPT, TRANSACTION, GAS, BALANCE, CALL = (
    "eth_sendRawTransaction",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_getTransactionByHash",
    "eth_estimateGas",
    "eth_getBalance",
    "eth_call",
)
HEADS = ("eth_blockNumber", "eth_getBlockByNumber")
NULL = "null"
"""Says ``null``; a bend's own None means that it changes nothing."""


@dataclass(frozen=True, slots=True)
class Said:
    """An HTTP answer. ``how``: whole, the first half of it, nothing but an end, or silence."""

    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    status: int = 200
    how: Literal["whole", "half", "closed", "hang"] = "whole"


class Talk:
    """What a lie may use: the chain, the truth, and what was said before."""

    def __init__(
        self, chain: Shaker, truth: Callable[[Sequence[Call]], list[dict[str, Any]]]
    ) -> None:
        self.chain = chain
        self.truth = truth
        self.receipts: dict[str, list[Any]] = defaultdict(list)

    def remember(self, calls: Sequence[Call], answers: Sequence[Mapping[str, Any]]) -> None:
        """Keep the receipts: after a reorg they are those of an orphaned block."""
        for call, answer in zip(calls, answers, strict=True):
            if call["method"] == RECEIPT and answer.get("result") is not None:
                past = self.receipts[call["params"][0]]
                if answer["result"] not in past:
                    past.append(answer["result"])


Tell = Callable[[Talk, Sequence[Call], random.Random], Said | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to lie. ``tell`` answers None where it does not apply.

    ``methods``: what it fits, any of them in a batch; empty for everything. ``rate``: how often in
    a mix. ``lasts``: told to up to so many requests in a row. ``moves_chain``: no lie at all, the
    chain itself changes.
    """

    name: str
    tell: Tell
    rate: float
    methods: tuple[str, ...] = ()
    lasts: int = 1
    batches: bool = False
    moves_chain: bool = False

    def fits(self, methods: set[str], batch: bool) -> bool:
        """Whether it can be told to such a request."""
        if self.batches and not batch:
            return False
        return not self.methods or not methods.isdisjoint(self.methods)


def result(call: Call, value: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "result": value}


def refused(call: Call, message: str, code: int = -32000) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}


# ── told to any request ─────────────────────────────────────────────────────────────────


def _silence(how: Literal["closed", "hang"]) -> Tell:
    return lambda _talk, _calls, _rng: Said(how=how)


def _status(status: int) -> Tell:
    return lambda _talk, calls, _rng: Said(
        [refused(call, "upstream", -32603) for call in calls], status
    )


def _error(message: str, code: int) -> Tell:
    return lambda _talk, calls, _rng: Said([refused(call, message, code) for call in calls])


# ── told to a transaction that is sent ──────────────────────────────────────────────────


def _not_forwarded(message: str) -> Tell:
    return lambda _talk, calls, _rng: Said([refused(calls[0], message)])


def _forwarded(message: str) -> Tell:
    def tell(talk: Talk, calls: Sequence[Call], _rng: random.Random) -> Said | None:
        talk.chain.send(calls[0]["params"][0])
        return Said([refused(calls[0], message)])

    return tell


def _accepted(how: Literal["half", "closed", "hang"] = "closed", status: int = 200) -> Tell:
    def tell(talk: Talk, calls: Sequence[Call], _rng: random.Random) -> Said:
        taken = talk.chain.send(calls[0]["params"][0])
        return Said([result(calls[0], taken)], status, how if status == 200 else "whole")

    return tell


def _swallowed(talk: Talk, calls: Sequence[Call], _rng: random.Random) -> Said:
    return Said([result(calls[0], talk.chain.hash_of(calls[0]["params"][0]))])


def _late(message: str | None) -> Tell:
    """It reaches the chain so many requests later, whatever was said."""

    def tell(talk: Talk, calls: Sequence[Call], rng: random.Random) -> Said:
        raw = calls[0]["params"][0]
        talk.chain.send_later(raw, rng.randint(2, 25))
        if message is not None:
            return Said([refused(calls[0], message)])
        return Said([result(calls[0], talk.chain.hash_of(raw))])

    return tell


def _mined_late(talk: Talk, calls: Sequence[Call], rng: random.Random) -> Said:
    taken = talk.chain.send_unmined(calls[0]["params"][0], rng.randint(2, 25))
    return Said([result(calls[0], taken)])


# ── answers that are bent ───────────────────────────────────────────────────────────────


def _bent(methods: Sequence[str], bend: Bend) -> Tell:
    def tell(talk: Talk, calls: Sequence[Call], rng: random.Random) -> Said | None:
        answers = talk.truth(calls)
        talk.remember(calls, answers)
        changed = False
        for at, call in enumerate(calls):
            if call["method"] not in methods or "result" not in answers[at]:
                continue
            said = bend(talk, call, answers[at]["result"], rng)
            if said is not None and said != answers[at]["result"]:
                answers[at] = result(call, None if said == NULL else said)
                changed = True
        return Said(answers) if changed else None

    return tell


def _as_of_before(at: int, tags: Sequence[str] = ("latest", "pending")) -> Bend:
    """The answer of a node that is some blocks behind; the block is parameter ``at``."""

    def bend(talk: Talk, call: Call, _true: Any, rng: random.Random) -> Any:
        params = list(call["params"])
        if len(params) > at and params[at] not in tags:
            return None
        params[at:] = [hex(talk.chain.behind(rng))]
        (said,) = talk.truth([{**call, "params": params}])
        return said.get("result")

    return bend


def _more(least: int, most: int, tag: str | None) -> Bend:
    """So many more transactions than there are; ``tag`` None: up to a numbered block."""

    def bend(_talk: Talk, call: Call, true: Any, rng: random.Random) -> Any:
        named = call["params"][1]
        if named != tag and (tag is not None or named in ("latest", "pending")):
            return None
        return hex(int(true, 16) + rng.randint(least, most))

    return bend


def _null(_talk: Talk, _call: Call, true: Any, _rng: random.Random) -> Any:
    return None if true is None else NULL


def _nothing_there(_talk: Talk, _call: Call, _true: Any, _rng: random.Random) -> Any:
    return "0x0"


def _orphaned(talk: Talk, call: Call, true: Any, rng: random.Random) -> Any:
    past = [one for one in talk.receipts[call["params"][0]] if one != true]
    return rng.choice(past) if past else None


def _of_another(talk: Talk, call: Call, _true: Any, rng: random.Random) -> Any:
    others = [past[-1] for found, past in talk.receipts.items() if found != call["params"][0]]
    return rng.choice(others) if others else None


def _old_head(talk: Talk, call: Call, _true: Any, rng: random.Random) -> Any:
    number = hex(talk.chain.behind(rng))
    if call["method"] == "eth_blockNumber":
        return number
    if call["params"][0] != "latest":
        return None
    (said,) = talk.truth([{**call, "params": [number, *call["params"][1:]]}])
    return said.get("result")


def _on_the_orphan(talk: Talk, call: Call, _true: Any, _rng: random.Random) -> Any:
    """The answer of a node that stopped at the last reorg; the whole request is answered by it."""
    branch, method, params = talk.chain.orphaned, call["method"], call["params"]
    if branch is None:
        return None
    if method == "eth_blockNumber":
        return hex(branch.head)
    if method == RECEIPT:
        return branch.receipts.get(params[0])
    number = branch.head if params[0] == "latest" else int(params[0], 16)
    if number > branch.head:
        return NULL
    block = branch.blocks.get(number)
    if block is None or params[1]:
        return block
    return block | {"transactions": [one["hash"] for one in block["transactions"]]}


# ── batches ─────────────────────────────────────────────────────────────────────────────


def _batch(change: Callable[[list[dict[str, Any]], random.Random], Any]) -> Tell:
    def tell(talk: Talk, calls: Sequence[Call], rng: random.Random) -> Said:
        answers = talk.truth(calls)
        change(answers, rng)
        return Said(answers)

    return tell


def _drop_one(answers: list[dict[str, Any]], rng: random.Random) -> None:
    del answers[rng.randrange(len(answers))]


def _exchange_ids(answers: list[dict[str, Any]], rng: random.Random) -> None:
    at = rng.randrange(len(answers))
    answers[at] = answers[at] | {"id": answers[at]["id"] + 1_000_000}


def _nothing(_talk: Talk, _calls: Sequence[Call], _rng: random.Random) -> Said | None:
    return None


_LIST = (
    Kind("drop", _silence("closed"), 0.01),
    Kind("http_429", _status(429), 0.01),
    Kind("http_502", _status(502), 0.01),
    Kind("http_504", _status(504), 0.01),
    Kind("hang", _silence("hang"), 0.0),
    Kind("error_internal", _error("Internal error", -32603), 0.005),
    Kind("send_timeout", _accepted(status=504), 0.06, (SEND,)),
    Kind("send_hangs", _accepted("hang"), 0.0, (SEND,)),
    Kind("send_cut", _accepted("half"), 0.05, (SEND,)),
    Kind("send_closed", _accepted("closed"), 0.05, (SEND,)),
    Kind("send_swallowed", _swallowed, 0.06, (SEND,)),
    Kind("send_late", _late(None), 0.06, (SEND,)),
    Kind("send_late_refused", _late("transaction underpriced"), 0.05, (SEND,)),
    Kind("send_known", _not_forwarded("already known"), 0.05, (SEND,)),
    Kind("send_nonce_low", _not_forwarded("nonce too low"), 0.05, (SEND,)),
    Kind("send_underpriced", _not_forwarded("replacement transaction underpriced"), 0.05, (SEND,)),
    Kind("send_unfunded", _not_forwarded("insufficient funds for gas * price + value"),
         0.05, (SEND,)),
    Kind("send_taken_nonce_low", _forwarded("nonce too low"), 0.05, (SEND,)),
    Kind("send_taken_underpriced", _forwarded("replacement transaction underpriced"),
         0.05, (SEND,)),
    Kind("mined_late", _mined_late, 0.08, (SEND,)),
    Kind("nonce_stale", _bent((COUNT,), _as_of_before(1)), 0.1, (COUNT,), lasts=2),
    Kind("pending_high", _bent((COUNT,), _more(1, 3, "pending")), 0.05, (COUNT,)),
    Kind("pending_far_too_high", _bent((COUNT,), _more(50, 5000, "pending")), 0.02, (COUNT,)),
    Kind("mined_high", _bent((COUNT,), _more(1, 3, "latest")), 0.03, (COUNT,)),
    Kind("past_count_high", _bent((COUNT,), _more(1, 3, None)), 0.1, (COUNT,), lasts=3),
    Kind("receipt_missing", _bent((RECEIPT,), _null), 0.08, (RECEIPT,), lasts=4),
    Kind("receipt_orphaned", _bent((RECEIPT,), _orphaned), 0.5, (RECEIPT,), lasts=2),
    Kind("receipt_of_another", _bent((RECEIPT,), _of_another), 0.03, (RECEIPT,), lasts=3),
    Kind("transaction_unknown", _bent((TRANSACTION,), _null), 0.2, (TRANSACTION,), lasts=4),
    Kind("head_stale", _bent(HEADS, _old_head), 0.06, HEADS, lasts=3),
    Kind("branch_orphaned", _bent((RECEIPT, *HEADS), _on_the_orphan), 0.02, (RECEIPT, *HEADS),
         lasts=4),
    Kind("branch_split", _bent((RECEIPT, *HEADS), _on_the_orphan), 0.05, (RECEIPT, HEADS[1]),
         lasts=4),
    Kind("balance_stale", _bent((BALANCE,), _as_of_before(1)), 0.1, (BALANCE,)),
    Kind("balance_zero", _bent((BALANCE,), _nothing_there), 0.03, (BALANCE,)),
    Kind("calls_stale", _bent((CALL, GAS), _as_of_before(1)), 0.02, (CALL, GAS), lasts=2),
    Kind("estimate_rate_limited", _error("limit exceeded", -32005), 0.03, (GAS,)),
    Kind("estimate_bad_gateway", _status(502), 0.03, (GAS,), lasts=3),
    Kind("batch_reordered", _batch(lambda answers, rng: rng.shuffle(answers)), 0.1, batches=True),
    Kind("batch_answer_missing", _batch(_drop_one), 0.03, batches=True),
    Kind("batch_other_ids", _batch(_exchange_ids), 0.03, batches=True),
    Kind("reorg_lost", _nothing, 0.01, moves_chain=True),
    Kind("reorg_pooled", _nothing, 0.01, moves_chain=True),
    Kind("reorg_moved", _nothing, 0.01, moves_chain=True),
)  # fmt: skip

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _LIST}
