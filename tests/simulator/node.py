"""A plain JSON-RPC connection to anvil: one socket, no retries, no package of ours."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit


class Refused(Exception):
    """anvil answered with an error."""


class Node:
    """One keep-alive connection, for one thread."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._connection: http.client.HTTPConnection | None = None

    def raw(self, body: bytes) -> bytes:
        """The answer's bytes, as anvil sent them."""
        for attempt in (1, 2):
            connection = self._connected()
            try:
                connection.request("POST", "/", body, {"Content-Type": "application/json"})
                return connection.getresponse().read()
            except (http.client.HTTPException, ConnectionError):
                # anvil may have closed a connection that was idle; nothing was executed then.
                self.close()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def call(self, method: str, *params: object) -> Any:
        """The result of one call. Raises ``Refused`` with the node's message."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return _result(method, json.loads(self.raw(json.dumps(body).encode())))

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        """The results of several calls, in order. Raises ``Refused`` for the first that failed."""
        if not calls:
            return []
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(calls)
        ]
        answers = {one["id"]: one for one in json.loads(self.raw(json.dumps(body).encode()))}
        return [_result(method, answers[number]) for number, (method, _) in enumerate(calls)]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection


def _result(method: str, answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise Refused(f"{method}: {answer['error'].get('message')}")
    return answer["result"]
