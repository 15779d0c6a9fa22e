"""Servers, child processes and facts that all parts of the benchmark share."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from lightchallenge_dagster.devnet.processes import Postgres, start_postgres
from lightchallenge_dagster.devnet.supervisor import Supervisor
from lightchallenge_dagster.storage.database import connect
from lightchallenge_dagster.storage.migrate import migrate

ROOT = Path(__file__).resolve().parents[1]
LOCAL = ROOT / ".local" / "bench"

# What a production server does: every commit is on the disk before it is answered. Everything
# that is not here has PostgreSQL's own default.
DURABLE: Mapping[str, str] = {"max_connections": "50", "timezone": "UTC"}
# As the tests have it: a commit costs next to nothing, which flatters whoever commits often.
THROWAWAY: Mapping[str, str] = DURABLE | {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
SETTINGS: Mapping[str, Mapping[str, str]] = {"durable": DURABLE, "throwaway": THROWAWAY}
_TOLD = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "work_mem",
    "autovacuum",
)

Progress = Callable[[float, str], None]
"""Share done (0 to 1) and what is being done."""

Copies = Callable[[], AbstractContextManager[str]]
"""Gives the URL of one more copy of a filled database, for a while."""


class ChildFailed(Exception):
    """A measuring process ended without a result."""


@dataclass(slots=True)
class Databases:
    """Fresh migrated databases on one server, one after the other."""

    postgres: Postgres
    template: str
    _count: int = 0

    @contextmanager
    def fresh(self) -> Generator[str]:
        """The URL of a database that nobody has written to; it is dropped at the end."""
        with self._copy(self.template) as name:
            yield self.postgres.url(name)

    @contextmanager
    def filled(self, fill: Callable[[str], object]) -> Generator[Copies]:
        """A database that ``fill`` (given its URL) writes to, to make equal copies of.

        The copies share its files byte for byte, so each side starts from the same place.
        """
        with self._copy(self.template) as name:
            fill(self.postgres.url(name))

            @contextmanager
            def copy() -> Generator[str]:
                with self._copy(name) as copied:
                    yield self.postgres.url(copied)

            yield copy

    @contextmanager
    def _copy(self, template: str) -> Generator[str]:
        self._count += 1
        name = f"bench_{self._count}"
        self.postgres.create(name, template=template)
        yield name
        self.postgres.drop(name)


@contextmanager
def server(supervisor: Supervisor, settings: str) -> Generator[Databases]:
    """A PostgreSQL with these settings ("durable", "throwaway") and migrated databases on it."""
    postgres = start_postgres(supervisor, name=f"postgres-{settings}", settings=SETTINGS[settings])
    engine = connect(postgres.create("bench_template"))
    try:
        migrate(engine)
    finally:
        engine.dispose()
    yield Databases(postgres, "bench_template")
    postgres.handle.stop()


def scaled(progress: Progress, first: float, last: float, label: str) -> Progress:
    """Tell the share of a part as the share of the whole between ``first`` and ``last``."""
    return lambda share, what: progress(first + (last - first) * share, f"{label} {what}".strip())


def told_settings(postgres: Postgres) -> dict[str, str]:
    """The server's settings that matter to a benchmark, as it says them."""
    with psycopg.connect(postgres.url()) as connection:
        return {name: _first(connection.execute(f"show {name}")) for name in _TOLD}  # type: ignore[arg-type]


def _first(cursor: psycopg.Cursor[Any]) -> str:
    row = cursor.fetchone()
    return "" if row is None else str(row[0])


def machine() -> dict[str, Any]:
    """What this ran on, and how busy it was."""
    cpu = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": load(),
    }


def load() -> list[float]:
    """How many processes want a core, on average over 1, 5 and 15 minutes."""
    return [round(one, 2) for one in os.getloadavg()]


def peak_memory() -> int:
    """This process's peak resident memory so far, in bytes.

    From /proc, not ``ru_maxrss``: that one starts with the peak of whoever forked this process.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ChildFailed("/proc/self/status has no VmHWM; this needs Linux")


def forget_peak() -> None:
    """Let ``peak_memory`` count from here: what was made up before is not the measured work's."""
    Path("/proc/self/clear_refs").write_text("5")


def cpu_of(pid: int) -> float:
    """Seconds on a core of another process so far, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_child(part: str, arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Run ``benchmarks.child``'s ``part`` in a process of its own; what it measured."""
    command = [sys.executable, "-m", "benchmarks.child", part]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        # By a pipe, not on the command line: the database's password is among them.
        child.stdin.write(json.dumps(dict(arguments)))
        child.stdin.close()
        result: dict[str, Any] | None = None
        for line in child.stdout:
            said = json.loads(line)
            if "progress" in said:
                progress(*said["progress"])
            else:
                result = said["result"]
    if child.returncode or result is None:
        raise ChildFailed(f"measuring {part} ended with exit code {child.returncode}")
    return result
