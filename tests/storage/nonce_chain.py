"""A chain as the nonce allocator meets it: blocks, a pool, foreign transactions, nodes that err.

It keeps a real chain's rules about nonces: a wallet's transactions are mined in order, each nonce
once, and a pool holds one transaction a nonce, the better paid one.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lightchallenge_dagster.chain.rpc import RpcError
from lightchallenge_dagster.chain.signer import Signed
from tests.builders import CHAIN_ID


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction, ``foreign`` when another program with the same key made it."""

    hash: str
    wallet: str
    nonce: int
    fee: int
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    hash: str
    txs: tuple[Tx, ...] = ()


@dataclass(slots=True)
class Chain:
    """All that was signed, what waits, and what is mined."""

    blocks: list[Block] = field(default_factory=lambda: [Block("0xb0")])
    pool: dict[tuple[str, int], Tx] = field(default_factory=dict[tuple[str, int], Tx])
    signed: dict[str, Tx] = field(default_factory=dict[str, Tx])
    made: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def mined(self, wallet: str, height: int | None = None) -> int:
        """How many of the wallet's transactions the blocks up to ``height`` hold."""
        shown = self.blocks if height is None else self.blocks[: height + 1]
        return sum(tx.wallet == wallet for block in shown for tx in block.txs)

    def pending(self, wallet: str, height: int | None = None) -> int:
        nonce = self.mined(wallet, height)
        while (wallet, nonce) in self.pool:
            nonce += 1
        return nonce

    def height(self, transaction_hash: str) -> int | None:
        """Where a transaction is mined."""
        for height, block in enumerate(self.blocks):
            if any(tx.hash == transaction_hash for tx in block.txs):
                return height
        return None

    def take(self, tx: Tx) -> str | None:
        """A transaction comes to the pool, which may have something against it."""
        place = (tx.wallet, tx.nonce)
        waiting = self.pool.get(place)
        if tx.nonce < self.mined(tx.wallet):
            return "nonce too low"
        if waiting == tx:
            return "already known"
        if waiting is not None and tx.fee * 10 < waiting.fee * 11:
            return "replacement transaction underpriced"
        self.pool[place] = tx
        return None

    def foreign(self, wallet: str, nonce: int, fee: int) -> Tx:
        self.made += 1
        return Tx(f"0xf{self.made:063x}", wallet, nonce, fee, foreign=True)

    def mine(self, at_most: int) -> None:
        """One block with up to so many transactions of each wallet."""
        chosen: list[Tx] = []
        for wallet in sorted({wallet for wallet, _ in self.pool}):
            nonce = first = self.mined(wallet)
            while (wallet, nonce) in self.pool and nonce - first < at_most:
                chosen.append(self.pool.pop((wallet, nonce)))
                nonce += 1
        self.made += 1
        self.blocks.append(Block(f"0xb{self.made:x}0", tuple(chosen)))
        for wallet, nonce in list(self.pool):
            if nonce < self.mined(wallet):
                del self.pool[(wallet, nonce)]

    def reorg(self) -> None:
        """The last block gives way to an empty one; what it held waits again, or is forgotten."""
        if len(self.blocks) > 1:
            lost = self.blocks.pop()
            self.pool |= {(tx.wallet, tx.nonce): tx for tx in lost.txs if not tx.foreign}
            self.made += 1
            self.blocks.append(Block(f"0xb{self.made:x}0"))


@dataclass(frozen=True, slots=True)
class Key:
    """A wallet that signs on ``chain``, without the cryptography."""

    chain: Chain
    address: str

    def sign(self, transaction: Mapping[str, Any]) -> Signed:
        words = f"{self.address} {sorted(transaction.items())}"
        name = "0x" + hashlib.sha256(words.encode()).hexdigest()
        fee = transaction["maxFeePerGas"]
        self.chain.signed[name] = Tx(name, self.address, transaction["nonce"], fee)
        return Signed(hash=name, raw=name)


@dataclass(frozen=True, slots=True)
class Quirks:
    """How a node errs.

    ``behind``: so many blocks it has not seen yet. ``too_many_mined`` and ``too_many_pending`` are
    added to what it counts.
    """

    behind: int = 0
    too_many_mined: int = 0
    too_many_pending: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the chain, asked as ``chain.rpc.Rpc`` is."""

    chain: Chain
    quirks: Quirks

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        with self.chain.guard:
            return getattr(self, f"_{method}")(*params)

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        with self.chain.guard:
            return [getattr(self, f"_{method}")(*params) for method, params in calls]

    @property
    def _head(self) -> int:
        return max(0, len(self.chain.blocks) - 1 - self.quirks.behind)

    def _eth_chainId(self) -> str:  # noqa: N802 — the method's own name, here and below
        return hex(CHAIN_ID)

    def _eth_blockNumber(self) -> str:  # noqa: N802
        return hex(self._head)

    def _eth_getBalance(self, _wallet: str, _block: str) -> str:  # noqa: N802
        return hex(10**30)

    def _eth_maxPriorityFeePerGas(self) -> str:  # noqa: N802
        return hex(10)

    def _eth_getCode(self, _address: str, _block: str) -> str:  # noqa: N802
        return "0x00"

    def _eth_estimateGas(self, _call: Any) -> str:  # noqa: N802
        return hex(21_000)

    def _eth_getTransactionCount(self, wallet: str, block: str) -> str:  # noqa: N802
        if block == "latest":
            return hex(self.chain.mined(wallet, self._head) + self.quirks.too_many_mined)
        if block == "pending":
            return hex(self.chain.pending(wallet, self._head) + self.quirks.too_many_pending)
        return hex(self.chain.mined(wallet, min(int(block, 16), self._head)))

    def _eth_getBlockByNumber(self, number: str, full: bool) -> Any:  # noqa: N802
        height = self._head if number == "latest" else int(number, 16)
        if height > self._head:
            return None
        block = self.chain.blocks[height]
        return {
            "number": hex(height),
            "hash": block.hash,
            "baseFeePerGas": hex(500),
            "gasLimit": hex(30_000_000),
            "transactions": [_shown(tx) if full else tx.hash for tx in block.txs],
        }

    def _eth_sendRawTransaction(self, raw: str) -> str:  # noqa: N802
        tx = self.chain.signed[raw]
        if (trouble := self.chain.take(tx)) is not None:
            raise RpcError("eth_sendRawTransaction", -32000, trouble)
        return tx.hash

    def _eth_getTransactionByHash(self, name: str) -> Any:  # noqa: N802
        tx = self.chain.signed[name]
        waits = self.chain.pool.get((tx.wallet, tx.nonce)) == tx
        return _shown(tx) if waits or self._eth_getTransactionReceipt(name) else None

    def _eth_getTransactionReceipt(self, name: str) -> Any:  # noqa: N802
        height = self.chain.height(name)
        if height is None or height > self._head:
            return None
        return {
            "transactionHash": name,
            "blockNumber": hex(height),
            "blockHash": self.chain.blocks[height].hash,
            "status": "0x1",
            "gasUsed": hex(21_000),
            "effectiveGasPrice": hex(500),
            "logs": [],
        }


def _shown(tx: Tx) -> dict[str, str]:
    return {"hash": tx.hash, "from": tx.wallet, "nonce": hex(tx.nonce)}
