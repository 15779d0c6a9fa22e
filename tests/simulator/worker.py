"""A process that plays seeds: its own servers, one thread, so that it may fork.

pytest's and the soak's own processes have threads; the lives are forked from here instead.
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import tempfile
import traceback
from pathlib import Path
from typing import Any

NO_RESULT = "the simulator itself failed"


class Worker:
    """Ask it to play a seed, then take its answer: a ``runner.Result`` as plain values."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,))
        self._process.start()
        theirs.close()
        self._seed = 0

    @property
    def alive(self) -> bool:
        return not self.pipe.closed

    def ask(self, seed: int, *, mutation: str | None = None, scale: float = 1.0) -> None:
        """Begin to play ``seed``, with a schedule ``scale`` times as long as its own."""
        self._seed = seed
        self.pipe.send((seed, mutation, scale))

    def answer(self) -> dict[str, Any]:
        """The result, once it is there; what went wrong, when the worker itself did."""
        try:
            result: dict[str, Any] = self.pipe.recv()
        except EOFError:
            self.close()
            return _broken(self._seed, f"the worker ended with exit code {self._process.exitcode}")
        if "error" in result:
            self.close()
            return _broken(self._seed, result["error"])
        return result

    def close(self) -> None:
        """Let it end, with its servers."""
        if not self.pipe.closed:
            self.pipe.close()
        self._process.join(30)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(10)


def _broken(seed: int, why: str) -> dict[str, Any]:
    from tests.simulator.runner import Result

    return Result(seed, strict=False, differences=[f"{NO_RESULT}: {why}"]).plain()


def _work(pipe: Any) -> None:
    from tests.simulator.runner import arena, run

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = Path(tempfile.mkdtemp(prefix="simulator-"))
    try:
        with arena(folder) as servers:
            while True:
                seed, mutation, scale = pipe.recv()
                pipe.send(run(servers, seed, mutation=mutation, scale=scale).plain())
    except (EOFError, BrokenPipeError):
        # Nobody asks any more.
        pass
    except Exception:  # noqa: BLE001
        pipe.send({"error": traceback.format_exc()})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
