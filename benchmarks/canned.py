"""A node that answers from memory, below the real RPC client: only the socket is missing.

``plugged_in`` takes the place of requests' transport for one URL, so everything above it (the
client, its checks, the reader) runs as it does in production, on raw bytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Generator
from typing import Any, cast

import requests
import urllib3
from eth_utils.crypto import keccak
from requests.adapters import HTTPAdapter

from benchmarks.events import ADDRESSES, Chain

URL = "http://canned.invalid/"
CHAIN_ID = 504
_SELECTORS = {
    keccak(text=signature)[:4].hex(): signature
    for signature in (
        "getChallenge(uint256)",
        "contribOf(uint256,address)",
        "achievementOf(uint256)",
    )
}


class CannedNode:
    """Answers JSON-RPC bodies from a made-up chain. ``seconds`` is the time that took."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.seconds = 0.0
        self.calls = 0
        self.bytes = 0

    def answer(self, body: bytes) -> bytes:
        """The answer to a JSON-RPC body, single or batch."""
        started = time.perf_counter()
        asked = json.loads(body)
        if isinstance(asked, list):
            calls = cast("list[dict[str, Any]]", asked)
            answer = b"[" + b",".join(self._one(call) for call in calls) + b"]"
        else:
            answer = self._one(asked)
        self.calls += 1
        self.bytes += len(answer)
        self.seconds += time.perf_counter() - started
        return answer

    def _one(self, call: dict[str, Any]) -> bytes:
        result = self._result(call["method"], call["params"])
        return b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (call["id"], result)

    def _result(self, method: str, params: list[Any]) -> bytes:
        chain = self.chain
        match method:
            case "eth_chainId":
                return b'"%#x"' % CHAIN_ID
            case "eth_blockNumber":
                return b'"%#x"' % chain.head
            case "eth_getBlockByNumber":
                number = self._number(params[0])
                return chain.headers.get(number, b"null")
            case "eth_getBlockByHash":
                return chain.headers.get(chain.numbers.get(params[0], -1), b"null")
            case "eth_getLogs":
                return b"[" + self._logs(params[0]) + b"]"
            case "eth_call":
                return self._view(params[0])
            case _:
                raise NotImplementedError(f"the canned node has no {method}")

    def _number(self, tag: str) -> int:
        return self.chain.head if not tag.startswith("0x") else int(tag, 16)

    def _logs(self, query: dict[str, Any]) -> bytes:
        logs = self.chain.logs
        if "blockHash" in query:
            return logs.get(self.chain.numbers.get(query["blockHash"], -1), b"")
        first, last = self._number(query["fromBlock"]), self._number(query["toBlock"])
        found = [logs[number] for number in range(first, last + 1) if number in logs]
        if set(query["address"]) >= set(ADDRESSES.values()):
            # Everything here is of these contracts and of events that the indexer asks for.
            return b",".join(found)
        wanted, topics = set(query["address"]), set(query["topics"][0])
        picked = [
            log
            for log in json.loads(b"[" + b",".join(found) + b"]")
            if log["address"] in wanted and log["topics"][0] in topics
        ]
        return json.dumps(picked).encode()[1:-1]

    def _view(self, call: dict[str, str]) -> bytes:
        data = call.get("data") or call["input"]
        argument = int(data[10:74], 16)
        teller = self.chain.teller
        match _SELECTORS[data[2:10]]:
            case "getChallenge(uint256)":
                values = tuple(teller.challenges[argument])
            case "contribOf(uint256,address)":
                values = (teller.challenges[argument][7],)
            case _:
                values = teller.tokens[argument]
        words = (
            value[2:].rjust(64, "0") if isinstance(value, str) else f"{int(value):064x}"
            for value in values
        )
        return b'"0x' + "".join(words).encode() + b'"'


@contextlib.contextmanager
def plugged_in(answer: Callable[[bytes], bytes]) -> Generator[str]:
    """Requests to the URL that this gives are answered by ``answer`` instead of the network."""
    over_the_network = HTTPAdapter.send

    def send(
        self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        if request.url != URL:
            return over_the_network(self, request, *args, **options)
        body = request.body
        content = answer(body.encode() if isinstance(body, str) else bytes(body or b""))
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(content),
            headers={"content-type": "application/json"},
            status=200,
            preload_content=False,
        )
        return self.build_response(request, raw)

    HTTPAdapter.send = send  # type: ignore[method-assign]
    try:
        yield URL
    finally:
        HTTPAdapter.send = over_the_network  # type: ignore[method-assign]
