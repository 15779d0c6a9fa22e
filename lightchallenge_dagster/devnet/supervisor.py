"""Child processes that never outlive their parent, however it ends.

A parent that is killed cannot clean up, so it starts nothing itself: it asks a small reaper
process (this module, run with ``-m``) to start servers, over a pipe. When the pipe closes (the
parent returned, crashed, was interrupted or got SIGKILL) the reaper stops every process it
started and everything those started, removes the folders it was told about, and exits.

One request is one line of JSON, answered by one line of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, cast

import psutil

from lightchallenge_dagster.errors import LightChallengeError

GRACE_S = 10.0
TERM_S = 3.0
TICK_S = 0.25
LOG_TAIL_BYTES = 4000

_MODULE = "lightchallenge_dagster.devnet.supervisor"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class SupervisorError(LightChallengeError):
    """A process could not be started, or the reaper that holds the processes is gone."""


# ── The parent's side ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Handle:
    """A process the reaper holds. ``log`` receives its stdout and stderr."""

    name: str
    pid: int
    log: Path
    supervisor: Supervisor = field(repr=False)

    def poll(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""
        return self.supervisor.poll(self)

    @property
    def alive(self) -> bool:
        return self.poll() is None

    def log_tail(self, size: int = LOG_TAIL_BYTES) -> str:
        """The last ``size`` bytes of what the process wrote."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - size))
                return stream.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def stop(self) -> None:
        """Stop the process and everything it started; returns when all of it is gone."""
        self.supervisor.stop(self)


class Supervisor:
    """Starts processes that end with this one, whatever ends it.

    Use as a context manager: leaving it stops everything, last started first. Logs go to
    ``directory`` unless ``spawn`` names another file; without a directory a temporary one is
    made and removed at the end.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._reaper: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self._directory = directory

    @property
    def directory(self) -> Path:
        """Where the logs are."""
        if self._directory is None:
            raise SupervisorError("the supervisor is not running; use it as a context manager")
        return self._directory

    def __enter__(self) -> Self:
        temporary = self._directory is None
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="lightchallenge-run-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "supervisor.log").open("ab") as log:
            self._reaper = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "lightchallenge_dagster.devnet.supervisor",
                    str(os.getpid()),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).resolve().parents[2],
                # A session of its own, so that Ctrl-C reaches only the parent.
                start_new_session=True,
            )
        if temporary:
            self.remove_at_exit(self._directory)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def spawn(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGINT,
        grace_s: float = GRACE_S,
    ) -> Handle:
        """Start ``argv`` in its own session. ``env`` replaces the environment when given.

        ``user`` runs it under another account (needs root). When it is stopped, the process gets
        ``stop_signal`` and ``grace_s`` seconds, then all that is left of it SIGTERM, then SIGKILL.
        Raises ``SupervisorError`` when it cannot be started.
        """
        log = log or self.directory / f"{name}.log"
        answer = self._ask(
            {
                "do": "spawn",
                "name": name,
                "argv": [str(part) for part in argv],
                "env": dict(env) if env is not None else None,
                "cwd": str(cwd or Path.cwd()),
                "log": str(log),
                "user": user,
                "signal": int(stop_signal),
                "grace_s": grace_s,
            }
        )
        return Handle(name, int(answer["pid"]), log, self)

    def poll(self, handle: Handle) -> int | None:
        """See ``Handle.poll``."""
        return self._ask({"do": "poll", "pid": handle.pid})["code"]

    def stop(self, handle: Handle) -> None:
        """See ``Handle.stop``. Stopping what already ended is fine."""
        self._ask({"do": "stop", "pid": handle.pid})

    def remove_at_exit(self, folder: Path) -> None:
        """Have ``folder`` deleted once every process has stopped, also if this process dies."""
        self._ask({"do": "remove", "path": str(folder.resolve())})

    def close(self) -> None:
        """Stop every process and wait until all of them are gone. Safe to call twice."""
        reaper = self._reaper
        if reaper is None:
            return
        with contextlib.suppress(OSError):
            cast("Any", reaper.stdin).close()
        reaper.wait()
        cast("Any", reaper.stdout).close()
        self._reaper = None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            reaper = self._reaper
            if reaper is None or reaper.stdin is None or reaper.stdout is None:
                raise SupervisorError("the supervisor is not running; use it as a context manager")
            self._asked += 1
            try:
                reaper.stdin.write(json.dumps({**request, "ask": self._asked}).encode() + b"\n")
                reaper.stdin.flush()
                answer: dict[str, Any] = {}
                # An interrupted question leaves its answer behind; it is not ours.
                while answer.get("ask") != self._asked:
                    answer = cast("dict[str, Any]", json.loads(reaper.stdout.readline()))
            except (OSError, ValueError) as error:
                raise SupervisorError(
                    f"the process reaper is gone; its log is {self.directory / 'supervisor.log'}"
                ) from error
        if "error" in answer:
            raise SupervisorError(str(answer["error"]))
        return answer


def account(user: str | None) -> tuple[int | None, int | None]:
    """The uid and gid of the account ``user`` (none for none); ``SupervisorError`` if unknown."""
    if user is None:
        return None, None
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise SupervisorError(f"there is no account {user!r} on this machine") from error
    return entry.pw_uid, entry.pw_gid


# ── The reaper's side ───────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    stop_signal: int
    grace_s: float


class _Reaper:
    def __init__(self, parent: int) -> None:
        self.parent = parent
        self.children: dict[int, _Child] = {}
        self.codes: dict[int, int] = {}
        self.folders: list[Path] = []
        self.asked_to_end = False
        self.libc: ctypes.CDLL | None = None
        if sys.platform == "linux":
            self.libc = ctypes.CDLL(None, use_errno=True)

    def run(self) -> None:
        # A handler, not SIG_IGN: an ignored signal stays ignored in the processes started here,
        # and they are to be stopped with SIGINT.
        signal.signal(signal.SIGINT, self._nothing)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._end)
        if self.libc is not None:
            # What a child leaves behind becomes ours, so it is found and stopped too.
            self.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            self._serve()
        finally:
            for child in reversed(list(self.children.values())):
                self._stop(child)
            self._sweep()
            for folder in reversed(self.folders):
                shutil.rmtree(folder, ignore_errors=True)

    def _nothing(self, number: int, frame: FrameType | None) -> None:
        return

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_end = True

    def _serve(self) -> None:
        pending = b""
        while not self.asked_to_end and os.getppid() == self.parent:
            ready, _, _ = select.select([0], [], [], TICK_S)
            self._collect()
            if not ready:
                continue
            chunk = os.read(0, 65536)
            if not chunk:
                return
            pending += chunk
            *lines, pending = pending.split(b"\n")
            for line in lines:
                request = json.loads(line)
                answer = {**self._answer(request), "ask": request["ask"]}
                try:
                    os.write(1, json.dumps(answer).encode() + b"\n")
                except OSError:
                    return

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "spawn":
                return self._spawn(request)
            case "poll":
                return {"code": self._code(int(request["pid"]))}
            case "stop":
                child = self.children.get(int(request["pid"]))
                if child is not None:
                    self._stop(child)
                    del self.children[child.process.pid]
                return {}
            case "remove":
                self.folders.append(Path(request["path"]))
                return {}
            case other:
                return {"error": f"the process reaper does not know {other!r}"}

    def _spawn(self, request: dict[str, Any]) -> dict[str, Any]:
        stop_signal = int(request["signal"])

        def die_with_the_reaper() -> None:
            if self.libc is not None:
                self.libc.prctl(_PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)

        try:
            uid, gid = account(request["user"])
            with Path(request["log"]).open("ab") as log:
                process: subprocess.Popen[bytes] = subprocess.Popen(
                    request["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=request["env"],
                    cwd=request["cwd"],
                    start_new_session=True,
                    preexec_fn=die_with_the_reaper,
                    user=uid,
                    group=gid,
                    extra_groups=None if uid is None else [],
                )
        except (OSError, subprocess.SubprocessError, SupervisorError) as error:
            return {"error": f"{request['name']} cannot be started: {error}"}
        self.children[process.pid] = _Child(
            request["name"], process, stop_signal, float(request["grace_s"])
        )
        return {"pid": process.pid}

    def _code(self, pid: int) -> int | None:
        child = self.children.get(pid)
        if child is not None:
            code = child.process.poll()
            if code is not None:
                self.codes[pid] = code
            return code
        return self.codes.get(pid, 0)

    def _collect(self) -> None:
        """Take the exit codes of our children and of the orphans that became ours."""
        for pid, child in self.children.items():
            if (code := child.process.poll()) is not None:
                self.codes[pid] = code
        for process in psutil.Process().children():
            if process.pid not in self.children:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)

    def _tree(self, child: _Child) -> set[psutil.Process]:
        """Everything alive that ``child`` started: its descendants, and its whole session."""
        found: set[psutil.Process] = set()
        pid = child.process.pid
        if child.process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                root = psutil.Process(pid)
                found = {root, *root.children(recursive=True)}
        elif psutil.pid_exists(pid):
            # It ended long ago and a stranger has its number now, so its session is gone too.
            return found
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
                if os.getsid(process.pid) == pid:
                    found.add(process)
        return {process for process in found if _living(process)}

    def _stop(self, child: _Child) -> None:
        tree = self._tree(child)
        if child.process.poll() is None:
            child.process.send_signal(child.stop_signal)
        self._await(tree, child, child.grace_s)
        tree |= self._tree(child)
        for step, wait_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, TERM_S)):
            left = {process for process in tree if _living(process)}
            if not left:
                break
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(step)
            self._await(tree, child, wait_s)
        code = child.process.poll()
        self.codes[child.process.pid] = code if code is not None else -signal.SIGKILL
        self._collect()

    def _await(self, tree: set[psutil.Process], child: _Child, wait_s: float) -> None:
        """Wait until ``tree`` is gone; what outlives the child itself gets one second more."""
        deadline = time.monotonic() + wait_s
        while any(_living(process) for process in tree) and time.monotonic() < deadline:
            self._collect()
            if child.process.poll() is not None:
                deadline = min(deadline, time.monotonic() + 1.0)
            time.sleep(0.02)

    def _sweep(self) -> None:
        """Kill what left its session and its parent: on Linux it has become our own child."""
        deadline = time.monotonic() + TERM_S
        while time.monotonic() < deadline:
            left = [p for p in psutil.Process().children(recursive=True) if _living(p)]
            if not left:
                return
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            self._collect()
            time.sleep(0.02)


def _living(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


if __name__ == "__main__":
    _Reaper(int(sys.argv[1])).run()
