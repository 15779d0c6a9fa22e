"""One run at a time for one piece of work, kept by a row in our own database."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.storage import leases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

NAME_TAG = "lightchallenge/lease"
TOKEN_TAG = "lightchallenge/lease_token"

#: Long enough for a launched run to import its code and start on a busy machine.
LAUNCH_TTL_S = 90.0
#: Renewed by the run's heartbeat; a run that died gives way after this long.
RUN_TTL_S = 120.0


class LeaseTaken(TransientError):
    """Another run is doing this work. Wait for it, or for its lease to expire."""


@contextmanager
def held(
    engine: Engine,
    name: str,
    run_id: str,
    tags: Mapping[str, str],
    *,
    keep_handed_over: bool = False,
) -> Generator[Callable[[], None]]:
    """Hold the lease ``name`` while the body runs; yields the heartbeat to call along the way.

    A run launched by a sensor takes over the lease that the sensor took for it (its tags carry the
    token); any other run takes a lease of its own. The lease is released when the body succeeds; a
    body that fails or dies leaves it to expire, which is the pause before the next attempt.
    ``keep_handed_over`` leaves a sensor's lease in force for a later step of the same run.
    Raises ``LeaseTaken``.
    """
    handed_over = _take_over(engine, name, tags)
    token = handed_over or _take(engine, name, run_id)

    def heartbeat() -> None:
        with engine.begin() as connection:
            if not leases.renew(connection, name, token, RUN_TTL_S):
                raise LeaseTaken(f"the lease {name!r} was lost: this run was silent for too long")

    yield heartbeat
    if handed_over and keep_handed_over:
        return
    with engine.begin() as connection:
        leases.release(connection, name, token)


def _take_over(engine: Engine, name: str, tags: Mapping[str, str]) -> int | None:
    if tags.get(NAME_TAG) != name or TOKEN_TAG not in tags:
        return None
    token = int(tags[TOKEN_TAG])
    with engine.begin() as connection:
        return token if leases.renew(connection, name, token, RUN_TTL_S) else None


def _take(engine: Engine, name: str, run_id: str) -> int:
    with engine.begin() as connection:
        token = leases.acquire(connection, name, f"run {run_id}", RUN_TTL_S)
    if token is None:
        raise LeaseTaken(
            f"another run holds the lease {name!r}; it ends with that run, or {RUN_TTL_S:.0f} s "
            "after that run died"
        )
    return token
