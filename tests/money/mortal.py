"""The project's definitions for runs that die: same jobs, same resources, another observer.

``LIGHTCHALLENGE_TEST_DIE_AT=request.stored`` kills the process that loads this, by SIGKILL, when
an intent of that kind passes that boundary of the outbox. Nothing in the package knows of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from lightchallenge_dagster.definitions import build_defs
from lightchallenge_dagster.steps.outbox import Outbox
from tests.money.worker import kind_of

DIE_AT = "LIGHTCHALLENGE_TEST_DIE_AT"

_begin = Outbox.__init__


def _mortal(self: Outbox, *arguments: Any, **how: Any) -> None:
    told: Callable[[str, str], None] = how.pop("observe", _nobody)

    def observe(boundary: str, key: str) -> None:
        told(boundary, key)
        if f"{kind_of(key)}.{boundary}" == os.environ.get(DIE_AT):
            os.kill(os.getpid(), signal.SIGKILL)

    _begin(self, *arguments, observe=observe, **how)


def _nobody(_boundary: str, _key: str) -> None:
    """Nobody watches."""


Outbox.__init__ = _mortal
defs = build_defs()
