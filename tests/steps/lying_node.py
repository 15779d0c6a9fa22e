"""A node that can lie: a front for the real one, whose answers to single calls can be changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

Params = list[Any]
Lie = Callable[[str, Params, Callable[[], Any]], Any]
"""(method, params, the truth: a function) -> what to send instead; may raise ``Refusal``."""


class Refusal(Exception):
    """A JSON-RPC error."""

    def __init__(self, message: str, code: int = -32000) -> None:
        super().__init__(message)
        self.code = code


class LyingNode:
    """JSON-RPC over HTTP in front of ``target``.

    ``lie`` may be changed while it serves. ``requests`` counts HTTP requests, ``asked`` holds
    every call; a batch of more than ``most_at_once`` calls is refused.
    """

    def __init__(self, target: str) -> None:
        self.lie: Lie = honest
        self.most_at_once = 1000
        self.requests = 0
        self.asked: list[tuple[str, Params]] = []
        node = self
        session = requests.Session()

        def truth(call: dict[str, Any]) -> Any:
            answer = session.post(target, json=call, timeout=30).json()
            if "error" in answer:
                raise Refusal(answer["error"]["message"], answer["error"]["code"])
            return answer["result"]

        def answer(call: dict[str, Any]) -> dict[str, Any]:
            method, params = call["method"], call["params"]
            node.asked.append((method, params))
            head: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
            try:
                return head | {"result": node.lie(method, params, lambda: truth(call))}
            except Refusal as error:
                return head | {"error": {"code": error.code, "message": str(error)}}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                node.requests += 1
                said: Any
                if not isinstance(body, list):
                    said = answer(body)
                elif len(body) > node.most_at_once:
                    refused = {"code": -32600, "message": "batch too large"}
                    said = {"jsonrpc": "2.0", "id": None, "error": refused}
                else:
                    said = [answer(call) for call in body]
                content = json.dumps(said).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def count(self, method: str) -> int:
        """How often a method was asked for."""
        return sum(asked == method for asked, _ in self.asked)

    @contextmanager
    def serving(self) -> Generator[LyingNode]:
        """Answers while the body runs."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


def honest(method: str, params: Params, truth: Callable[[], Any]) -> Any:
    """No lie."""
    return truth()


def bent(wanted: str, bend: Callable[[Any], Any]) -> Lie:
    """Every answer to one method goes through ``bend``."""

    def lie(method: str, params: Params, truth: Callable[[], Any]) -> Any:
        return bend(truth()) if method == wanted else truth()

    return lie


def times(count: int, lie: Lie) -> Lie:
    """``lie`` as long as it changes something, ``count`` times; the truth afterwards."""
    left = count

    def limited(method: str, params: Params, truth: Callable[[], Any]) -> Any:
        nonlocal left
        if left <= 0:
            return truth()
        told: list[Any] = []

        def remembered() -> Any:
            told.append(truth())
            return told[-1]

        try:
            said = lie(method, params, remembered)
        except Refusal:
            left -= 1
            raise
        if not told or said != told[-1]:
            left -= 1
        return said

    return limited
