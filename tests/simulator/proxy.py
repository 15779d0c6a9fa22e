"""The lying node: HTTP in front of anvil that fails in every way a provider has failed.

One socket, one thread: whoever calls ``serve`` answers the indexer's requests, and between two of
them may move the chain or kill the indexer. What goes wrong is drawn from the seed's own stream,
so a seed goes wrong in the same way each time, as far as the indexer asks the same questions.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from tests.simulator.node import Node

MAIN, LAGGING = "main", "lagging"

HIDING = frozenset({"truncated", "cut_at_a_round_number"})
"""Faults that hide logs beside others of the same block: only a second reading is sure to tell."""

_ANY = (
    "http_429", "http_500", "http_502_page", "timeout", "cut_before", "cut_in_the_body",
    "error_internal", "error_limit_exceeded", "error_rate", "another_id", "stale", "stale",
    "no_result",
)  # fmt: skip
_LOGS = (
    "range_too_large", "range_suggested", "empty_logs", "empty_logs", "truncated", "truncated",
    "cut_at_a_round_number", "duplicated", "reordered", "removed", "not_asked_for",
    "log_without_block",
)  # fmt: skip
_BLOCKS = ("null_block", "null_block", "another_block")
_BATCH = ("answer_missing", "answer_doubled", "answers_reordered", "batch_refused", "null_block")
KINDS = tuple(sorted({*_ANY, *_LOGS, *_BLOCKS, *_BATCH, "lagging_endpoint"}))


@dataclass(frozen=True, slots=True)
class Nature:
    """How bad one seed's nodes are.

    ``rate`` is the share of requests that go wrong, ``without`` the kinds that do not happen;
    ``range_limit`` blocks are served at most and ``cap`` logs returned at most, silently, by the
    main endpoint (0: no limit); the lagging endpoint is ``lag`` blocks behind. ``silent`` nodes
    leave out all logs in half of the log answers that go wrong.
    """

    rate: float
    without: frozenset[str]
    range_limit: int = 0
    cap: int = 0
    lag: int = 3
    silent: bool = False


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    buffer: bytearray = field(default_factory=bytearray)
    stalled: bool = False


class Proxy:
    """``url(MAIN)`` and ``url(LAGGING)`` lead to one anvil.

    ``counts`` says how often what went wrong.
    ``before_request`` is called before each request is answered, with the number of the request
    since ``begin``.
    """

    def __init__(self, upstream: str) -> None:
        self._node = Node(upstream)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._connections: set[socket.socket] = set()
        self.counts: Counter[str] = Counter()
        self.before_request: Callable[[int], None] | None = None
        self.begin(random.Random(0), Nature(0.0, frozenset()))

    def url(self, endpoint: str) -> str:
        return f"http://127.0.0.1:{self._port}/{endpoint}/a-key-that-nobody-may-see"

    def begin(self, rng: random.Random, nature: Nature) -> None:
        """Another seed: nothing of before is remembered, apart from ``counts``."""
        self._rng, self._nature = rng, nature
        self._quiet = False
        self.requests = 0
        self._answered: dict[str, list[Any]] = defaultdict(list)

    def quiet(self) -> None:
        """From now on everything works, and nobody lags."""
        self._quiet = True

    def close_in_child(self) -> None:
        """In a forked child: let go of what is the parent's."""
        self.selector.close()
        self._listener.close()
        for one in self._connections:
            one.close()
        self._node.close()

    def serve(self, until: Callable[[], bool]) -> None:
        """Answer until ``until()`` says so; it is asked at least every 10 ms."""
        while not until():
            for key, _ in self.selector.select(0.01):
                key.data(key.fileobj)

    # ── HTTP ────────────────────────────────────────────────────────────────────────────

    def _accept(self, listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(accepted)
        self._connections.add(accepted)

        def readable(_: Any) -> None:
            self._read(connection)

        self.selector.register(accepted, selectors.EVENT_READ, readable)

    def _drop(self, connection: _Connection) -> None:
        self._connections.discard(connection.socket)
        self.selector.unregister(connection.socket)
        connection.socket.close()

    def _read(self, connection: _Connection) -> None:
        try:
            chunk = connection.socket.recv(1 << 18)
        except ConnectionError:
            chunk = b""
        if not chunk:
            self._drop(connection)
            return
        connection.buffer += chunk
        while (request := _request(connection.buffer)) is not None and not connection.stalled:
            endpoint, body = request
            self.requests += 1
            if self.before_request is not None:
                self.before_request(self.requests)
            answer = self._answer(endpoint, body)
            if answer is None:
                # No answer: the client gives up after its timeout.
                connection.stalled = True
                return
            raw, then_cut = answer
            try:
                connection.socket.settimeout(5)
                connection.socket.sendall(raw)
            except OSError:
                # Killed while it waited for this.
                then_cut = True
            if then_cut:
                self._drop(connection)
                return

    # ── what goes wrong ─────────────────────────────────────────────────────────────────

    def _answer(self, endpoint: str, body: bytes) -> tuple[bytes, bool] | None:
        """The bytes to send and whether to cut the connection; None to say nothing."""
        asked = json.loads(body)
        is_batch = isinstance(asked, list)
        calls = cast("list[dict[str, Any]]", asked if is_batch else [asked])
        answers = self._honest(endpoint, calls)
        kind = None if self._quiet else self._pick(calls, is_batch)
        if kind is not None:
            done = getattr(self, f"_{kind}", None)
            if kind in _TRANSPORT:
                self.counts[kind] += 1
                return _TRANSPORT[kind](answers if is_batch else answers[0])
            assert done is not None, kind
            changed = done(calls, answers)
            if changed is not None:
                self.counts[kind] += 1
                answers = changed
        refused = is_batch and kind == "batch_refused"
        result: Any = answers if is_batch and not refused else answers[0]
        return _http(200, json.dumps(result).encode()), False

    def _pick(self, calls: list[dict[str, Any]], is_batch: bool) -> str | None:
        # Two draws for each request, whatever it is: the stream does not depend on the answers.
        happens, which = self._rng.random(), self._rng.random()
        methods = {call["method"] for call in calls}
        # Logs are asked for seldom, and it is they that may not be lost.
        if happens >= self._nature.rate * (2 if "eth_getLogs" in methods else 1):
            return None
        # A timeout costs real time, so it is drawn half as often as the others.
        kinds = [kind for kind in _ANY if kind != "timeout"] + list(_ANY)
        if "eth_getLogs" in methods:
            kinds += _LOGS * 3
            if self._nature.silent:
                kinds += ("empty_logs",) * len(kinds)
        if "eth_getBlockByNumber" in methods:
            kinds += _BLOCKS
        if is_batch and len(calls) > 1:
            kinds += _BATCH
        kinds = [kind for kind in kinds if kind not in self._nature.without]
        return kinds[int(which * len(kinds))]

    def _honest(self, endpoint: str, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        nature = self._nature
        lagging = endpoint == LAGGING and not self._quiet
        head = 0
        if lagging:
            head = max(0, int(self._node.call("eth_blockNumber"), 16) - nature.lag)
        answers: dict[int, dict[str, Any]] = {}
        upstream: list[dict[str, Any]] = []
        for at, call in enumerate(calls):
            answer = self._lagging(call, head) if lagging else None
            if answer is None and endpoint == MAIN and not self._quiet:
                answer = self._limited(call)
            if answer is None:
                params = _until(call, head) if lagging else call["params"]
                upstream.append(dict(call, id=at, params=params))
            else:
                answers[at] = answer
        for at, answer in self._node.answers(upstream).items():
            answer["id"] = calls[at]["id"]
            answers[at] = answer
        for at, call in enumerate(calls):
            if "result" not in answers[at]:
                continue
            if endpoint == MAIN and not self._quiet and nature.cap:
                self._cap(call, answers[at])
            result = answers[at]["result"]
            past = self._answered[json.dumps([call["method"], call["params"]])]
            if not past or past[-1] != result:
                past.append(result)
        return [answers[at] for at in range(len(calls))]

    def _cap(self, call: dict[str, Any], answer: dict[str, Any]) -> None:
        """A list longer than the node returns ends early, and nothing says so."""
        if call["method"] != "eth_getLogs" or len(answer["result"]) <= self._nature.cap:
            return
        if len({log["blockNumber"] for log in answer["result"]}) > 1:
            self.counts["silent_cap"] += 1
            answer["result"] = answer["result"][: self._nature.cap]

    def _lagging(self, call: dict[str, Any], head: int) -> dict[str, Any] | None:
        """What a node says that has only got to ``head``; None when it knows as well as any."""
        method, params = call["method"], call["params"]
        number: int | None = None
        if method == "eth_getBlockByNumber" and params[0] not in _TAGS:
            number = int(params[0], 16)
        elif method == "eth_call" and len(params) > 1:
            number = self._number(params[1])
        elif method == "eth_getLogs":
            if "blockHash" in params[0]:
                number = self._number(params[0])
            elif int(params[0]["fromBlock"], 16) > head:
                number = int(params[0]["fromBlock"], 16)
        if number is None or number <= head:
            return None
        self.counts["lagging_endpoint"] += 1
        if method == "eth_getBlockByNumber":
            return _result(call, None)
        if method == "eth_getLogs" and "blockHash" not in params[0] and self._rng.random() < 0.7:
            return _result(call, [])
        return _error(call, -32000, "header not found")

    def _number(self, block: Any) -> int | None:
        if isinstance(block, str):
            return None if block in _TAGS else int(block, 16)
        if "blockNumber" in block:
            return int(block["blockNumber"], 16)
        found = self._node.call("eth_getBlockByHash", block["blockHash"], False)
        return None if found is None else int(found["number"], 16)

    def _limited(self, call: dict[str, Any]) -> dict[str, Any] | None:
        limit = self._nature.range_limit
        if not limit or call["method"] != "eth_getLogs" or "fromBlock" not in call["params"][0]:
            return None
        first, last = (int(call["params"][0][key], 16) for key in ("fromBlock", "toBlock"))
        if last - first + 1 <= limit:
            return None
        self.counts["range_limit"] += 1
        return _error(call, -32602, f"eth_getLogs is limited to a {limit} blocks range")

    # Each takes the calls and the honest answers, and returns what is said instead; None when it
    # cannot be done to this request.

    def _one(self, calls: list[Any], answers: list[Any], method: str) -> int | None:
        fit = [
            at for at, call in enumerate(calls)
            if call["method"] == method and "result" in answers[at]
        ]  # fmt: skip
        return self._rng.choice(fit) if fit else None

    def _logs(
        self, calls: list[Any], answers: list[Any], least: int
    ) -> tuple[int, list[Any]] | None:
        fit = [
            at
            for at, call in enumerate(calls)
            if call["method"] == "eth_getLogs" and len(answers[at].get("result") or ()) >= least
        ]
        if not fit:
            return None
        at = self._rng.choice(fit)
        return at, list(answers[at]["result"])

    def _error_internal(self, calls: list[Any], answers: list[Any]) -> list[Any]:
        at = self._rng.randrange(len(calls))
        return _with(answers, at, _error(calls[at], -32603, "Internal error"))

    def _error_limit_exceeded(self, calls: list[Any], answers: list[Any]) -> list[Any]:
        at = self._rng.randrange(len(calls))
        return _with(answers, at, _error(calls[at], -32005, "limit exceeded"))

    def _error_rate(self, calls: list[Any], answers: list[Any]) -> list[Any]:
        at = self._rng.randrange(len(calls))
        return _with(answers, at, _error(calls[at], 429, "Too Many Requests: compute units"))

    def _another_id(self, calls: list[Any], answers: list[Any]) -> list[Any]:
        at = self._rng.randrange(len(calls))
        return _with(answers, at, dict(answers[at], id=calls[at]["id"] + 1_000_000))

    def _no_result(self, calls: list[Any], answers: list[Any]) -> list[Any]:
        at = self._rng.randrange(len(calls))
        return _with(answers, at, {"jsonrpc": "2.0", "id": calls[at]["id"]})

    def _stale(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        """What the same question was answered before, perhaps on a branch that is gone."""
        changed = None
        for at, call in enumerate(calls):
            if call["method"] == "eth_call" and "stale_calls" in self._nature.without:
                continue
            past = self._answered[json.dumps([call["method"], call["params"]])]
            others = [one for one in past if one != answers[at].get("result")]
            if others and (len(calls) == 1 or self._rng.random() < 0.7):
                changed = _with(changed or answers, at, _result(call, self._rng.choice(others)))
        return changed

    def _range_too_large(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        at = self._one(calls, answers, "eth_getLogs")
        message = "query exceeds max block range"
        return None if at is None else _with(answers, at, _error(calls[at], -32000, message))

    def _range_suggested(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        at = self._one(calls, answers, "eth_getLogs")
        if at is None or "fromBlock" not in calls[at]["params"][0]:
            return None
        first, last = (int(calls[at]["params"][0][key], 16) for key in ("fromBlock", "toBlock"))
        until = (first + last) // 2
        message = (
            "Query returned more than 10000 results."
            f" Try with this block range [{hex(first)}, {hex(until)}]."
        )
        return _with(answers, at, _error(calls[at], -32005, message))

    def _empty_logs(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        found = self._logs(calls, answers, 1)
        return None if found is None else _with(answers, found[0], _result(calls[found[0]], []))

    def _truncated(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        found = self._logs(calls, answers, 1)
        if found is None:
            return None
        at, logs = found
        return _with(answers, at, _result(calls[at], logs[: self._rng.randrange(len(logs))]))

    def _cut_at_a_round_number(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        found = self._logs(calls, answers, 26)
        if found is None:
            return None
        at, logs = found
        cut = 100 if len(logs) > 100 else 25
        return _with(answers, at, _result(calls[at], logs[:cut]))

    def _duplicated(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        found = self._logs(calls, answers, 1)
        if found is None:
            return None
        at, logs = found
        logs.insert(self._rng.randrange(len(logs) + 1), self._rng.choice(logs))
        return _with(answers, at, _result(calls[at], logs))

    def _reordered(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        found = self._logs(calls, answers, 2)
        if found is None:
            return None
        at, logs = found
        self._rng.shuffle(logs)
        return _with(answers, at, _result(calls[at], logs))

    def _changed_log(self, calls: list[Any], answers: list[Any], **change: Any) -> list[Any] | None:
        found = self._logs(calls, answers, 1)
        if found is None:
            return None
        at, logs = found
        which = self._rng.randrange(len(logs))
        logs[which] = dict(logs[which], **change)
        return _with(answers, at, _result(calls[at], logs))

    def _removed(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        return self._changed_log(calls, answers, removed=True)

    def _not_asked_for(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        at = self._one(calls, answers, "eth_getLogs")
        if at is not None and "blockHash" in calls[at]["params"][0]:
            return self._changed_log(calls, answers, blockHash="0x" + "cd" * 32)
        return self._changed_log(calls, answers, address="0x" + "cd" * 20)

    def _log_without_block(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        return self._changed_log(calls, answers, blockNumber=None, blockHash=None)

    def _null_block(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        at = self._one(calls, answers, "eth_getBlockByNumber")
        return None if at is None else _with(answers, at, _result(calls[at], None))

    def _another_block(self, calls: list[Any], answers: list[Any]) -> list[Any] | None:
        at = self._one(calls, answers, "eth_getBlockByNumber")
        if at is None or not answers[at]["result"] or calls[at]["params"][0] in _TAGS:
            return None
        number = max(0, int(answers[at]["result"]["number"], 16) - self._rng.randint(1, 3))
        other = self._node.call("eth_getBlockByNumber", hex(number), False)
        return _with(answers, at, _result(calls[at], other))

    def _answer_missing(self, calls: list[Any], answers: list[Any]) -> list[Any]:
        at = self._rng.randrange(len(answers))
        return answers[:at] + answers[at + 1 :]

    def _answer_doubled(self, calls: list[Any], answers: list[Any]) -> list[Any]:
        at = self._rng.randrange(len(answers))
        other = self._rng.randrange(len(answers))
        return [*answers[:at], answers[at], *answers[at + (other != at) :], answers[at]]

    def _answers_reordered(self, calls: list[Any], answers: list[Any]) -> list[Any]:
        changed = list(answers)
        self._rng.shuffle(changed)
        return changed

    def _batch_refused(self, calls: list[Any], answers: list[Any]) -> list[Any]:
        return [
            {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "batch too large"}}
        ]


_TAGS = {"latest", "pending", "safe", "finalized", "earliest"}


def _until(call: dict[str, Any], head: int) -> list[Any]:
    """The params that a node at ``head`` would understand them as."""
    params = list(call["params"])
    if call["method"] == "eth_getBlockByNumber" and params[0] in {"latest", "pending"}:
        params[0] = hex(head)
    elif call["method"] == "eth_call" and params[1:] == ["latest"]:
        params[1] = hex(head)
    elif call["method"] == "eth_getLogs" and "toBlock" in params[0]:
        params[0] = dict(params[0], toBlock=hex(min(head, int(params[0]["toBlock"], 16))))
    return params


def _with(answers: list[Any], at: int, answer: Any) -> list[Any]:
    return [*answers[:at], answer, *answers[at + 1 :]]


def _result(call: dict[str, Any], result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "result": result}


def _error(call: dict[str, Any], code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}


def _http(status: int, body: bytes, kind: str = "application/json", extra: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


_TRANSPORT: dict[str, Callable[[Any], tuple[bytes, bool] | None]] = {
    "http_429": lambda _: (_http(429, b"slow down", "text/plain", "Retry-After: 0\r\n"), False),
    "http_500": lambda _: (_http(500, b'{"error":"upstream"}'), False),
    "http_502_page": lambda _: (_http(502, b"<html>Bad Gateway</html>", "text/html"), False),
    "timeout": lambda _: None,
    "cut_before": lambda _: (b"", True),
    "cut_in_the_body": lambda answer: (_half(answer), True),
}


def _half(answer: Any) -> bytes:
    whole = _http(200, json.dumps(answer).encode())
    body_at = whole.index(b"\r\n\r\n") + 4
    return whole[: body_at + (len(whole) - body_at) // 2]


def _request(buffer: bytearray) -> tuple[str, bytes] | None:
    """Endpoint and body of a request that has come in whole; taken out of ``buffer``."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    length = 0
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    if len(buffer) < end + 4 + length:
        return None
    body = bytes(buffer[end + 4 : end + 4 + length])
    del buffer[: end + 4 + length]
    return lines[0].split(" ")[1].split("/")[1], body
