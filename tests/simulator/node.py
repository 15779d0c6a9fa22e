"""A plain JSON-RPC connection to anvil: one socket, no retries, no package of ours."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit


class Refused(Exception):
    """anvil answered with an error."""


class Node:
    """One keep-alive connection, for one thread.

    As little HTTP as anvil needs, because it is asked often.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._at = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._socket: socket.socket | None = None

    def raw(self, body: bytes) -> bytes:
        """The answer's bytes, as anvil sent them."""
        head = (
            f"POST / HTTP/1.1\r\nHost: {self._at[0]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        for attempt in (1, 2):
            try:
                connected = self._connected()
                connected.sendall(head.encode() + body)
                return _body(connected)
            except ConnectionError:
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
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(calls)
        ]
        answers = self.answers(body)
        return [_result(method, answers[number]) for number, (method, _) in enumerate(calls)]

    def answers(self, calls: Sequence[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
        """What anvil answers to each of these calls (JSON-RPC objects), by id; errors too."""
        if not calls:
            return {}
        return {one["id"]: one for one in json.loads(self.raw(json.dumps(calls).encode()))}

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._at, timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def _body(connected: socket.socket) -> bytes:
    buffer = b""
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        chunk = connected.recv(1 << 18)
        if not chunk:
            raise ConnectionResetError("anvil closed the connection")
        buffer += chunk
    name = b"content-length:"
    at = buffer[:end].lower().find(name)
    if at < 0:
        raise AssertionError(f"anvil's answer has no length: {buffer[:end]!r}")
    length = int(buffer[at + len(name) : end].split(b"\r\n", 1)[0])
    parts, have = [buffer[end + 4 :]], len(buffer) - end - 4
    while have < length:
        parts.append(connected.recv(1 << 20))
        if not parts[-1]:
            raise ConnectionResetError("anvil closed the connection")
        have += len(parts[-1])
    return b"".join(parts)


def _result(method: str, answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise Refused(f"{method}: {answer['error'].get('message')}")
    return answer["result"]
