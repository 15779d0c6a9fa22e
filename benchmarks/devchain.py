"""The made-up events on a real anvil, kept as a state file so that a second run starts at once."""

from __future__ import annotations

import http.client
import json
import random
import re
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import emitter, events
from benchmarks.common import LOCAL, ChildFailed, Progress
from lightchallenge_dagster.devnet.processes import Anvil, start_anvil
from lightchallenge_dagster.devnet.supervisor import Supervisor

VERSION = 2  # of the chain that a seed makes; part of the state file's name
_ARGUMENTS = ("--auto-impersonate", "--prune-history", "--gas-limit", "500000000")
_SENDER = "0x" + "5e" * 20
_GAS = 4_000_000
_GAS_PRICE = 10**11
_BLOCKS_A_WORD = 50
_STRETCH = 1000
CONFIRMATIONS = 12


@dataclass(frozen=True, slots=True)
class DevChain:
    """An anvil with ``events`` logs of the addresses in ``events.ADDRESSES``, up to ``head``."""

    node: Anvil
    events: int
    head: int
    first: int
    cached: bool


@contextmanager
def dev_chain(
    supervisor: Supervisor,
    *,
    seed: int,
    wanted: int,
    blocks: int,
    progress: Progress,
    folder: Path = LOCAL,
) -> Generator[DevChain]:
    """A node with about ``wanted`` events in about ``blocks`` blocks, from the cache if there."""
    state = folder / f"anvil-v{VERSION}-{seed}-{wanted}-{blocks}.json"
    cached = state.exists()
    if not cached:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            mill = _Mill(supervisor, Path(scratch))
            told = _fill(mill, seed, wanted, blocks, progress)
            progress(1.0, "writing the chain down")
            mill.finish(Path(scratch) / "whole.json")
            state.with_suffix(".count").write_text(str(told))
            (Path(scratch) / "whole.json").rename(state)
    progress(1.0, "loading the chain")
    node = start_anvil(
        supervisor, name="anvil-bench", arguments=(*_ARGUMENTS, "--load-state", str(state))
    )
    node.mine(CONFIRMATIONS, events.BLOCK_S)
    count = int(state.with_suffix(".count").read_text())
    if (found := _count(node)) != count:
        raise ChildFailed(f"anvil has {found} logs of the {count} that were sent; delete {state}")
    yield DevChain(node, count, node.block_number(), 1, cached)
    node.handle.stop()


class _Mill:
    """Mines on anvil, in stretches: each block costs it a look at all blocks that it holds.

    After a stretch the state is written, its blocks and transactions are put aside, and a new node
    goes on from the last block alone. ``finish`` puts all of them together again.
    """

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self._supervisor = supervisor
        self._state, self._aside = folder / "state.json", folder / "aside"
        self._aside.mkdir()
        self._stretches = 0
        self._last = -1
        self._start()

    def _start(self, *arguments: str) -> None:
        self.node = start_anvil(
            self._supervisor,
            name="anvil-mill",
            arguments=(*_ARGUMENTS, "--no-mining", "--dump-state", str(self._state), *arguments),
        )
        self.node.rpc("anvil_setBlockTimestampInterval", events.BLOCK_S)
        self._line = _Line(self.node.url)
        self._mined = 0

    def send(self, transaction: Sequence[events.Log], nonce: int) -> None:
        """Hand in a transaction that emits these logs."""
        sent = {
            "from": _SENDER,
            "to": emitter.CALLER_ADDRESS,
            "data": emitter.calldata(transaction),
            "gas": hex(_GAS),
            "gasPrice": hex(_GAS_PRICE),
            "nonce": hex(nonce),
        }
        self._line.call("eth_sendTransaction", [sent])

    def mine(self) -> None:
        """Mine a block of what was handed in."""
        self._line.call("evm_mine", [])
        self._mined += 1
        if self._mined == _STRETCH:
            state = self._put_aside()
            self._state.write_text(json.dumps(state))
            self._start("--load-state", str(self._state))

    def finish(self, path: Path) -> None:
        """Write the whole chain's state to ``path``."""
        state = self._put_aside()
        del state["blocks"], state["transactions"]
        with path.open("w") as out:
            out.write(json.dumps(state)[:-1])
            for name in ("blocks", "transactions"):
                out.write(f', "{name}": [')
                for at in range(self._stretches):
                    out.write(", " if at else "")
                    out.write((self._aside / f"{name}{at}").read_text())
                out.write("]")
            out.write("}")

    def _put_aside(self) -> dict[str, Any]:
        """Stop the node; its state, with the last block only."""
        self.node.handle.stop()  # writes the state
        state: dict[str, Any] = json.loads(self._state.read_text())
        blocks = {int(block["header"]["number"], 16): block for block in state["blocks"]}
        blocks = {number: block for number, block in blocks.items() if number > self._last}
        self._last = max(blocks)
        for transaction in state["transactions"]:
            transaction["info"]["traces"] = []
        for name, found in (
            ("blocks", list(blocks.values())),
            ("transactions", state["transactions"]),
        ):
            text = json.dumps(found)[1:-1]
            (self._aside / f"{name}{self._stretches}").write_text(text)
        self._stretches += 1
        return {**state, "blocks": [blocks[self._last]], "transactions": []}


def _fill(mill: _Mill, seed: int, wanted: int, blocks: int, progress: Progress) -> int:
    """Put the events on the chain; how many."""
    draw = random.Random(f"{seed}:{wanted}:{blocks}")
    wallets = [events.address_of(f"wallet {seed} {number}") for number in range(5000)]
    teller = events.Storyteller(draw, wallets)
    told = list(events.transactions(teller, wanted))
    for address in events.ADDRESSES.values():
        mill.node.rpc("anvil_setCode", address, emitter.EMITTER)
    mill.node.rpc("anvil_setCode", emitter.CALLER_ADDRESS, emitter.CALLER)
    mill.node.rpc("anvil_setBalance", _SENDER, hex(10**24))
    for number, values in teller.challenges.items():
        slot, creator = f"0x{number:064x}", "0x" + str(values[4])[2:].rjust(64, "0")
        mill.node.rpc("anvil_setStorageAt", events.ADDRESSES["challengepay"], slot, creator)
    mill.mine()
    each, nonce = len(told) / blocks, 0
    for block in range(blocks):
        until = len(told) if block == blocks - 1 else round(each * (block + 1))
        for transaction in told[nonce:until]:
            mill.send(transaction, nonce)
            nonce += 1
        mill.mine()
        if block % _BLOCKS_A_WORD == 0:
            progress(block / blocks, f"mining block {block:,} of {blocks:,}")
    return sum(map(len, told))


def _count(node: Anvil) -> int:
    head = node.block_number()
    return sum(
        len(
            node.rpc(
                "eth_getLogs",
                {
                    "address": list(events.ADDRESSES.values()),
                    "fromBlock": hex(first),
                    "toBlock": hex(min(head, first + 1999)),
                },
            )
        )
        for first in range(0, head + 1, 2000)
    )


class _Line:
    """One kept-alive connection: tens of thousands of calls are made over it."""

    def __init__(self, url: str) -> None:
        host = re.fullmatch(r"http://([^/]+)/?", url)
        assert host is not None
        self._connection = http.client.HTTPConnection(host[1], timeout=60)

    def call(self, method: str, params: Sequence[Any]) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"content-type": "application/json"}
        self._connection.request("POST", "/", body, headers)
        answer = json.loads(self._connection.getresponse().read())
        if "error" in answer:
            raise ChildFailed(f"{method}: {answer['error']}")
        return answer["result"]
