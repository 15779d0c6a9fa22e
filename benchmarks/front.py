"""A front for anvil that stretches its block numbers: anvil itself mines too slowly for a million.

Each of the node's blocks stands somewhere in a long row of empty ones, which are made up as they
are asked for: hash, parent, number and time fit together all along. Logs come from the node and
are told with their block's new number and time.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import requests

from benchmarks.events import BLOCK_S, FIRST_TIME, ZERO

_NO_BLOOM = "0x" + "00" * 256
_ROOT = "0x" + "56" * 32


@dataclass(frozen=True, slots=True)
class Stretch:
    """The node's blocks 1 to ``real`` among ``empty`` empty ones, evenly; the rest is behind them.

    Blocks are numbered from 0; ``head`` is the last one.
    """

    empty: int
    real: int

    @property
    def head(self) -> int:
        return self.empty + self.real - 1

    @property
    def _apart(self) -> int:
        return (self.empty + self.real) // (self.real + 1)

    def place(self, real: int) -> int:
        """Where the node's block ``real`` stands."""
        return real * self._apart

    def real_at(self, number: int) -> int | None:
        """Which of the node's blocks stands at ``number``, if any does."""
        real, rest = divmod(number, self._apart)
        return real if rest == 0 and 1 <= real <= self.real else None

    def real_within(self, first: int, last: int) -> tuple[int, int]:
        """The node's blocks that stand between two numbers; empty when the second is less."""
        return max(1, -(-first // self._apart)), min(self.real, last // self._apart)


class Front:
    """Answers JSON-RPC as a node with the stretched chain."""

    def __init__(self, node_url: str, stretch: Stretch) -> None:
        self.stretch = stretch
        self._node_url = node_url
        self._local = threading.local()
        self._headers = self._real_headers()
        self._hashes = {real: header["hash"] for real, header in self._headers.items()}
        self._places = {
            header["hash"]: stretch.place(real) for real, header in self._headers.items()
        }

    def answer(self, body: bytes) -> bytes:
        """The answer to a JSON-RPC body, single or batch."""
        asked = json.loads(body)
        calls = cast("list[dict[str, Any]]", asked if isinstance(asked, list) else [asked])
        answers = [
            {"jsonrpc": "2.0", "id": call["id"], **self._one(call["method"], call["params"])}
            for call in calls
        ]
        return json.dumps(answers if isinstance(asked, list) else answers[0]).encode()

    def _one(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_blockNumber":
            return {"result": hex(self.stretch.head)}
        if method == "eth_getBlockByNumber":
            return {"result": self._block(self._number(params[0]))}
        if method == "eth_getLogs":
            return {"result": self._logs(params[0])}
        if method == "eth_call":
            params = [params[0], "latest"]
        return self._ask(method, *params)

    def _ask(self, method: str, *params: Any) -> dict[str, Any]:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._local.session.post(self._node_url, json=body, timeout=60).json()
        return {key: answer[key] for key in ("result", "error") if key in answer}

    def _number(self, tag: str) -> int:
        if tag == "finalized":
            return 0
        return int(tag, 16) if tag.startswith("0x") else self.stretch.head

    def _hash(self, number: int) -> str:
        real = self.stretch.real_at(number)
        if real is not None:
            return self._hashes[real]
        return "0x" + hashlib.sha256(b"empty block %d" % number).hexdigest()

    def _block(self, number: int) -> dict[str, Any] | None:
        if not 0 <= number <= self.stretch.head:
            return None
        place = {
            "number": hex(number),
            "hash": self._hash(number),
            "parentHash": self._hash(number - 1) if number else "0x" + "00" * 32,
            "timestamp": hex(FIRST_TIME + BLOCK_S * number),
        }
        real = self.stretch.real_at(number)
        if real is not None:
            return {**self._headers[real], **place}
        return {
            **place,
            "mixHash": _ROOT,
            "nonce": "0x0000000000000000",
            "sha3Uncles": _ROOT,
            "logsBloom": _NO_BLOOM,
            "transactionsRoot": _ROOT,
            "stateRoot": _ROOT,
            "receiptsRoot": _ROOT,
            "miner": ZERO,
            "difficulty": "0x0",
            "extraData": "0x",
            "gasLimit": "0x1c9c380",
            "gasUsed": "0x0",
            "baseFeePerGas": "0x3b9aca00",
            "size": "0x21c",
            "transactions": [],
            "uncles": [],
        }

    def _logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in query:
            if query["blockHash"] not in self._places:
                return []
            asked = dict(query)
        else:
            first, last = self.stretch.real_within(
                self._number(query["fromBlock"]), self._number(query["toBlock"])
            )
            if last < first:
                return []
            asked = {**query, "fromBlock": hex(first), "toBlock": hex(last)}
        return [self._moved(log) for log in self._ask("eth_getLogs", asked)["result"]]

    def _moved(self, log: dict[str, Any]) -> dict[str, Any]:
        number = self._places[log["blockHash"]]
        time = hex(FIRST_TIME + BLOCK_S * number)
        return {**log, "blockNumber": hex(number), "blockTimestamp": time}

    def _real_headers(self) -> dict[int, dict[str, Any]]:
        return {
            real: self._ask("eth_getBlockByNumber", hex(real), False)["result"]
            for real in range(1, self.stretch.real + 1)
        }


@contextmanager
def fronting(front: Front) -> Generator[str]:
    """Serve the front on a free port of this machine; its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            content = front.answer(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
