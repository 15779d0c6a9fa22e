"""Where the time goes: exclusive seconds by stage, measured around the package's own functions.

Reading ahead and writing are done by two threads at once, so the stages add up to more than the
time that passed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

PACKAGE = "lightchallenge_dagster"

Places = Mapping[str, tuple[str, ...]]
"""Stage -> the functions that are it ("module:attribute"); what they call counts for its own."""

STAGES: Places = {
    "RPC client": ("chain.rpc:Rpc.call", "chain.rpc:Rpc.batch"),
    "parse logs": ("chain.wire:logs", "chain.reader:_logs"),
    "parse headers": ("chain.wire:block", "chain.reader:_block"),
    "check": ("steps.indexing.read:read_range", "steps.indexing.read:confirm"),
    "decode": ("steps.indexing.read:describe",),
    "copy headers": ("storage.blocks:add_headers",),
    "copy logs": ("storage.blocks:add_logs",),
    "touch": ("storage.projections:touch", "storage.projections:recompute"),
    "commit": ("steps.indexing.write:commit",),
}
PROJECTION = "storage.projections:_run"


class Stages:
    """Exclusive seconds by stage: what an inner stage takes is not counted in the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._thread = threading.local()

    def timed(self, stage: str | Callable[..., str], function: Callable[..., Any]) -> Any:
        """``function``, with its time added to ``stage`` (a name, or what names it by the call)."""

        @functools.wraps(function)
        def run(*args: Any, **options: Any) -> Any:
            inner_of = self._inner()
            inner_of.append(0.0)
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent = time.perf_counter() - started
                inner = inner_of.pop()
                name = stage if isinstance(stage, str) else stage(*args, **options)
                with self._lock:
                    self.seconds[name] = self.seconds.get(name, 0.0) + spent - inner
                if inner_of:
                    inner_of[-1] += spent

        return run

    def _inner(self) -> list[float]:
        """What this thread's open stages have spent in stages inside them, the outermost first."""
        found: list[float] | None = getattr(self._thread, "inner", None)
        if found is None:
            found = self._thread.inner = []
        return found

    @contextlib.contextmanager
    def watching(self, stages: Places | None = None) -> Generator[None]:
        """Measure these stages while this is open; by default ``STAGES`` and each projection."""
        with contextlib.ExitStack() as stack:
            for stage, places in (STAGES if stages is None else stages).items():
                for place in places:
                    _wrap(stack, place, lambda found, stage=stage: self.timed(stage, found))
            if stages is None:
                _wrap(stack, PROJECTION, lambda found: self.timed(_projection, found))
            yield


def replace(stack: contextlib.ExitStack, place: str, stand_in: Any) -> None:
    """Put ``stand_in`` wherever the package uses the function at ``place``, until the end."""
    if not _wrap(stack, place, lambda _: stand_in):
        raise LookupError(f"{PACKAGE} has no {place}: the benchmark is older than the code")


def _projection(_connection: Any, name: str, *_rest: Any) -> str:
    return f"→ {name.removeprefix('index/')}"


def _wrap(
    stack: contextlib.ExitStack, place: str, wrapper: Callable[[Callable[..., Any]], Any]
) -> bool:
    module_name, path = place.split(":")
    try:
        module = importlib.import_module(f"{PACKAGE}.{module_name}")
    except ModuleNotFoundError:
        return False
    if "." in path:
        owner, name = path.split(".")
        owners, found = [getattr(module, owner)], getattr(getattr(module, owner), name)
    else:
        name, found = path, getattr(module, path, None)
        if found is None:
            return False
        # Also wherever it was imported by name.
        owners = [
            one
            for one in list(sys.modules.values())
            if getattr(one, "__name__", "").startswith(PACKAGE) and vars(one).get(name) is found
        ]
    wrapped = wrapper(found)
    for owner in owners:
        setattr(owner, name, wrapped)
        stack.callback(setattr, owner, name, found)
    return True
