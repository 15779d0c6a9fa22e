"""Ways to break the indexer on purpose: each must be found by a seed or two.

Applied in a forked life only, never in the process that forks. If one of them stops applying
because the indexer has changed, its test fails: a mutation that nobody notices proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.steps.indexing import read as reading
from lightchallenge_dagster.steps.indexing import write as writing
from lightchallenge_dagster.storage import checkpoints, projections


def _swallow_failed_logs() -> None:
    """What polling indexers do: log the error, go on with nothing."""
    honest = ChainReader.logs

    def logs(self: ChainReader, *args: Any, **options: Any) -> Any:
        try:
            return honest(self, *args, **options)
        except TransientError:
            return []

    _set(ChainReader, "logs", logs)
    _believe_silence()


def _believe_silence() -> None:
    """Take an empty answer for an empty block, whatever the header's bloom says."""
    _set(reading, "_trust_silence", lambda *_, **__: None)


def _never_look_back() -> None:
    """Go on from the checkpoint without asking whether it is still on the chain."""
    _set(index, "_common", lambda _engine, _reader, _policy, started: started.checkpoint)
    honest = index.read_range

    def read_range(*args: Any, **options: Any) -> Any:
        return honest(*args, **dict(options, parent=None))

    _set(index, "read_range", read_range)


def _checkpoint_first() -> None:
    """Commit the checkpoint, then the logs."""
    honest = index.commit

    def commit(
        engine: Any, policy: Any, expected: Any, base: Any, read: Any, *args: Any, **options: Any
    ) -> Any:
        end = base if read is None else Point(read.last, read.end.hash)
        with engine.begin() as connection:
            checkpoints.hold(connection, policy.chain_id, expected)
            checkpoints.move(connection, policy.chain_id, end, mirror=policy.mirror)
        return honest(engine, policy, end, base, read, *args, **options)

    _set(index, "commit", commit)


def _merge_the_second_writer() -> None:
    """Lock the checkpoint, but take it wherever another writer has moved it."""

    def hold(connection: Any, chain_id: int, _: Any) -> Any:
        return checkpoints.hold_beyond(connection, chain_id, -1)

    _set(writing.checkpoints, "hold", hold)


def _forget_the_orphans() -> None:
    """Delete orphaned logs without folding their keys again."""
    honest = projections.touch

    def touch(*args: Any, **options: Any) -> None:
        if not options.get("orphaned"):
            honest(*args, **options)

    _set(projections, "touch", touch)


def _set(where: Any, name: str, value: Any) -> None:
    if not hasattr(where, name):
        raise AssertionError(f"the indexer has no {name} any more: this mutation breaks nothing")
    setattr(where, name, value)


MUTATIONS: dict[str, Callable[[], None]] = {
    "swallow failed logs": _swallow_failed_logs,
    "believe silence": _believe_silence,
    "never look back": _never_look_back,
    "checkpoint first": _checkpoint_first,
    "merge the second writer": _merge_the_second_writer,
    "forget the orphans": _forget_the_orphans,
}
