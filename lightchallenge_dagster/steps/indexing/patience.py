"""How often a run believes that the next answer will be better."""

from __future__ import annotations

import random
from time import sleep

from lightchallenge_dagster.chain.failures import BAD_ANSWER
from lightchallenge_dagster.chain.pacing import backoff_s
from lightchallenge_dagster.chain.reader import (
    BadAnswer,
    ChainMoved,
    RangeRefused,
    Truncated,
)
from lightchallenge_dagster.chain.rpc import Rpc, RpcError
from lightchallenge_dagster.rules.reorg import ReorgTooDeep

_ROUNDS = 3
"""Each endpoint is asked so often for a range before the run gives up."""

Doubtful = BadAnswer | RangeRefused | RpcError | ReorgTooDeep
"""What another answer, another endpoint or a smaller range may put right."""

DOUBTFUL = (BadAnswer, RangeRefused, RpcError, ReorgTooDeep)


class Patience:
    """Decides after an answer that cannot be used whether to ask again, whom, and when.

    The endpoint that contradicted itself is distrusted, so the next one is asked; after all of
    them there is a growing, jittered wait. A refused range is asked for in smaller ones, which is
    no loss of patience; ``splits`` counts those.
    """

    def __init__(self, rpc: Rpc, rounds: int = _ROUNDS, *, waits: bool = True) -> None:
        self._rpc = rpc
        self._rounds = rounds
        self._waits = waits
        self._failures = 0
        self.splits = 0

    def kept(self) -> None:
        """What was asked for has come: the next range gets all the patience again."""
        self._failures = 0

    def lost(self, error: Doubtful) -> None:
        """Make ready to ask again; raises ``error`` when it has been asked often enough."""
        smaller = isinstance(error, RangeRefused | Truncated) and error.asked > 1
        if isinstance(error, RangeRefused) and smaller:
            self._rpc.range = self._rpc.range.refused(error.suggestion, asked=error.asked)
        elif isinstance(error, Truncated) and smaller:
            self._rpc.range = self._rpc.range.refused(asked=error.asked)
            self._rpc.distrust(error.kind, str(error))
        else:
            self._lose(error)
            return
        self.splits += 1

    def _lose(self, error: Doubtful) -> None:
        self._failures += 1
        endpoints = len(self._rpc.endpoints)
        if self._failures >= self._rounds * endpoints:
            raise error
        # A chain that moves is no fault of the node that shows it, unless it never stands still;
        # nor is a reorg, but another node may know better.
        moved = isinstance(error, ChainMoved) and self._failures == 1
        if not (moved or (isinstance(error, ReorgTooDeep) and endpoints == 1)):
            self._rpc.distrust(getattr(error, "kind", BAD_ANSWER), str(error))
        if self._waits and self._failures % endpoints == 0:
            sleep(backoff_s(self._failures // endpoints, random.random()))
