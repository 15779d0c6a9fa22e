"""What a lie is made of: the calls, the truth, what was said before, and the answer."""

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
"""None: it does not apply here."""


def result(call: Call, value: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "result": value}


def refused(call: Call, message: str, code: int = -32000) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}
