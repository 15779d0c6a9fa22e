"""How many proofs one transaction carries: as many as its share of a block's gas takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from lightchallenge_dagster.chain.rpc import RpcError, RpcUnavailable

if TYPE_CHECKING:
    from lightchallenge_dagster.chain.sender import Sender

T = TypeVar("T")

#: Nodes take no larger transaction into their pools than 128 kB, signature and all.
MAX_CALLDATA_BYTES = 100_000
#: More than any block takes.
NO_BLOCK = 1 << 62
#: What any transaction takes before it does anything.
INTRINSIC_GAS = 21_000
# A selector and what precedes the entries of two arrays; an entry's address, offset, length and
# the 13 words of its proof.
_HEAD_BYTES, _ENTRY_BYTES = 4 + 5 * 32, 16 * 32
MAX_PROOFS = (MAX_CALLDATA_BYTES - _HEAD_BYTES) // _ENTRY_BYTES

_OUT_OF_GAS = re.compile(r"\bgas\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Gauge:
    """Measures calls from ``sender_wallet`` to ``to``, with the margin they are sent with."""

    sender: Sender
    sender_wallet: str
    to: str
    margin_percent: int

    def gas(self, data: str) -> int:
        """What the call takes; ``NO_BLOCK`` when it is too much for the node.

        0 when the contract refuses it or the node cannot say: its size is not the trouble then.
        """
        try:
            result = self.sender.simulate(self.sender_wallet, self.to, data, 0)
        except RpcUnavailable:
            raise
        except RpcError as error:
            return NO_BLOCK if _OUT_OF_GAS.search(error.message) else 0
        if result.refused is None:
            return result.gas * (100 + self.margin_percent) // 100
        # Gas that runs out inside a called contract looks like this.
        return NO_BLOCK if result.refused.name == "reverted without a reason" else 0


def split(
    entries: Sequence[T],
    gas_of: Callable[[Sequence[T]], int],
    budget: int,
    *,
    longest: int = MAX_PROOFS,
) -> list[list[T]]:
    """Cut ``entries`` into consecutive batches that take at most ``budget`` gas each.

    The first guess comes from one entry's gas; what does not fit is halved, and what fits is tried
    once more as large as its own average promises. A single entry is its own batch whatever it
    takes.
    """
    batches: list[list[T]] = []
    size, start = 0, 0
    while start < len(entries):
        rest = min(len(entries) - start, longest)
        if rest > 1 and size == 0:
            size = _promised(gas_of(entries[start : start + 1]), 1, budget) or rest
        size = max(1, min(size, rest))
        gas = gas_of(entries[start : start + size]) if size > 1 else 0
        while gas > budget:
            size = size // 2
            gas = gas_of(entries[start : start + size]) if size > 1 else 0
        larger = min(_promised(gas, size, budget), rest)
        if larger > size and gas_of(entries[start : start + larger]) <= budget:
            size = larger
        batches.append(list(entries[start : start + size]))
        start += size
    return batches


def _promised(gas: int, count: int, budget: int) -> int:
    """How many entries fit if all take what ``count`` of them took; 0 when that is not known."""
    each = (gas - INTRINSIC_GAS) // count
    return max(0, (budget - INTRINSIC_GAS) // each) if each > 0 else 0
