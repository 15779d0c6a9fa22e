"""A node that lies to whoever sends money: HTTP in front of anvil.

Which request is answered how is drawn from the seed, the method and how often that method was
asked for, so a seed lies in the same way each time, as far as the same questions are asked.
"""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from tests.money.lying_chain import Shaker
from tests.money.lying_kinds import KINDS
from tests.money.lying_talk import SEND, Call, Said, Talk

Rates = Mapping[str, float]
"""Kind of lie -> the share of the requests it fits that it is told to."""

RATES: Rates = {name: kind.rate for name, kind in KINDS.items()}
"""A node that is wrong in every way at once, and still gets somewhere."""

HANG_S = 30.0


class LyingNode:
    """JSON-RPC over HTTP in front of ``target``; ``counts`` says how often it lied in what way.

    ``deepest``: how many blocks a reorg replaces at most; below ``floor`` it replaces none.
    ``lag``: how many blocks it is behind at most. May be told to lie otherwise while it serves.
    One request is answered at a time.
    """

    def __init__(
        self,
        target: str,
        seed: int | str = 0,
        rates: Rates | None = None,
        *,
        deepest: int = 2,
        floor: int = 0,
        lag: int = 12,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.chain = Shaker(target, deepest, floor, lag)
        self._seed = seed
        self._rates: dict[str, float] = dict(rates or {})
        self._left: dict[str, int] = {}
        self._running: Counter[str] = Counter()
        self._talk = Talk(self.chain, self.truth)
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._upstream = HTTPConnection(urlsplit(target).netloc, timeout=30)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._upstream.close()

    # ── what to tell ────────────────────────────────────────────────────────────────────

    def lie(self, *kinds: str, times: int | None = None) -> None:
        """From now on only these lies, at every occasion; each ``times`` times, then the truth."""
        with self._turn:
            self._rates = {KINDS[kind].name: 1.0 for kind in kinds}
            self._running.clear()
            self._left = {} if times is None else dict.fromkeys(kinds, times)

    def mix(self, rates: Rates = RATES) -> None:
        """From now on these lies, each in its share of the requests."""
        with self._turn:
            self._rates, self._left = dict(rates), {}
            self._running.clear()

    def tell_the_truth(self) -> None:
        """No lies any more; what was kept back reaches the chain now."""
        self.lie()
        with self._turn:
            self.chain.release()

    def alone(self) -> threading.Lock:
        """While it is held nobody is answered, and no lie moves the chain."""
        return self._turn

    def truth(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """What the real node says, in the order asked."""
        body = json.dumps(calls[0] if len(calls) == 1 else list(calls))
        self._upstream.request("POST", "/", body, {"Content-Type": "application/json"})
        said = json.loads(self._upstream.getresponse().read())
        if isinstance(said, dict):
            return [cast("dict[str, Any]", said)]
        by_id = {one["id"]: one for one in said}
        return [by_id[call["id"]] for call in calls]

    # ── one request ─────────────────────────────────────────────────────────────────────

    def answer(self, calls: Sequence[Call], *, batch: bool) -> Said:
        """What to say, and the lie that was told is counted."""
        with self._turn:
            method = calls[0]["method"]
            self.asked[method] += 1
            for call in calls:
                if call["method"] == SEND:
                    self.chain.hash_of(call["params"][0])
            rng = random.Random(f"{self._seed}:{method}:{self.asked[method]}")
            self.chain.between_requests()
            for name in self._shaking(rng):
                if self.chain.reorg(name, rng):
                    self._told(name)
            for name in self._fitting(calls, batch, rng):
                said = KINDS[name].tell(self._talk, calls, rng)
                if said is not None:
                    self._told(name)
                    return said
            answers = self.truth(calls)
            self._talk.remember(calls, answers)
            return Said(answers)

    def _shaking(self, rng: random.Random) -> list[str]:
        return [name for name, kind in KINDS.items() if kind.moves_chain and self._drawn(name, rng)]

    def _fitting(self, calls: Sequence[Call], batch: bool, rng: random.Random) -> list[str]:
        """The lies that were drawn for this request, in the order to try them."""
        methods = {call["method"] for call in calls}
        fit = [
            name
            for name, kind in KINDS.items()
            if not kind.moves_chain and kind.fits(methods, batch and len(calls) > 1)
        ]
        drawn = [name for name in fit if self._drawn(name, rng)]
        rng.shuffle(drawn)
        return drawn

    def _drawn(self, name: str, rng: random.Random) -> bool:
        chance = rng.random()
        if self._left.get(name, 1) <= 0:
            return False
        if self._running[name] > 0:
            self._running[name] -= 1
            return True
        if chance >= self._rates.get(name, 0.0):
            return False
        self._running[name] = rng.randrange(KINDS[name].lasts)
        return True

    def _told(self, name: str) -> None:
        self.counts[name] += 1
        if name in self._left:
            self._left[name] -= 1

    def hang(self) -> None:
        """Until the node is stopped, or the client has long gone."""
        self._stopped.wait(HANG_S)


def _handler(node: LyingNode) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            batch = isinstance(body, list)
            said = node.answer(cast("list[Call]", body if batch else [body]), batch=batch)
            if said.how == "hang":
                node.hang()
            if said.how in ("hang", "closed"):
                self._end()
                return
            content = json.dumps(said.answers if batch else said.answers[0]).encode()
            self.send_response_only(said.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if said.how == "half":
                self.wfile.write(content[: len(content) // 2])
                self._end()
            else:
                self.wfile.write(content)

        def _end(self) -> None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
