"""What the chain does meanwhile: late blocks, reorgs, strangers, the network's answers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from lightchallenge_dagster.devnet import abi
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.node import Node
from lightchallenge_dagster.devnet.processes import Anvil
from lightchallenge_dagster.devnet.wallets import user


class Weather:
    """Moves the chain of one seed. ``manual``: transactions wait until it mines a block.

    ``deepest``: how many blocks a reorg replaces at most; 0 for no reorgs. ``reorgs`` counts them
    by depth.
    """

    def __init__(
        self,
        rng: random.Random,
        anvil: Anvil,
        deployment: Deployment,
        *,
        manual: bool,
        deepest: int,
    ) -> None:
        self._rng = rng
        self._anvil = anvil
        self._wallets = {deployment.worker_address, deployment.finalizer_address}
        self._deployment = deployment
        self._stranger = user("storm stranger")
        anvil.rpc("anvil_setBalance", self._stranger.address, hex(10**20))
        self._reorg_floor = 0
        self._manual = manual
        self._deepest = deepest
        self._floor = anvil.block_number()
        self.answering = True
        """Whether the network answers."""
        self.reorgs: Counter[str] = Counter()
        if manual:
            anvil.rpc("evm_setAutomine", False)

    def blow(self, answer: Callable[[], object]) -> None:
        """A little of anything; ``answer``: the network takes its next step."""
        rng = self._rng
        if self._manual and rng.random() < 0.3:
            self._anvil.mine()
        if self._deepest and rng.random() < 0.02:
            self._reorg()
        if self.answering and rng.random() < 0.04:
            self._answer(answer)

    def calm(self) -> None:
        """A block for each transaction from now on, and what waits is mined."""
        self._anvil.rpc("evm_setAutomine", True)
        self._anvil.mine()
        self._manual = False

    def travel(self, client: Client, timestamp: int, blocks: int) -> None:
        """To a time, so many blocks deep."""
        client.travel_to(timestamp)
        self._anvil.mine(blocks + 1)
        self._floor = self._anvil.block_number()

    def _answer(self, answer: Callable[[], object]) -> None:
        """The network's transactions need their blocks at once."""
        self._anvil.rpc("evm_setAutomine", True)
        try:
            answer()
        finally:
            if self._manual:
                self._anvil.rpc("evm_setAutomine", False)

    def _reorg(self) -> None:
        """Other blocks instead of the last ones; our transactions are lost, or come back."""
        rng, rpc = self._rng, self._anvil.rpc
        head = self._anvil.block_number()
        depth = min(rng.randint(1, self._deepest), head - self._floor)
        if depth < 1:
            return
        self._reorg_floor = head - depth
        back: list[list[Any]] = []
        if rng.random() < 0.5:
            back = self._some_of_ours(head - depth + 1, head, depth)
        words = f"depth {depth}" + (", some come back" if back else "")
        if rng.random() < 0.3:
            # Request ids are counted by the contract: ours comes back with another.
            back.insert(0, [self._strange_request(), 0])
            words += ", a stranger's first"
        rpc("anvil_reorg", depth, back)
        self.reorgs[words] += 1

    def _strange_request(self) -> str:
        """A signed request of somebody's, about nothing here, as of the blocks that stay."""
        node = Node(self._anvil.url)
        data = abi.load("AIVMInferenceV2").encode(
            "requestInferenceV2", "a.model", *(f"0x{self._rng.randrange(1, 2**256):064x}",) * 4
        )
        return node.sign(
            self._stranger,
            self._deployment.aivm_inference,
            data,
            nonce=self._strange_nonce(node),
            gas=500_000,
            fees=node.fees(),
            value=10**15,
        )

    def _strange_nonce(self, node: Node) -> int:
        floor = hex(self._reorg_floor)
        return int(node.call("eth_getTransactionCount", self._stranger.address, floor), 16)

    def _some_of_ours(self, first: int, last: int, depth: int) -> list[list[Any]]:
        """The first ones of each wallet, so that no nonce is left out."""
        found: list[list[Any]] = []
        lost: set[str] = set()
        offset = 0
        for number in range(first, last + 1):
            block = self._anvil.rpc("eth_getBlockByNumber", hex(number), True)
            for tx in block["transactions"]:
                sender = tx["from"].lower()
                if sender not in self._wallets or sender in lost:
                    continue
                if self._rng.random() < 0.3:
                    lost.add(sender)
                    continue
                offset = max(offset, self._rng.randint(offset, depth - 1))
                raw = self._anvil.rpc("eth_getRawTransactionByHash", tx["hash"])
                found.append([raw, offset])
        return found
