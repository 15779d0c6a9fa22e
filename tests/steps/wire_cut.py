"""A proxy before PostgreSQL that can cut or hold a connection at any boundary of its protocol.

It knows the wire format, so whatever sends a statement (SQLAlchemy, the driver itself, COPY,
COMMIT) passes through one place, and "between COMMIT sent and its answer" is an exact point.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import make_url

Where = Literal["before", "inside", "unanswered"]
"""Nothing of it sent; half of its bytes sent; all of it done by the server, the answer withheld."""

_ENDS = b"QSdcf"  # Query, Sync, CopyData, CopyDone, CopyFail: where the client stops to wait
_ANSWERED = b"ZG"  # ReadyForQuery, CopyInResponse


@dataclass(frozen=True, slots=True)
class Unit:
    """What the client sent up to a boundary: its statement, and the COMMITs answered before."""

    statement: str
    commits: int
    data: bool
    """Whether it is rows of a COPY, not the statement itself."""


@dataclass(slots=True)
class _Plan:
    unit: int = -1
    where: Where = "before"
    hold: bool = False


@dataclass(slots=True)
class WireCut:
    """Counts units while ``watching``; cuts, or holds for a killer, where it is told to.

    ``on_commit`` runs when a COMMIT is answered and the client does not know it yet.
    """

    host: str
    port: int
    units: list[Unit] = field(default_factory=list[Unit])
    on_commit: Callable[[], None] | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when the planned point is reached."""
    _released: threading.Event = field(default_factory=threading.Event)
    _plan: _Plan = field(default_factory=_Plan)
    _counting: bool = False
    _commits: int = 0

    def watch(self, unit: int = -1, where: Where = "before", *, hold: bool = False) -> None:
        """Count from now on; at ``unit`` cut the connection, or ``hold`` it until ``release``."""
        self.units, self._commits, self._counting = [], 0, True
        self._plan = _Plan(unit, where, hold)
        self.reached.clear()
        self._released.clear()

    def rest(self) -> None:
        """Let everything pass, uncounted."""
        self._counting = False

    def release(self) -> None:
        """Cut what is held."""
        self._released.set()

    def url(self, database_url: str) -> str:
        """The same database through this proxy."""
        url = make_url(database_url).set(host=self.host, port=self.port)
        plain = url.update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
        return plain.render_as_string(hide_password=False)


class _Cut(Exception):
    """The connection ends here."""


class _Connection:
    """One client: a thread for each direction."""

    def __init__(self, proxy: WireCut, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._answered = threading.Event()
        self._withheld: bytearray | None = None
        self._lock = threading.Lock()
        self._statement = ""
        for run in (self._from_client, self._from_server):
            threading.Thread(target=run, daemon=True).start()

    def _from_client(self) -> None:
        with self._ending(), self._client.makefile("rb") as stream:
            length = stream.read(4)
            self._server.sendall(length + stream.read(int.from_bytes(length, "big") - 4))
            pending = bytearray()
            while kind := stream.read(1):
                length = stream.read(4)
                body = stream.read(int.from_bytes(length, "big") - 4)
                pending += kind + length + body
                if kind in b"QP":
                    text = body.split(b"\0", 2)[0 if kind == b"Q" else 1]
                    self._statement = " ".join(text.decode().split())
                if kind in _ENDS:
                    self._pass(bytes(pending), data=kind in b"dcf")
                    pending.clear()
                elif kind not in b"PBDECH":  # authentication, Terminate
                    self._server.sendall(pending)
                    pending.clear()

    def _pass(self, unit: bytes, *, data: bool) -> None:
        proxy = self._proxy
        if not proxy._counting:
            self._server.sendall(unit)
            return
        number, plan = len(proxy.units), proxy._plan
        proxy.units.append(Unit(self._statement, proxy._commits, data))
        here = number == plan.unit
        if here and plan.where == "before":
            self._stop(plan)
        if here and plan.where == "inside":
            self._server.sendall(unit[: len(unit) // 2])
            self._stop(plan)
        commit = self._statement.upper() == "COMMIT"
        if not commit and not here:
            self._server.sendall(unit)
            return
        self._withhold()
        self._server.sendall(unit)
        if not self._answered.wait(30):
            raise TimeoutError(f"no answer to {self._statement}")
        if commit:
            proxy._commits += 1
            if proxy.on_commit is not None:
                proxy.on_commit()
        if here:
            self._stop(plan)
        self._hand_over()

    def _stop(self, plan: _Plan) -> None:
        self._proxy.reached.set()
        if plan.hold and not self._proxy._released.wait(60):
            raise TimeoutError("nobody released the connection")
        raise _Cut

    def _withhold(self) -> None:
        with self._lock:
            self._answered.clear()
            self._withheld = bytearray()

    def _hand_over(self) -> None:
        with self._lock:
            answer, self._withheld = self._withheld, None
            self._client.sendall(answer or b"")

    def _from_server(self) -> None:
        with self._ending(), self._server.makefile("rb") as stream:
            while kind := stream.read(1):
                length = stream.read(4)
                message = kind + length + stream.read(int.from_bytes(length, "big") - 4)
                with self._lock:
                    if self._withheld is None:
                        self._client.sendall(message)
                    else:
                        self._withheld += message
                        if kind in _ANSWERED:
                            self._answered.set()

    @contextlib.contextmanager
    def _ending(self) -> Generator[None]:
        try:
            with contextlib.suppress(_Cut, OSError):
                yield
        finally:
            for end in (self._client, self._server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def wire_cut(postgres_port: int) -> Generator[WireCut]:
    """A proxy on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = WireCut("127.0.0.1", listener.getsockname()[1])

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.create_connection(("127.0.0.1", postgres_port))
                    for end in (client, server):
                        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    _Connection(proxy, client, server)

        threading.Thread(target=accept, daemon=True).start()
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)
