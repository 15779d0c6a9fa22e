"""True answers that are bent on their way back."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.money.lying_talk import NULL, RECEIPT, Bend, Call, Said, Talk, Tell, result


def bent(methods: Sequence[str], bend: Bend) -> Tell:
    """Every answer to one of the methods goes through ``bend``."""

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


def as_of_before(at: int, tags: Sequence[str] = ("latest", "pending")) -> Bend:
    """The answer of a node that is some blocks behind; the block is parameter ``at``."""

    def bend(talk: Talk, call: Call, _true: Any, rng: random.Random) -> Any:
        params = list(call["params"])
        if len(params) > at and params[at] not in tags:
            return None
        params[at:] = [hex(talk.chain.behind(rng))]
        (said,) = talk.truth([{**call, "params": params}])
        return said.get("result")

    return bend


def more(least: int, most: int, tag: str | None) -> Bend:
    """So many more transactions than there are; ``tag`` None: up to a numbered block."""

    def bend(_talk: Talk, call: Call, true: Any, rng: random.Random) -> Any:
        named = call["params"][1]
        if named != tag and (tag is not None or named in ("latest", "pending")):
            return None
        return hex(int(true, 16) + rng.randint(least, most))

    return bend


def null(_talk: Talk, _call: Call, true: Any, _rng: random.Random) -> Any:
    """``null`` for what is there."""
    return None if true is None else NULL


def nothing_there(_talk: Talk, _call: Call, _true: Any, _rng: random.Random) -> Any:
    """No coins."""
    return "0x0"


def orphaned(talk: Talk, call: Call, true: Any, rng: random.Random) -> Any:
    """A receipt that was true before a reorg."""
    past = [one for one in talk.receipts[call["params"][0]] if one != true]
    return rng.choice(past) if past else None


def of_another(talk: Talk, call: Call, _true: Any, rng: random.Random) -> Any:
    """The receipt of another transaction."""
    others = [
        past[-1] for found, past in talk.receipts.items() if past and found != call["params"][0]
    ]
    return rng.choice(others) if others else None


def old_head(talk: Talk, call: Call, _true: Any, rng: random.Random) -> Any:
    """The latest block of a node that is some blocks behind."""
    number = hex(talk.chain.behind(rng))
    if call["method"] == "eth_blockNumber":
        return number
    if call["params"][0] != "latest":
        return None
    (said,) = talk.truth([{**call, "params": [number, *call["params"][1:]]}])
    return said.get("result")


def on_the_orphan(talk: Talk, call: Call, true: Any, _rng: random.Random) -> Any:
    """The answer of a node that stopped at the last reorg; the whole request is answered by it."""
    branch, method, params = talk.chain.orphaned, call["method"], call["params"]
    if branch is None:
        return None
    if method == "eth_blockNumber":
        return hex(branch.head)
    if method == RECEIPT:
        later = true is not None and int(true["blockNumber"], 16) >= min(branch.blocks)
        return branch.receipts.get(params[0], NULL if later else None)
    number = branch.head if params[0] == "latest" else int(params[0], 16)
    if number > branch.head:
        return NULL
    block = branch.blocks.get(number)
    if block is None or params[1]:
        return block
    return block | {"transactions": [one["hash"] for one in block["transactions"]]}


# ── batches ─────────────────────────────────────────────────────────────────────────────


def batch(change: Callable[[list[dict[str, Any]], random.Random], Any]) -> Tell:
    """The answers of a batch are changed as a list."""

    def tell(talk: Talk, calls: Sequence[Call], rng: random.Random) -> Said:
        answers = talk.truth(calls)
        change(answers, rng)
        return Said(answers)

    return tell


def drop_one(answers: list[dict[str, Any]], rng: random.Random) -> None:
    """One answer of a batch is missing."""
    del answers[rng.randrange(len(answers))]


def exchange_ids(answers: list[dict[str, Any]], rng: random.Random) -> None:
    """One answer of a batch names another call."""
    at = rng.randrange(len(answers))
    answers[at] = answers[at] | {"id": answers[at]["id"] + 1_000_000}
