"""The ways in which a node misleads a sender, by name."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.money.lying_bends import (
    as_of_before,
    batch,
    bent,
    drop_one,
    exchange_ids,
    more,
    nothing_there,
    null,
    of_another,
    old_head,
    on_the_orphan,
    orphaned,
)
from tests.money.lying_talk import (
    BALANCE,
    CALL,
    COUNT,
    GAS,
    HEADS,
    RECEIPT,
    SEND,
    TRANSACTION,
    Call,
    Said,
    Talk,
    Tell,
    refused,
    result,
)


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
    Kind("nonce_stale", bent((COUNT,), as_of_before(1)), 0.1, (COUNT,), lasts=2),
    Kind("pending_high", bent((COUNT,), more(1, 3, "pending")), 0.05, (COUNT,)),
    Kind("pending_far_too_high", bent((COUNT,), more(50, 5000, "pending")), 0.06, (COUNT,)),
    Kind("mined_high", bent((COUNT,), more(1, 3, "latest")), 0.03, (COUNT,)),
    Kind("past_count_high", bent((COUNT,), more(1, 3, None)), 0.1, (COUNT,), lasts=3),
    Kind("receipt_missing", bent((RECEIPT,), null), 0.08, (RECEIPT,), lasts=4),
    Kind("receipt_orphaned", bent((RECEIPT,), orphaned), 0.5, (RECEIPT,), lasts=2),
    Kind("receipt_of_another", bent((RECEIPT,), of_another), 0.06, (RECEIPT,), lasts=3),
    Kind("transaction_unknown", bent((TRANSACTION,), null), 0.2, (TRANSACTION,), lasts=4),
    Kind("head_stale", bent(HEADS, old_head), 0.06, HEADS, lasts=3),
    Kind("branch_orphaned", bent((RECEIPT, *HEADS), on_the_orphan), 0.04, (RECEIPT, *HEADS),
         lasts=4),
    Kind("branch_split", bent((RECEIPT, *HEADS), on_the_orphan), 0.1, (RECEIPT, HEADS[1]),
         lasts=4),
    Kind("balance_stale", bent((BALANCE,), as_of_before(1)), 0.1, (BALANCE,)),
    Kind("balance_zero", bent((BALANCE,), nothing_there), 0.03, (BALANCE,)),
    Kind("calls_stale", bent((CALL, GAS), as_of_before(1)), 0.06, (CALL, GAS), lasts=2),
    Kind("estimate_rate_limited", _error("limit exceeded", -32005), 0.03, (GAS,)),
    Kind("estimate_bad_gateway", _status(502), 0.03, (GAS,), lasts=3),
    Kind("batch_reordered", batch(lambda answers, rng: rng.shuffle(answers)), 0.1, batches=True),
    Kind("batch_answer_missing", batch(drop_one), 0.03, batches=True),
    Kind("batch_other_ids", batch(exchange_ids), 0.03, batches=True),
    Kind("reorg_lost", _nothing, 0.02, moves_chain=True),
    Kind("reorg_pooled", _nothing, 0.02, moves_chain=True),
    Kind("reorg_moved", _nothing, 0.02, moves_chain=True),
)  # fmt: skip

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _LIST}
