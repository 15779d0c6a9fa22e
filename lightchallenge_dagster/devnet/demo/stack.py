"""Starts everything that a deployment consists of, on free ports, in one folder.

Order: PostgreSQL, chain, contracts, tables, OpenDota, inference network, Dagster. Every process
belongs to the supervisor, so nothing outlives the demo, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import requests

from lightchallenge_dagster.devnet.deploy import Deployment, deploy
from lightchallenge_dagster.devnet.ports import LOOPBACK, free_port
from lightchallenge_dagster.devnet.processes import (
    Anvil,
    Postgres,
    StartError,
    start_anvil,
    start_postgres,
)
from lightchallenge_dagster.devnet.supervisor import Handle, Supervisor

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / ".local" / "demo"
BLOCK_TIME_S = 1
CONFIRMATIONS = 2
MIN_LEAD_S = 5
DAGSTER_START_S = 180.0
SERVER_START_S = 30.0
# What loading the definitions in a fresh process takes on the two cores all times are tuned for.
USUAL_LOAD_S = 4.0
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Windows:
    """How long the challenges leave for what, in seconds; a slow machine gets more of each.

    The proof window leaves a busy machine plenty of time; nobody waits for its end (see
    ``scenario.clock``).

    ``margin_s`` before the proof deadline a ranking closes (``COMPETITIVE_MARGIN``). ``pace`` is by
    how much everything is stretched.
    """

    pace: float
    join_s: int
    run_s: int
    proof_s: int
    margin_s: int
    reserve_s: int

    @classmethod
    def at(cls, pace: float) -> Windows:
        """``pace`` 1 is the usual machine, 2 one that is half as fast."""
        return cls(
            pace=pace,
            join_s=round(16 * pace),
            run_s=round(30 * pace),
            proof_s=round(240 * pace),
            margin_s=round(225 * pace),
            reserve_s=round(60 * pace),
        )


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, and where. ``dagster_db_url`` is Dagster's own database."""

    folder: Path
    supervisor: Supervisor
    postgres: Postgres
    anvil: Anvil
    deployment: Deployment
    database_url: str = field(repr=False)
    dagster_db_url: str = field(repr=False)
    opendota_url: str
    inbox: Path
    ui_url: str
    windows: Windows
    handles: Mapping[str, Handle]

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def dead(self) -> list[str]:
        """Names of processes that ended although nobody asked them to."""
        return [name for name, handle in self.handles.items() if not handle.alive]

    def tails(self, *names: str, lines: int = 25) -> str:
        """The last lines of the named processes' logs, under their names."""
        parts: list[str] = []
        for name in names or tuple(self.handles):
            handle = self.handles[name]
            tail = handle.log_tail(16_000).rstrip().splitlines()[-lines:]
            parts.append(f"── {handle.log} ──\n" + "\n".join(tail))
        return "\n".join(parts)


class AnotherDemo(StartError):
    """A demo is already running in the folder."""


@contextlib.contextmanager
def started(
    *, ui_port: int | None, speed: float, say: Say, folder: Path = FOLDER
) -> Generator[Stack]:
    """Everything, started; stopped again on leaving. ``folder`` is emptied first.

    ``ui_port`` is a wish (3000 by default); ``speed`` divides every waiting time. Raises
    ``StartError`` with the last lines of the log of what did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder), Supervisor(emptied(folder)) as supervisor:
        say("starting PostgreSQL")
        postgres = start_postgres(supervisor)
        database_url = postgres.create("lightchallenge")
        dagster_db_url = postgres.create("dagster")
        say("starting a chain (anvil, id 504) and deploying the contracts")
        anvil = start_anvil(supervisor, arguments=("--block-time", str(BLOCK_TIME_S)))
        plain = plain_environment()
        loading = _loading(plain, folder)
        deployment = deploy(anvil.url, min_lead_s=MIN_LEAD_S)
        say("creating the tables (lightchallenge migrate)")
        _migrate(plain | {"DATABASE_URL": database_url}, folder)
        load_s = loading()
        pace = min(3.0, max(1.0, load_s / USUAL_LOAD_S)) / speed
        windows = Windows.at(pace)
        say(
            f"the definitions load in {load_s:.1f} s here: {windows.join_s} s to join a challenge, "
            f"{windows.run_s} s until it ends, {windows.proof_s} s more for proofs"
        )
        say("starting a local OpenDota and the inference network")
        opendota = supervisor.spawn(
            "opendota",
            [sys.executable, "-u", "-m", "lightchallenge_dagster.devnet.opendota", "--port", "0"],
            env=plain,
            cwd=folder,
        )
        network = supervisor.spawn(
            "network",
            [
                *(sys.executable, "-u", "-m", "lightchallenge_dagster.devnet.network"),
                *("--rpc", anvil.url, "--aivm", deployment.aivm_inference),
                *("--challengepay", deployment.challengepay),
                *("--start-block", str(deployment.start_block)),
            ],
            env=plain,
            cwd=folder,
        )
        opendota_url = _first_line(opendota)
        inbox = folder / "inbox"
        port = free_port(ui_port or 3000)
        environment = plain | {
            "DATABASE_URL": database_url,
            "OPENDOTA_BASE": opendota_url,
            "EVIDENCE_INBOX": str(inbox),
            "CONFIRMATION_BLOCKS": str(CONFIRMATIONS),
            "COMPETITIVE_MARGIN": str(windows.margin_s),
            "SUBMIT_RESERVE": str(windows.reserve_s),
            # As often as it goes: a challenge lasts half a minute here, elsewhere days.
            "EVIDENCE_COLLECTOR_POLL_MS": "60000",
            "EVIDENCE_EVALUATOR_POLL_MS": "4000",
            "CHALLENGE_DISPATCHER_POLL_MS": "4000",
            "DAGSTER_POSTGRES_URL": dagster_db_url.replace(
                "postgresql://", "postgresql+psycopg2://", 1
            ),
            "DAGSTER_HOME": str(_dagster_home(folder)),
            **deployment.env(),
            **deployment.secret_env(),
        }
        say("starting Dagster (webserver, daemon, code server)")
        dagster = supervisor.spawn(
            "dagster",
            [
                *(sys.executable, "-m", "dagster", "dev", "-w", ROOT / "workspace.yaml"),
                *("--host", LOOPBACK, "--port", str(port)),
            ],
            env=environment,
            # Not the project's root: Dagster lets a .env there override this environment, and a
            # developer's may name a production deployment.
            cwd=folder / "dagster_home",
        )
        handles = {
            "dagster": dagster,
            "network": network,
            "opendota": opendota,
            "anvil": anvil.handle,
            "postgres": postgres.handle,
        }
        stack = Stack(
            folder=folder,
            supervisor=supervisor,
            postgres=postgres,
            anvil=anvil,
            deployment=deployment,
            database_url=database_url,
            dagster_db_url=dagster_db_url,
            opendota_url=opendota_url,
            inbox=inbox,
            ui_url=f"http://{LOOPBACK}:{port}",
            windows=windows,
            handles=handles,
        )
        _await_dagster(stack)
        yield stack


@contextlib.contextmanager
def only_one(folder: Path) -> Generator[None]:
    """Hold ``folder`` for this process. Raises ``AnotherDemo`` when another one does."""
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AnotherDemo(f"a demo is already running in {folder}; stop it first") from None
        yield


def emptied(folder: Path) -> Path:
    """Remove what the last demo left; returns the folder of logs."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for name in ("logs", "inbox", "uploads"):
        (folder / name).mkdir()
    return folder / "logs"


def plain_environment() -> dict[str, str]:
    """For every process of the demo: of the caller's variables, which may name a real deployment,
    only those that programs need to run at all.
    """
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed | {"PYTHONUNBUFFERED": "1", "TZ": "UTC"}


def _loading(environment: Mapping[str, str], cwd: Path) -> Callable[[], float]:
    """Load the definitions once in a process; the function returned waits and says how long."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", "import lightchallenge_dagster.definitions"],
        env=dict(environment),
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )

    def wait() -> float:
        _, errors = process.communicate(timeout=DAGSTER_START_S)
        if process.returncode != 0:
            raise StartError(f"the definitions do not load:\n{errors.decode()[-4000:]}")
        return time.monotonic() - begun

    return wait


def _migrate(environment: Mapping[str, str], folder: Path) -> None:
    command = Path(sys.executable).with_name("lightchallenge")
    with (folder / "logs" / "migrate.log").open("wb") as log:
        done = subprocess.run(
            [str(command), "migrate"],
            env=dict(environment),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        written = (folder / "logs" / "migrate.log").read_text(encoding="utf-8")
        raise StartError(f"lightchallenge migrate failed ({done.returncode}):\n{written[-4000:]}")


def _first_line(handle: Handle) -> str:
    """The address that a server writes as its first line."""
    deadline = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline:
        first, newline, _ = handle.log_tail().partition("\n")
        if newline:
            return first.strip()
        if not handle.alive:
            break
        time.sleep(0.05)
    raise StartError(f"{handle.name} did not start:\n{handle.log_tail()}")


def _dagster_home(folder: Path) -> Path:
    home = folder / "dagster_home"
    home.mkdir()
    shutil.copy(ROOT / "dagster.yaml", home / "dagster.yaml")
    return home


def _await_dagster(stack: Stack) -> None:
    """Wait until the UI answers and our code location is loaded in it."""
    deadline = time.monotonic() + DAGSTER_START_S
    while time.monotonic() < deadline:
        if dead := stack.dead():
            raise StartError(f"{', '.join(dead)} ended while starting:\n{stack.tails(*dead)}")
        with contextlib.suppress(requests.RequestException):
            state = _location_state(stack.ui_url)
            if state == "loaded":
                return
            if state is not None:
                raise StartError(f"Dagster could not load the code location: {state}")
        time.sleep(0.5)
    raise StartError(
        f"Dagster's UI did not answer within {DAGSTER_START_S:g} s:\n{stack.tails('dagster')}"
    )


_LOCATIONS = """
query { workspaceOrError { __typename ... on Workspace { locationEntries {
  loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


def _location_state(ui_url: str) -> str | None:
    """``loaded``, the error that prevents it, or None while it is loading."""
    response = requests.post(f"{ui_url}/graphql", json={"query": _LOCATIONS}, timeout=10)
    response.raise_for_status()
    workspace = cast("dict[str, Any]", response.json())["data"]["workspaceOrError"]
    entries: list[dict[str, Any]] = workspace.get("locationEntries", [])
    if not entries or any(entry["loadStatus"] != "LOADED" for entry in entries):
        return None
    for entry in entries:
        found = entry["locationOrLoadError"]
        if found is not None and found["__typename"] == "PythonError":
            return str(found["message"])
    return "loaded"
