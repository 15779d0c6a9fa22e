"""The indexer under test, as a process that can be killed: the one file that knows its interface.

A *life* is a forked child that runs a few operations (``look``, ``follow``, ``verify``, ``heal``,
``rebuild``) and ends, by itself or by SIGKILL. It reports each operation on a pipe.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event

from lightchallenge_dagster.chain.contracts import Addresses, Contracts
from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.errors import LightChallengeError
from lightchallenge_dagster.steps import index, verify
from lightchallenge_dagster.steps.index import IndexPolicy
from lightchallenge_dagster.storage.database import connect

CHAIN_ID = 504
TIMEOUT_S = 0.2
LONGEST_S = 60
PROJECTIONS = tuple(index.PROJECTIONS)

# What may end an operation: the indexer says what is wrong and changes nothing.
REFUSALS = (LightChallengeError,)


@dataclass(frozen=True, slots=True)
class Settings:
    """How one seed's indexer is configured."""

    database_url: str
    addresses: Mapping[str, str]
    confirmations: int
    max_block_range: int
    start_block: int
    window: int
    mirror: bool

    def policy(self) -> IndexPolicy:
        return IndexPolicy(
            chain_id=CHAIN_ID,
            addresses=self.addresses,
            confirmations=self.confirmations,
            max_block_range=self.max_block_range,
            start_block=self.start_block,
            window=self.window,
            mirror=self.mirror,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a life does, and at which statement it dies (0: at none).

    Operations are ``("look",)``, ``("follow",)``, ``("verify", behind)``, ``("heal", first,
    last)``, ``("rebuild", projection)``. ``mutation`` names a way to break the indexer on purpose
    (``mutations.py``).
    """

    urls: Sequence[str]
    operations: Sequence[tuple[Any, ...]]
    die_at_statement: int = 0
    mutation: str | None = None


@dataclass(slots=True)
class Life:
    """A running child; ``ended`` once it is gone, ``reports`` what it did."""

    pid: int
    pipe: int
    reports: list[dict[str, Any]]
    buffer: bytes = b""
    ended: bool = False
    killed: bool = False
    doomed: bool = False

    def kill(self) -> None:
        """SIGKILL, unless it is gone already."""
        self.doomed = True
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def read(self) -> bool:
        """Take what the pipe holds; True at its end: the child is gone."""
        chunk = os.read(self.pipe, 1 << 16)
        self.buffer += chunk
        *lines, self.buffer = self.buffer.split(b"\n")
        self.reports += [json.loads(line) for line in lines]
        return not chunk

    def bury(self) -> None:
        """After ``read`` came to the end."""
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        self.killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not self.killed and status != 0:
            self.reports.append({"crash": f"the life ended with wait status {status}"})
        self.ended = True


def start(settings: Settings, plan: Plan, in_child: Callable[[], None]) -> Life:
    """Fork a life. The caller has one thread; ``in_child`` lets go of what is the parent's."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return Life(pid, reading, [])
    status = 1
    try:
        os.close(reading)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.alarm(LONGEST_S)
        in_child()
        _live(settings, plan, writing)
        status = 0
    except BaseException:  # noqa: BLE001
        _tell(writing, {"crash": traceback.format_exc()})
    finally:
        os._exit(status)
    raise AssertionError("unreachable")


def warm(settings: Settings, url: str) -> None:
    """Run once in this process, so that each life finds everything loaded."""
    engine = connect(settings.database_url)
    rpc = Rpc(url)
    try:
        _operate(("follow",), engine, rpc, settings.policy())
        _operate(("verify", 0), engine, rpc, settings.policy())
    finally:
        engine.dispose()
        rpc.close()
    gc.collect()
    gc.freeze()


class _Clock:
    """A life does not wait: it says how long it would have, and its clock goes on by as much."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def sleep(self, seconds: float) -> None:
        self._ahead += seconds

    def now(self) -> float:
        return time.monotonic() + self._ahead


def _live(settings: Settings, plan: Plan, pipe: int) -> None:
    if plan.mutation is not None:
        from tests.simulator.mutations import MUTATIONS, Unusable

        try:
            MUTATIONS[plan.mutation]()
        except Unusable as unusable:
            _tell(pipe, {"operation": plan.mutation, "unusable": str(unusable)})
            return
    engine = connect(settings.database_url, pool_size=1)
    if plan.die_at_statement:
        _die_at(engine, plan.die_at_statement)
    # requests reads all of it for each request.
    os.environ.clear()
    clock = _Clock()
    time.sleep = clock.sleep
    rpc = Rpc(list(plan.urls), TIMEOUT_S, sleep=clock.sleep, clock=clock.now)
    policy = settings.policy()
    for operation in plan.operations:
        report: dict[str, Any] = {"operation": operation[0]}
        try:
            report["result"] = _operate(operation, engine, rpc, policy)
        except REFUSALS as refusal:
            report["refused"] = type(refusal).__name__
            report["words"] = str(refusal)[:300]
        except Exception:  # noqa: BLE001
            report["crash"] = traceback.format_exc()
        report["retried"] = rpc.retried
        _tell(pipe, report)


def _operate(operation: tuple[Any, ...], engine: Any, rpc: Rpc, policy: IndexPolicy) -> Any:
    name, *arguments = operation
    contracts = _contracts(rpc, policy)
    reader = ChainReader(rpc)
    if name == "look":
        found = index.look(engine, reader, policy)
        return {"waiting": found.waiting}
    if name == "follow":
        done = index.follow(
            engine, reader, policy, contracts.challenge_snapshot,
            achievement=contracts.achievement_of,
        )  # fmt: skip
        return {"depth": done.reorg_depth, "splits": done.splits, "blocks": done.blocks}
    if name == "verify":
        (behind,) = arguments
        checked = verify.verify(
            engine, reader, policy, contracts.challenge_snapshot,
            achievement=contracts.achievement_of, behind=behind,
        )  # fmt: skip
        return {
            "late": checked.late_logs,
            "wrong": checked.wrong_logs,
            "disputed": list(checked.disputed),
        }
    if name == "heal":
        first, last = arguments
        healed = index.heal(
            engine, reader, policy, contracts.challenge_snapshot, first, last,
            achievement=contracts.achievement_of,
        )  # fmt: skip
        return {"added": healed.added_logs, "dropped": healed.dropped_logs}
    if name == "rebuild":
        (projection,) = arguments
        return {"changed": index.rebuild(engine, policy, projection).rows_changed}
    raise AssertionError(name)


def _contracts(rpc: Rpc, policy: IndexPolicy) -> Contracts:
    at = policy.addresses
    return Contracts(
        rpc,
        Addresses(
            challengepay=at["challengepay"],
            treasury=at["treasury"],
            aivm_inference=at["aivm_inference"],
            task_registry=at["task_registry"],
            achievement=at["achievement"],
            metadata_registry=at["metadata_registry"],
        ),
    )


def _die_at(engine: Any, statement: int) -> None:
    """SIGKILL to ourselves before the n-th statement or commit."""
    left = [statement]

    def count(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine, "before_cursor_execute", count)
    event.listen(engine, "commit", count)


def _tell(pipe: int, report: dict[str, Any]) -> None:
    os.write(pipe, json.dumps(report, default=str).encode() + b"\n")


__all__ = ["CHAIN_ID", "PROJECTIONS", "Life", "Plan", "Settings", "start", "warm"]
