"""Which nonce a transaction takes: the lowest that is free, and none that leaves a hole.

A chain mines a wallet's transactions in the order of their nonces, without holes. Nodes are wrong
about both counts that they give: behind a load balancer they are stale, and a pending count can
name transactions that the next node never saw.
"""

from __future__ import annotations

from collections.abc import Collection

#: How many transactions of other programs with the same key, sent and not mined, are believed in.
FOREIGN_IN_FLIGHT = 8


def free_nonce(mined: int, pending: int, held: Collection[int]) -> int:
    """The nonce for a wallet's next transaction.

    ``mined``: how many the latest block counts; ``pending``: the same with those that wait in the
    node; ``held``: the nonces of our own transactions, mined or not (those below ``mined`` may be
    left out). A hole below one of ours is taken first. The result is in no case in ``held``, and
    never below ``mined``.
    """
    top = max([mined, *(nonce + 1 for nonce in held)])
    nonce = max(mined, min(pending, top + FOREIGN_IN_FLIGHT))
    while nonce in held:
        nonce += 1
    return nonce


def holes(mined: int, held: Collection[int]) -> list[int]:
    """The nonces that keep ours waiting: not mined, held by nobody we know, below one of ours."""
    return [n for n in range(mined, max(held, default=mined)) if n not in held]
