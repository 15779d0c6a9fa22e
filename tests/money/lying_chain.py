"""What a lying node does to the chain behind it: late transactions, and reorgs that lose some."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from lightchallenge_dagster.devnet.errors import NodeRefused
from lightchallenge_dagster.devnet.node import Node

_branches = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Branch:
    """What a node still says that has not noticed the last reorg.

    ``head``: its latest block; ``blocks`` those that were replaced, by number, with their
    transactions; ``receipts`` of these.
    """

    head: int
    blocks: dict[int, Any]
    receipts: dict[str, Any]


@dataclass(slots=True)
class _Block:
    timestamp: int
    transactions: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(hash, raw)."""


class Shaker:
    """The real node, as the lies use it.

    ``ours`` are the transactions that were sent through the lying node: only they are lost in
    reorgs, everybody else's are mined again in the same order.
    """

    def __init__(self, target: str, deepest: int, floor: int, lag: int) -> None:
        self.ours: dict[str, str] = {}
        self.reorged: list[int] = []
        self.orphaned: Branch | None = None
        self.floor = floor
        self._deepest = deepest
        self._lag = lag
        self._node = Node(target)
        self._later: list[tuple[int, str]] = []
        self._unmined_for = 0

    def hash_of(self, raw: str) -> str:
        """A raw transaction's hash, which is thereby one of ``ours``."""
        found = "0x" + keccak(hexstr=raw).hex()
        self.ours[found] = raw
        return found

    def head(self) -> int:
        return self._node.block_number()

    def behind(self, rng: random.Random) -> int:
        """A block some way below the head."""
        return max(0, self.head() - rng.randint(1, self._lag))

    # ── transactions ────────────────────────────────────────────────────────────────────

    def send(self, raw: str) -> str:
        """Hand a transaction to the chain; its hash, whatever the chain says."""
        found = self.hash_of(raw)
        try:
            self._node.call("eth_sendRawTransaction", raw)
        except NodeRefused:
            return found  # it is there already, or can never be
        return found

    def send_later(self, raw: str, requests: int) -> None:
        """As ``send``, after so many more requests."""
        self.hash_of(raw)
        self._later.append((requests, raw))

    def send_unmined(self, raw: str, requests: int) -> str:
        """As ``send``, and no block is made before so many more requests."""
        self._node.call("evm_setAutomine", False)
        self._unmined_for = max(self._unmined_for, requests)
        return self.send(raw)

    def between_requests(self) -> None:
        """One request more."""
        due = [raw for left, raw in self._later if left <= 1]
        self._later = [(left - 1, raw) for left, raw in self._later if left > 1]
        if self._unmined_for == 1:
            self._go_on()
        self._unmined_for = max(0, self._unmined_for - 1)
        for raw in due:
            self.send(raw)

    def make_blocks_again(self) -> None:
        """What waits is mined now, and every transaction gets its block from here on."""
        if self._unmined_for:
            self._unmined_for = 0
            self._go_on()

    def release(self) -> None:
        """Whatever was kept back happens now."""
        self.make_blocks_again()
        kept, self._later = self._later, []
        for _, raw in kept:
            self.send(raw)

    def _go_on(self) -> None:
        self._node.call("evm_setAutomine", True)
        self._node.call("evm_mine")

    # ── reorgs ──────────────────────────────────────────────────────────────────────────

    def reorg(self, fate: str, rng: random.Random) -> bool:
        """Replace the last blocks, if one of them holds a transaction of ``ours``.

        ``fate`` of ours: ``reorg_lost`` forgets them, ``reorg_pooled`` puts them back among the
        waiting ones, ``reorg_moved`` mines them in a block of their own on top. Chain time and
        everybody else's transactions stay.
        """
        head = self.head()
        depth = min(rng.randint(1, max(1, self._deepest)), self._deepest, head - self.floor)
        blocks = [self._block(number) for number in range(head - depth + 1, head + 1)]
        ours = [raw for block in blocks for found, raw in block.transactions if found in self.ours]
        if not ours or self._unmined_for:
            return False
        self.orphaned = self._branch(head, depth)
        self._node.call("anvil_rollback", depth)
        self._node.call("evm_setAutomine", False)
        # A block of the same content would be the same block.
        self._node.call("anvil_setCoinbase", f"0x{0xF0 << 144 | next(_branches):040x}")
        for block in blocks:
            for found, raw in block.transactions:
                if found not in self.ours:
                    self._node.call("eth_sendRawTransaction", raw)
            self._node.call("evm_setNextBlockTimestamp", hex(block.timestamp))
            self._node.call("evm_mine")
        if fate != "reorg_lost":
            for raw in ours:
                self.send(raw)
        if fate == "reorg_pooled":
            self._unmined_for = rng.randint(2, 12)
        else:
            self._go_on()
        self.reorged.append(depth)
        return True

    def _branch(self, head: int, depth: int) -> Branch:
        call = self._node.call
        numbers = range(head - depth + 1, head + 1)
        blocks = {one: call("eth_getBlockByNumber", hex(one), True) for one in numbers}
        hashes = [found["hash"] for block in blocks.values() for found in block["transactions"]]
        receipts = {one: call("eth_getTransactionReceipt", one) for one in hashes}
        return Branch(head, blocks, receipts)

    def _block(self, number: int) -> _Block:
        found: dict[str, Any] = self._node.call("eth_getBlockByNumber", hex(number), False)
        block = _Block(int(found["timestamp"], 16))
        for one in found["transactions"]:
            raw = self.ours.get(one) or self._node.call("eth_getRawTransactionByHash", one)
            block.transactions.append((one, raw))
        return block
