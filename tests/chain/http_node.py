"""A JSON-RPC server of the test's own on localhost, which answers as it is told."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lightchallenge_dagster.chain.rpc import Rpc

KEY = "s3cr3t-k3y-0123456789"
USER, PASSWORD = "us3r-of-node", "hunter2hunter2"

Answer = Callable[[Any], "tuple[int, Any] | Act"]


class Act:
    """An answer that writes to the connection itself; the connection is closed after it."""

    def __init__(self, write: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.write = write


class HttpNode:
    """Answers each request with the next of ``answers``; the last one stays."""

    def __init__(self, *answers: Answer) -> None:
        self.answers: list[Answer] = list(answers)
        self.requests: list[Any] = []
        self.headers: dict[str, str] = {}
        self.release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                given = answer(body)
                if isinstance(given, Act):
                    given.write(self)
                    self.close_connection = True
                    return
                status, payload = given
                raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                self.send_response_only(status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """With a key in every place that can hold one."""
        port = self._http.server_port
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{port}/v2/{KEY}?apikey={KEY}x"

    def rpc(self, **options: Any) -> Rpc:
        return Rpc(self.url, **{"sleep": lambda _: None, **options})

    def methods(self) -> list[str]:
        """The methods asked for, in order; of a batch the first."""
        return [(one[0] if isinstance(one, list) else one)["method"] for one in self.requests]

    def hang(self) -> Answer:
        """No answer at all, until the test ends."""
        return lambda body: Act(lambda handler: _wait(self.release))

    def stop(self) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()


def _wait(event: threading.Event) -> None:
    event.wait(10)


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list[float])

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def options(self, chance: float = 0.5) -> dict[str, Any]:
        return {"clock": self.clock, "sleep": self.sleep, "chance": lambda: chance}


# ── answers ──


def ok(result: Any) -> Answer:
    return lambda body: (200, {"jsonrpc": "2.0", "id": body["id"], "result": result})


def node(**results: Any) -> Answer:
    """A node that knows some methods, in single calls and batches."""

    def one(call: Any) -> Any:
        return {"jsonrpc": "2.0", "id": call["id"], "result": results[call["method"]]}

    return lambda body: (200, [one(c) for c in body] if isinstance(body, list) else one(body))


def failed(code: int, message: str, data: Any = None, status: int = 200) -> Answer:
    return lambda body: (
        status,
        {
            "jsonrpc": "2.0",
            "id": body["id"],
            "error": {"code": code, "message": message, "data": data},
        },
    )


def each(bend: Callable[[list[Any]], Any]) -> Answer:
    return lambda body: (200, bend([{"id": c["id"], "result": c["params"][0]} for c in body]))


def status(code: int, body: bytes = b"") -> Answer:
    return lambda _: (code, body)


def result_bytes(body: Any, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (body["id"], result)


def raw(content: Callable[[Any], bytes], *headers: str, reset: bool = False) -> Answer:
    """HTTP 200 with these headers and exactly these bytes, then the end of the connection."""

    def write(handler: BaseHTTPRequestHandler, body: Any) -> None:
        head = "\r\n".join(["HTTP/1.1 200 OK", "Connection: close", *headers])
        handler.wfile.write(head.encode() + b"\r\n\r\n" + content(body))
        handler.wfile.flush()
        if reset:
            # Closing with "linger 0" sends a reset in place of an orderly end.
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return lambda body: Act(lambda handler: write(handler, body))


def zipped(content: Callable[[Any], bytes]) -> Answer:
    def write(handler: BaseHTTPRequestHandler, body: Any) -> None:
        data = gzip.compress(content(body))
        head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\n\r\n"
        handler.wfile.write(head.encode() + data)

    return lambda body: Act(lambda handler: write(handler, body))


def trickle(release: threading.Event) -> Answer:
    """One byte at a time, each within the time limit of a read, for ever."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while not release.wait(0.02):
                handler.wfile.write(b" ")
        except OSError:
            return

    return lambda body: Act(write)


def unused_port() -> int:
    """A port of localhost on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
