"""Ways to break the indexer on purpose: each must be found by a seed or two.

Applied in a forked life only, never in the process that forks. One that does not apply any more,
because the indexer has changed, is ``Unusable`` and fails its test: it would prove nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.chain.rpc import RpcError
from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps.indexing.doubt import Doubt
from lightchallenge_dagster.storage import checkpoints, projections


class Unusable(Exception):
    """The indexer has changed: the mutation does not apply to it."""


def _swallow_failed_logs() -> None:
    """What polling indexers do: log the error, go on with nothing."""

    def by_range(honest: Any) -> Any:
        def blocks_and_logs(reader: Any, numbers: Any, *rest: Any) -> Any:
            try:
                return honest(reader, numbers, *rest)
            except (TransientError, RpcError):
                return reader.blocks(numbers), []

        return blocks_and_logs

    def by_hash(honest: Any) -> Any:
        def logs_of(reader: Any, headers: Any, *rest: Any) -> Any:
            try:
                return honest(reader, headers, *rest)
            except (TransientError, RpcError):
                return {header.number: list[Any]() for header in headers}

        return logs_of

    _instead(ChainReader, "blocks_and_logs", by_range)
    _instead(ChainReader, "logs_of", by_hash)
    _believe_silence()


def _believe_silence() -> None:
    """Take an empty answer for an empty block, whatever the header's bloom says."""

    def believing(_: Any) -> Any:
        def nothing(*_: Any, **__: Any) -> int:
            return 0

        return nothing

    _instead(Doubt, "silence", believing)
    _instead(Doubt, "compare", believing)


def _never_look_back() -> None:
    """Go on from the checkpoint without asking whether it is still on the chain."""

    def blind(_: Any) -> Any:
        def common(_engine: Any, _reader: Any, _policy: Any, seen: Any) -> Any:
            return seen.held.point

        return common

    def parentless(honest: Any) -> Any:
        def read_range(*arguments: Any, **options: Any) -> Any:
            return honest(*arguments, **dict(options, parent=None))

        return read_range

    _everywhere("common", blind)
    _everywhere("read_range", parentless)


def _checkpoint_first() -> None:
    """Commit the checkpoint, then the logs."""

    def hasty(honest: Any) -> Any:
        def commit(
            engine: Any, policy: Any, held: Any, base: Any, read: Any, *rest: Any, **options: Any
        ) -> Any:
            end = base if read is None else Point(read.last, read.end.hash)
            with engine.begin() as connection:
                checkpoints.hold(connection, policy.chain_id, held)
                checkpoints.move(connection, policy.chain_id, end, mirror=policy.mirror)
            return honest(engine, policy, end, base, read, *rest, **options)

        return commit

    _everywhere("commit", hasty)


def _merge_the_second_writer() -> None:
    """Lock the checkpoint, but take it wherever another writer has moved it."""

    def merging(_: Any) -> Any:
        def hold(connection: Any, chain_id: int, _: Any) -> Any:
            return checkpoints.hold_beyond(connection, chain_id, -1)

        return hold

    _instead(checkpoints, "hold", merging)


def _forget_the_orphans() -> None:
    """Delete orphaned logs without folding their keys again."""

    def forgetting(honest: Any) -> Any:
        def touch(*arguments: Any, **options: Any) -> Any:
            if not options.get("orphaned"):
                return honest(*arguments, **options)
            return None

        return touch

    _instead(projections, "touch", forgetting)


def _change_nothing() -> None:
    """The indexer as it is, played as the broken ones are."""


def _instead(where: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    if not hasattr(where, name):
        raise Unusable(f"the indexer has no {name} any more: this mutation breaks nothing")
    setattr(where, name, wrap(getattr(where, name)))


def _everywhere(name: str, wrap: Callable[[Any], Any]) -> None:
    """Wrap a function of the steps in each of their modules that knows it."""
    known = [
        module
        for path, module in sys.modules.items()
        if path.startswith("lightchallenge_dagster.steps.index") and hasattr(module, name)
    ]
    if not known:
        raise Unusable(f"the indexer has no {name} any more: this mutation breaks nothing")
    wrapped = wrap(getattr(known[0], name))
    for module in known:
        setattr(module, name, wrapped)


UNBROKEN = "none of them"

MUTATIONS: dict[str, Callable[[], None]] = {
    "swallow failed logs": _swallow_failed_logs,
    "believe silence": _believe_silence,
    "never look back": _never_look_back,
    "checkpoint first": _checkpoint_first,
    "merge the second writer": _merge_the_second_writer,
    "forget the orphans": _forget_the_orphans,
    UNBROKEN: _change_nothing,
}
