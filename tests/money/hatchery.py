"""Forks workers from a process that has imported everything, so that each starts in milliseconds.

``Hatchery`` starts that process (it has one thread, so it may fork) and talks to it in lines of
JSON. Each worker is a process of its own and dies by a real SIGKILL, its own or ours.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from lightchallenge_dagster.devnet.deploy import Deployment
from tests.money.worker import Plan, Tell, live

ROOT = Path(__file__).resolve().parents[2]
_LONGEST_LINE = 4000
_LONGEST_PART = 1000


@dataclass(slots=True)
class Life:
    """One forked worker; ``returncode`` as in ``subprocess``, None while it lives.

    ``said``: what it reported, the boundary it died at among it.
    """

    number: int
    plan: Plan
    said: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    returncode: int | None = None

    @property
    def died_at(self) -> tuple[str, str] | None:
        """(kind, boundary) of its own kill, None when it did not come to that."""
        for one in self.said:
            if "dies" in one:
                return one["kind"], one["dies"]
        return None

    @property
    def crash(self) -> str | None:
        return next((one["crash"] for one in self.said if "crash" in one), None)

    @property
    def report(self) -> dict[str, Any]:
        """Its last words, when it came to its end."""
        return next((one for one in self.said if "rounds" in one), {})


class Hatchery:
    """A context; ``keys`` become the environment of the workers (private keys, nothing else)."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = dict(keys)
        self._lives: dict[int, Life] = {}
        self._count = 0
        self._buffer = b""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(cls, deployment: Deployment) -> Hatchery:
        """With the keys of a deployment's two wallets."""
        keys = {
            "LCAI_WORKER_PK": deployment.worker.key,
            "LCAI_FINALIZE_PK": deployment.finalizer.key,
        }
        return cls(keys)

    def __enter__(self) -> Hatchery:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.money.hatchery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **self._keys},
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def here(self, plan: Plan) -> Life:
        """Work the plan in the forking process itself; each life then finds everything loaded."""
        life = self._register(plan)
        self._write({"here": life.number, "plan": plan.to_json()})
        return self.wait(life)

    def start(self, plan: Plan) -> Life:
        """Fork a worker; it is at work when this returns, or soon."""
        life = self._register(plan)
        self._write({"start": life.number, "plan": plan.to_json()})
        return life

    def kill(self, life: Life) -> None:
        """SIGKILL, unless it is gone already."""
        self._write({"kill": life.number})

    def run(self, plan: Plan) -> Life:
        """A worker from start to end."""
        return self.wait(self.start(plan))

    def wait(self, life: Life, timeout_s: float = 90.0) -> Life:
        """The life, once it is over. Raises ``TimeoutError``, ``RuntimeError`` after a crash."""
        deadline = time.monotonic() + timeout_s
        while life.returncode is None:
            if not self.read(deadline - time.monotonic()):
                raise TimeoutError(f"a worker lives for more than {timeout_s:g} s: {life.said}")
        if life.crash is not None:
            raise RuntimeError(f"a worker crashed:\n{life.crash}")
        return life

    def read(self, timeout_s: float) -> bool:
        """Take in what workers say, for at most that long; false when nothing came."""
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            if not selector.select(max(0.0, timeout_s)):
                return False
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            raise RuntimeError(f"the hatchery ended with {self._process.wait(5)}")
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            told: dict[str, Any] = json.loads(line)
            life = self._lives[told["life"]]
            if "ended" in told:
                life.returncode = os.waitstatus_to_exitcode(told["ended"])
                del self._lives[life.number]
            else:
                life.said.append(told["said"])
        return True

    def _register(self, plan: Plan) -> Life:
        self._count += 1
        self._lives[self._count] = Life(self._count, plan)
        return self._lives[self._count]

    def _write(self, order: Mapping[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()


# ── In the forking process ──────────────────────────────────────────────────────────────────


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    waking, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, _ignore)
    signal.set_wakeup_fd(wake)
    alive: dict[int, int] = {}
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(waking, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if waking in ready:
                os.read(waking, 4096)
                _bury(alive)
            if 0 not in ready:
                continue
            chunk = os.read(0, 1 << 16)
            if not chunk:
                break
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                _obey(json.loads(line), alive)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    return 0


def _ignore(_number: int, _frame: object) -> None:
    """Only the byte in the wakeup pipe counts."""


def _obey(order: dict[str, Any], alive: dict[int, int]) -> None:
    if "here" in order:
        number = order["here"]
        status = _work(number, Plan.from_json(order["plan"]))
        gc.freeze()
        _tell({"life": number, "ended": status << 8})
    elif "kill" in order:
        for pid, number in alive.items():
            if number == order["kill"]:
                os.kill(pid, signal.SIGKILL)
    else:
        number = order["start"]
        pid = os.fork()
        if not pid:
            _hatch(number, Plan.from_json(order["plan"]))
        alive[pid] = number


def _hatch(number: int, plan: Plan) -> None:
    """The forked worker's whole life; does not return."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.alarm(plan.longest_s)
        status = _work(number, plan)
    finally:
        os._exit(status)


def _work(number: int, plan: Plan) -> int:
    def tell(what: Mapping[str, Any]) -> None:
        _tell({"life": number, "said": what})

    try:
        live(plan, tell)
    except BaseException:  # noqa: BLE001 — told, and raised where somebody waits for it
        tell({"crash": traceback.format_exc()[-2500:]})
        return 1
    return 0


def _bury(alive: dict[int, int]) -> None:
    while alive:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        _tell({"life": alive.pop(pid), "ended": status})


def _tell(what: Mapping[str, Any]) -> None:
    # One write below PIPE_BUF: lines of several processes do not mix.
    line = json.dumps(what, default=str).encode()
    if len(line) > _LONGEST_LINE:
        line = json.dumps({**what, "said": _cut(what.get("said"))}, default=str).encode()
    os.write(1, line + b"\n")


def _cut(said: object) -> object:
    """What was said, every part that is not short cut off."""
    if isinstance(said, dict):
        return {
            name: part if len(str(part)) < 300 else str(part)[-_LONGEST_PART:]
            for name, part in said.items()
        }
    return str(said)[-_LONGEST_PART:]


__all__ = ["Hatchery", "Life", "Tell"]

if __name__ == "__main__":
    raise SystemExit(main())
