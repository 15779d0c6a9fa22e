"""What a measurement costs beside its own process's time: PostgreSQL's processor time and memory.

Everything is read from /proc, so watching needs no rights and asks the server nothing.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.common import cpu_of

EVERY_S = 0.25


@dataclass(slots=True)
class Spent:
    """What happened while it was watched; complete once the watching ended.

    ``memory_ours`` is the peak of this process and its workers together, ``memory_postgres`` of
    PostgreSQL's processes without the buffers that they share; both are looked at four times a
    second.
    """

    seconds: float = 0.0
    cpu_ours: float = 0.0
    cpu_postgres: float = 0.0
    memory_ours: int = 0
    memory_postgres: int = 0


@contextmanager
def watching(database_url: str | None = None) -> Generator[Spent]:
    """Watch this process, its workers and the server behind ``database_url``."""
    server = None if database_url is None else _server_of(database_url)
    spent = Spent()
    ended = threading.Event()
    watcher = threading.Thread(target=_watch_memory, args=(spent, server, ended), daemon=True)
    watcher.start()
    cpu, at_postgres, started = _own_cpu(), _tree_cpu(server), time.perf_counter()
    try:
        yield spent
    finally:
        spent.seconds = time.perf_counter() - started
        spent.cpu_ours = _own_cpu() - cpu
        spent.cpu_postgres = _tree_cpu(server) - at_postgres
        ended.set()
        watcher.join()


def _watch_memory(spent: Spent, server: int | None, ended: threading.Event) -> None:
    while True:
        ours = [os.getpid(), *_descendants(os.getpid())]
        spent.memory_ours = max(spent.memory_ours, sum(_memory(pid, "VmRSS") for pid in ours))
        if server is not None:
            backends = (_memory(pid, "RssAnon") for pid in _descendants(server))
            spent.memory_postgres = max(spent.memory_postgres, sum(backends))
        if ended.wait(EVERY_S):
            return


def _server_of(database_url: str) -> int:
    """The process that all of the server's processes are children of."""
    with psycopg.connect(database_url) as connection:
        return _parent(connection.info.backend_pid)


def _own_cpu() -> float:
    """Of this process and of workers that ended."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + workers.ru_utime + workers.ru_stime


def _tree_cpu(pid: int | None) -> float:
    """Seconds on a core of a process, of its children, and of those that ended."""
    if pid is None:
        return 0.0
    fields = _fields(pid)
    gone = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    total = cpu_of(pid) + gone
    for child in _descendants(pid):
        try:
            total += cpu_of(child)
        except (FileNotFoundError, ProcessLookupError):  # ended just now
            continue
    return total


def _parent(pid: int) -> int:
    return int(_fields(pid)[1])


def _fields(pid: int) -> list[str]:
    """What /proc says of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def _descendants(*pids: int) -> list[int]:
    """The processes below these, by one look at all that there are."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            children.setdefault(_parent(int(folder.name)), []).append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):  # ended just now
            continue
    found = [child for pid in pids for child in children.get(pid, [])]
    for pid in found:
        found += children.get(pid, [])
    return found


def _memory(pid: int, kind: str) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(kind + ":"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):  # ended just now
        pass
    return 0
