"""No process outlives the one that asked for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from lightchallenge_dagster.devnet.ports import LOOPBACK, free_port, is_free
from lightchallenge_dagster.devnet.processes import (
    postgres_installation,
    start_anvil,
    start_postgres,
)
from lightchallenge_dagster.devnet.supervisor import Supervisor, SupervisorError

HELD = Path(__file__).with_name("held.py")
PATIENCE_S = 30.0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path) as supervisor:
        yield supervisor


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port somebody else listens on."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def living(pids: list[int]) -> list[str]:
    found: list[str] = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{pid} {' '.join(process.cmdline())}")
        except psutil.NoSuchProcess:
            continue
    return found


def wait_for(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.02)
    return what()


def kill_the_parent(parent: subprocess.Popen[str]) -> None:
    parent.kill()


def press_ctrl_c(parent: subprocess.Popen[str]) -> None:
    os.killpg(parent.pid, signal.SIGINT)


def kill_its_group(parent: subprocess.Popen[str]) -> None:
    os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.parametrize("end", [kill_the_parent, press_ctrl_c, kill_its_group])
def test_nothing_is_left_however_the_parent_ends(
    end: Callable[[subprocess.Popen[str]], None],
) -> None:
    parent = subprocess.Popen(
        [sys.executable, HELD], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert parent.stdout is not None
        started = json.loads(parent.stdout.readline())
        # The parent, the reaper, PostgreSQL with its workers, anvil, the stubborn, the runaway.
        assert len(living(started["pids"])) >= 8
        end(parent)
        parent.wait(PATIENCE_S)
        wait_for(lambda: not living(started["pids"]))
        assert living(started["pids"]) == []
        assert wait_for(lambda: not any(Path(folder).exists() for folder in started["folders"]))
    finally:
        parent.kill()
        parent.communicate()


def test_leaving_the_supervisor_stops_everything_and_removes_its_folder() -> None:
    with Supervisor() as supervisor:
        server = start_postgres(supervisor)
        folder = supervisor.directory
        pids = [child.pid for child in psutil.Process(server.handle.pid).children()]
        pids.append(server.handle.pid)
    assert living(pids) == []
    assert not folder.exists()


def test_a_child_that_dies_is_seen_with_its_exit_code_and_last_words(own: Supervisor) -> None:
    handle = own.spawn("failing", [sys.executable, "-c", "print('no luck'); raise SystemExit(3)"])
    assert wait_for(lambda: not handle.alive)
    assert handle.poll() == 3
    assert "no luck" in handle.log_tail()


def test_a_killed_child_is_seen_with_its_signal(own: Supervisor) -> None:
    handle = own.spawn("sleeping", [sys.executable, "-c", "import time; time.sleep(600)"])
    assert handle.alive
    os.kill(handle.pid, signal.SIGKILL)
    assert wait_for(lambda: not handle.alive)
    assert handle.poll() == -signal.SIGKILL


def test_stopping_one_child_takes_its_session_and_leaves_the_others(own: Supervisor) -> None:
    script = (
        "import subprocess, sys, time; "
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    )
    first = own.spawn("first", [sys.executable, "-c", script])
    second = own.spawn("second", [sys.executable, "-c", script])
    assert wait_for(lambda: bool(first.log_tail() and second.log_tail()))
    first.stop()
    assert living([first.pid, int(first.log_tail().split()[0])]) == []
    assert first.poll() == -signal.SIGINT
    assert len(living([second.pid, int(second.log_tail())])) == 2


def test_a_child_can_be_interrupted_although_the_parent_ignores_interrupts() -> None:
    # As a shell's background jobs do; an ignored signal would be inherited by the child.
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "import sys\n"
        "from lightchallenge_dagster.devnet.supervisor import Supervisor\n"
        "with Supervisor() as supervisor:\n"
        "    handle = supervisor.spawn('x', [sys.executable, '-c', 'import signal; "
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)'])\n"
        "    while handle.alive: pass\n"
        "    print(handle.log_tail())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"


def test_a_program_that_does_not_exist_is_refused_by_name(own: Supervisor) -> None:
    with pytest.raises(SupervisorError, match=r"ghost cannot be started.*no-such-program"):
        own.spawn("ghost", ["/no-such-program"])


def test_a_supervisor_whose_reaper_died_says_so(own: Supervisor) -> None:
    handle = own.spawn("sleeping", ["sleep", "600"])
    reaper = psutil.Process(handle.pid).ppid()
    os.kill(reaper, signal.SIGKILL)
    with pytest.raises(SupervisorError, match="reaper is gone"):
        while True:
            handle.poll()
    # On Linux a child gets its stop signal when the reaper dies.
    if sys.platform == "linux":
        assert wait_for(lambda: living([handle.pid]) == [])
    else:
        os.kill(handle.pid, signal.SIGKILL)


def test_a_port_in_use_is_detected_and_another_one_chosen(busy_port: int) -> None:
    assert not is_free(busy_port)
    chosen = free_port(busy_port)
    assert chosen != busy_port
    assert is_free(chosen)
    assert free_port(chosen) == chosen


def test_servers_move_away_from_ports_in_use(own: Supervisor, busy_port: int) -> None:
    server = start_postgres(own, port=busy_port)
    assert server.port != busy_port
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    node = start_anvil(own, port=busy_port)
    assert node.url != f"http://{LOOPBACK}:{busy_port}"
    assert node.rpc("eth_chainId") == hex(504)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as somebody else")
def test_an_installation_the_server_account_cannot_reach_is_copied(
    own: Supervisor, tmp_path: Path
) -> None:
    # As in a virtual environment below /root: the folder is closed to all others.
    original = postgres_installation()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = original.parent.name
    shutil.copytree(original, closed / package / original.name, symlinks=True)
    libraries = original.parent.with_name(f"{package}.libs")
    shutil.copytree(libraries, closed / libraries.name)
    server = start_postgres(own, installation=closed / package / original.name)
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("show server_version_num").fetchone() is not None
    program = Path(psutil.Process(server.handle.pid).exe())
    assert not program.is_relative_to(closed)
    assert psutil.Process(server.handle.pid).uids().effective != 0
