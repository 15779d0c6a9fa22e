"""The made-up events on a real anvil, kept as a state file so that a second run starts at once."""

from __future__ import annotations

import http.client
import json
import random
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import emitter, events
from benchmarks.common import LOCAL, ChildFailed, Progress
from lightchallenge_dagster.devnet.processes import Anvil, start_anvil
from lightchallenge_dagster.devnet.supervisor import Supervisor

VERSION = 1  # of the chain that a seed makes; part of the state file's name
_ARGUMENTS = ("--auto-impersonate", "--prune-history", "--gas-limit", "500000000")
_SENDER = "0x" + "5e" * 20
_GAS = 4_000_000
_GAS_PRICE = 10**11
_BLOCKS_A_WORD = 50
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
        part = state.with_suffix(".part")
        node = start_anvil(
            supervisor, name="anvil-bench", arguments=(*_ARGUMENTS, "--dump-state", str(part))
        )
        told = _fill(node, seed, wanted, blocks, progress)
        node.handle.stop()  # writes the state
        state.with_suffix(".count").write_text(str(told))
        part.rename(state)
    progress(1.0, "loading the chain")
    node = start_anvil(
        supervisor, name="anvil-bench", arguments=(*_ARGUMENTS, "--load-state", str(state))
    )
    node.mine(CONFIRMATIONS, events.BLOCK_S)
    count = int(state.with_suffix(".count").read_text())
    yield DevChain(node, count, node.block_number(), 1, cached)
    node.handle.stop()


def _fill(node: Anvil, seed: int, wanted: int, blocks: int, progress: Progress) -> int:
    """Put the events on the chain; how many."""
    draw = random.Random(f"{seed}:{wanted}:{blocks}")
    wallets = [events.address_of(f"wallet {seed} {number}") for number in range(5000)]
    teller = events.Storyteller(draw, wallets)
    told = list(events.transactions(teller, wanted))
    total = sum(map(len, told))
    for address in events.ADDRESSES.values():
        node.rpc("anvil_setCode", address, emitter.EMITTER)
    node.rpc("anvil_setCode", emitter.CALLER_ADDRESS, emitter.CALLER)
    node.rpc("anvil_setBalance", _SENDER, hex(10**24))
    for number, values in teller.challenges.items():
        slot, creator = f"0x{number:064x}", "0x" + str(values[4])[2:].rjust(64, "0")
        node.rpc("anvil_setStorageAt", events.ADDRESSES["challengepay"], slot, creator)
    node.rpc("evm_setAutomine", False)
    node.rpc("anvil_setBlockTimestampInterval", events.BLOCK_S)
    node.rpc("evm_mine")

    each = len(told) / blocks
    line = _Line(node.url)
    nonce = 0
    for block in range(blocks):
        until = len(told) if block == blocks - 1 else round(each * (block + 1))
        for transaction in told[nonce:until]:
            sent = {
                "from": _SENDER,
                "to": emitter.CALLER_ADDRESS,
                "data": emitter.calldata(transaction),
                "gas": hex(_GAS),
                "gasPrice": hex(_GAS_PRICE),
                "nonce": hex(nonce),
            }
            line.call("eth_sendTransaction", [sent])
            nonce += 1
        line.call("evm_mine", [])
        if block % _BLOCKS_A_WORD == 0:
            progress(block / blocks, f"mining block {block:,} of {blocks:,}")
    found = _count(node)
    if found != total:
        raise ChildFailed(f"anvil has {found} logs of the {total} that were sent")
    return total


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
