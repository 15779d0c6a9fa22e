"""A node that lies: a front for the real one, whose answers are bent on their way back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

Bend = Callable[[str, list[Any], Any], Any]
"""(method, params, the true result) -> the result to send."""


class BentNode:
    """JSON-RPC over HTTP in front of ``target``. ``bend`` may be changed while it serves."""

    def __init__(self, target: str, port: int = 0) -> None:
        self.bend: Bend = lambda method, params, result: result
        self.asked: list[str] = []
        self.down = False
        self.most_blocks: int | None = None
        node = self
        session = requests.Session()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if node.down:
                    self._send(503, b"{}")
                    return
                calls = json.loads(body)
                answer = session.post(target, json=calls, timeout=30).json()
                many = isinstance(calls, list)
                pairs = list(zip(calls, answer, strict=True)) if many else [(calls, answer)]
                for call, one in pairs:
                    node.asked.append(call["method"])
                    if node.refuses(call):
                        del one["result"]
                        one["error"] = {"code": -32005, "message": "block range is too large"}
                    if "result" in one:
                        one["result"] = node.bend(call["method"], call["params"], one["result"])
                self._send(200, json.dumps(answer).encode())

            def _send(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def refuses(self, call: dict[str, Any]) -> bool:
        """Whether the call asks for the logs of more than ``most_blocks``."""
        if self.most_blocks is None or call["method"] != "eth_getLogs":
            return False
        asked = call["params"][0]
        return "fromBlock" in asked and (
            int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) >= self.most_blocks
        )

    @contextmanager
    def serving(self) -> Generator[BentNode]:
        """Answers while the body runs."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


def without(topic: str, *, by_hash: bool = True) -> Bend:
    """Leaves out the logs of one event; those of a block asked for by its hash only if told to."""

    def bend(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs" or ("blockHash" in params[0] and not by_hash):
            return result
        return [log for log in result if log["topics"][0] != topic]

    return bend


def denying(topic: str) -> Bend:
    """A consistent lie: no block had the event, and headers' blooms are bent to fit."""

    def bend(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            return [log for log in result if log["topics"][0] != topic]
        if method == "eth_getBlockByNumber" and result and result["logsBloom"].strip("0x"):
            return result | {"logsBloom": "0x" + "0" * 512}
        return result

    return bend
