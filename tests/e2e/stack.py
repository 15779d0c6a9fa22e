"""A deployment as an operator makes it: servers, contracts, a ``.env``, and ``dagster dev``."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
import requests
from dotenv import dotenv_values
from psycopg import sql

from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import ZERO_ADDRESS, Client
from lightchallenge_dagster.devnet.demo.check import DagsterApi
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.errors import DevnetError
from lightchallenge_dagster.devnet.ports import LOOPBACK, free_port
from lightchallenge_dagster.devnet.processes import Anvil, Postgres, start_anvil
from lightchallenge_dagster.devnet.supervisor import Handle, Supervisor

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
START_S = 180.0
COMMAND_S = 120.0
LOG_BYTES = 12_000
FINISHED = ("SUCCESS", "FAILURE", "CANCELED")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of Dagster's, by its own table."""

    id: str
    job: str
    status: str
    ended: float | None
    tags: str


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs. ``secrets`` (name to value) are what must not appear anywhere but in ``.env``."""

    folder: Path
    inbox: Path
    anvil: Anvil
    client: Client
    api: DagsterApi
    dagster: Handle
    network: Handle
    secrets: Mapping[str, str] = field(repr=False)
    database: psycopg.Connection[tuple[Any, ...]] = field(repr=False)
    history: psycopg.Connection[tuple[Any, ...]] = field(repr=False)

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of the pipeline's database."""
        return self.database.execute(query.encode(), parameters).fetchall()

    def runs(self) -> list[Run]:
        """Every run so far, oldest first."""
        return [
            Run(*row)
            for row in self.history.execute(
                "select r.run_id, r.pipeline_name, r.status, r.end_time, coalesce((select "
                "string_agg(t.key || '=' || t.value, ' ' order by t.key) from run_tags t "
                "where t.run_id = r.run_id), '') from runs r order by r.id"
            ).fetchall()
        ]

    def times(self, run: Run) -> tuple[float, float, float]:
        """When a finished run was requested, began and ended (epoch seconds)."""
        ((requested, begun, ended),) = self.history.execute(
            "select extract(epoch from create_timestamp at time zone 'UTC'), start_time, end_time "
            "from runs where run_id = %s",
            (run.id,),
        ).fetchall()
        return float(requested), float(begun), float(ended)

    def eventually(self, what: str, look: Callable[[], T], deadline_s: float) -> T:
        """The first true answer of ``look``; fails with Dagster's log when the time is over."""
        deadline = time.monotonic() + deadline_s
        while not (answer := look()):
            for handle in (self.dagster, self.network, self.anvil.handle):
                if not handle.alive:
                    pytest.fail(f"{handle.name} ended by itself\n{self.logs()}", pytrace=False)
            if time.monotonic() > deadline:
                pytest.fail(f"not within {deadline_s:.0f} s: {what}\n{self.logs()}", pytrace=False)
            time.sleep(0.25)
        return answer

    def quiet(self, for_s: float, deadline_s: float) -> list[Run]:
        """The runs so far, once none is in progress and none was launched for ``for_s`` seconds."""
        seen: list[Run] = []
        since = time.monotonic()

        def unchanged() -> bool:
            nonlocal seen, since
            runs = self.runs()
            if runs != seen or any(run.status not in FINISHED for run in runs):
                seen, since = runs, time.monotonic()
            return time.monotonic() - since >= for_s

        self.eventually(f"no run for {for_s:.0f} s", unchanged, deadline_s)
        return seen

    def logs(self) -> str:
        """The ends of the processes' logs."""
        return "\n".join(
            f"── {handle.name} ──\n{handle.log_tail(LOG_BYTES)}"
            for handle in (self.network, self.dagster)
        )


@contextlib.contextmanager
def started(
    supervisor: Supervisor, postgres: Postgres, base: Path, settings: Mapping[str, str]
) -> Generator[Stack]:
    """Everything, started from nothing but files and commands; ``settings`` go into the ``.env``.

    Processes get a PATH and a HOME of their own, no other variable.
    """
    folder, inbox, home = (base / name for name in ("deployment", "inbox", "home"))
    for path in (folder, inbox, home):
        path.mkdir()
    plain = {"PATH": os.defpath, "HOME": str(home)}
    worker, finalizer = (wallets.wallet_of("0x" + secrets.token_hex(32)) for _ in range(2))
    database_url = postgres.create("e2e_pipeline")
    history_url = postgres.create("e2e_dagster")
    handles: list[Handle] = []
    try:
        anvil = start_anvil(supervisor, name="anvil-e2e", arguments=("--block-time", "1"))
        handles.append(anvil.handle)
        printed = command(
            *(sys.executable, "-m", "lightchallenge_dagster.devnet.deploy", "--rpc", anvil.url),
            *("--worker", worker.address, "--finalizer", finalizer.address, "--min-lead", "5"),
            cwd=base,
            env=plain,
        )
        # Nodes with a key in their URL are usual; this one's must stay as secret as a key.
        rpc_key = secrets.token_hex(16)
        lines = {
            "DATABASE_URL": database_url,
            "DAGSTER_POSTGRES_URL": history_url.replace("postgresql:", "postgresql+psycopg2:"),
            "LCAI_RPC": anvil.url.replace("http://", f"http://pipeline:{rpc_key}@"),
            "LCAI_WORKER_PK": worker.key,
            "LCAI_FINALIZE_PK": finalizer.key,
            "EVIDENCE_INBOX": str(inbox),
            **settings,
        }
        for name in ("workspace.yaml", "dagster.yaml"):
            shutil.copy(ROOT / name, folder / name)
        (folder / ".env").write_text(
            printed + "".join(f"{name}={value}\n" for name, value in lines.items())
        )
        command(PROGRAMS / "lightchallenge", "migrate", cwd=folder, env=plain)
        deployment = read_deployment(anvil.url, folder / ".env", worker.address, finalizer.address)
        network = supervisor.spawn(
            "network-e2e",
            [
                *(sys.executable, "-u", "-m", "lightchallenge_dagster.devnet.network"),
                *("--rpc", anvil.url, "--aivm", deployment.aivm_inference),
                *("--challengepay", deployment.challengepay),
                *("--start-block", str(deployment.start_block)),
            ],
            env=plain,
            cwd=base,
        )
        handles.append(network)
        port = free_port()
        dagster = supervisor.spawn(
            "dagster-e2e",
            [PROGRAMS / "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)],
            env=plain,
            cwd=folder,
        )
        handles.append(dagster)
        with (
            psycopg.connect(database_url, autocommit=True) as database,
            psycopg.connect(history_url, autocommit=True) as history,
        ):
            stack = Stack(
                folder=folder,
                inbox=inbox,
                anvil=anvil,
                client=Client(deployment),
                api=DagsterApi(f"http://{LOOPBACK}:{port}"),
                dagster=dagster,
                network=network,
                secrets={
                    "the worker's key": worker.key.removeprefix("0x"),
                    "the finalizer's key": finalizer.key.removeprefix("0x"),
                    "the databases' password": postgres.password,
                    "the node's key": rpc_key,
                },
                database=database,
                history=history,
            )
            stack.eventually("every sensor is ticking", lambda: is_ticking(stack), START_S)
            yield stack
    finally:
        for handle in reversed(handles):
            handle.stop()
        postgres.drop("e2e_pipeline")
        postgres.drop("e2e_dagster")


def command(*argv: str | Path, cwd: Path, env: Mapping[str, str]) -> str:
    """What the command prints on standard output; a failure shows all of it."""
    done = subprocess.run(
        [str(part) for part in argv],
        cwd=cwd,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read_deployment(url: str, env_file: Path, worker: str, finalizer: str) -> Deployment:
    """The deployment as its ``.env`` lines tell it, for the users' client."""
    read = {name: value or "" for name, value in dotenv_values(env_file).items()}
    return Deployment(
        rpc_url=url,
        chain_id=int(read["LCAI_CHAIN_ID"]),
        start_block=int(read["START_BLOCK"]),
        challengepay=read["CHALLENGEPAY_ADDRESS"],
        treasury=read["TREASURY_ADDRESS"],
        aivm_inference=read["AIVM_INFERENCE_V2_ADDRESS"],
        task_registry=read["AIVM_TASK_REGISTRY_ADDRESS"],
        poi_verifier=read["CHALLENGEPAY_AIVM_POI_VERIFIER_ADDRESS"],
        achievement=read["NEXT_PUBLIC_ACHIEVEMENT_ADDR"],
        metadata_registry=read["METADATA_REGISTRY"],
        token=ZERO_ADDRESS,
        worker_address=worker,
        finalizer_address=finalizer,
        metadata_owner_address=wallets.metadata_owner().address,
        protocol_address=wallets.protocol().address,
        admin=wallets.admin(),
    )


SENSORS = """
query { repositoriesOrError { ... on RepositoryConnection { nodes { sensors {
  name sensorState { status ticks(limit: 1) { status } } } } } } }
"""


def is_ticking(stack: Stack) -> bool:
    """Whether Dagster's UI answers and every sensor has looked once."""
    with contextlib.suppress(DevnetError, requests.RequestException):
        nodes = stack.api.ask(SENSORS)["repositoriesOrError"].get("nodes", [])
        states = [sensor["sensorState"] for node in nodes for sensor in node["sensors"]]
        return bool(states) and all(
            state["status"] == "RUNNING" and state["ticks"] for state in states
        )
    return False


# ── Looking for secrets ─────────────────────────────────────────────────────────────────


def leaks(wanted: Mapping[str, str], places: Iterator[tuple[str, bytes]]) -> list[str]:
    """``<secret> in <place>`` for each of the secrets, in whatever form, in each of the places."""
    looked_for = {name: forms(value) for name, value in wanted.items()}
    return [
        f"{name} in {place}"
        for place, content in places
        for name, shapes in looked_for.items()
        if any(shape in content for shape in shapes)
    ]


def forms(value: str) -> list[bytes]:
    """A text as it could be written down; 32 bytes of hex also as what a key can be turned into."""
    shapes = [value.encode(), value.upper().encode()]
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(value)
        if len(key) == 32:
            encoded = base64.b64encode(key)
            shapes += [key, repr(key)[2:-1].encode(), str(int.from_bytes(key)).encode()]
            # In a longer text the last letters of base64 depend on what follows.
            shapes += [encoded[:40], base64.urlsafe_b64encode(key)[:40]]
    return shapes


def stored(connection: psycopg.Connection[tuple[Any, ...]]) -> Iterator[tuple[str, bytes]]:
    """Every row of every table, as text; binary columns also unpacked (Dagster packs some)."""
    columns: dict[tuple[str, str], list[sql.Composable]] = defaultdict(list)
    for schema, table, column, kind in connection.execute(
        "select c.table_schema, c.table_name, c.column_name, c.data_type "
        "from information_schema.columns c join information_schema.tables t "
        "using (table_schema, table_name) where t.table_type = 'BASE TABLE' "
        "and c.table_schema not in ('pg_catalog', 'information_schema')"
    ).fetchall():
        value = sql.SQL("{}" if kind == "bytea" else "{}::text").format(sql.Identifier(column))
        columns[schema, table].append(value)
    for (schema, table), values in columns.items():
        query = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(values), sql.Identifier(schema, table)
        )
        for row in connection.execute(query).fetchall():
            yield f"{schema}.{table}", b"\n".join(_as_bytes(value) for value in row)


def _as_bytes(value: str | bytes | None) -> bytes:
    if not isinstance(value, bytes):
        return (value or "").encode()
    with contextlib.suppress(zlib.error):
        return value + b"\n" + zlib.decompress(value)
    return value


def files(folder: Path, *, but: Sequence[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """Every file below ``folder``."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in but:
            yield str(path.relative_to(folder)), path.read_bytes()
