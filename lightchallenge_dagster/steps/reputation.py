"""Reputation: from achievement mints to points and a level per wallet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightchallenge_dagster.storage import reputation as storage

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class ReputationReport:
    """What one computation did to ``public.reputation``.

    ``unknown`` mints are of a type that gives no points. ``removed`` wallets have no mints any
    more (a reorg).
    """

    mints: int = 0
    wallets: int = 0
    inserted: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    unknown: int = 0


def pending(engine: Engine) -> int:
    """Wallets whose stored reputation is not what their mints give."""
    from lightchallenge_dagster.rules import reputation as rules

    with engine.connect() as connection:
        return storage.pending(connection, rules.POINTS, [points for _, _, points in rules.LEVELS])


def compute(engine: Engine) -> ReputationReport:
    """Compute every wallet's reputation from its mints; only rows that differ are written."""
    import polars as pl

    from lightchallenge_dagster.rules import reputation as rules

    with engine.begin() as connection:
        storage.lock(connection)
        mints = pl.DataFrame(
            storage.mints(connection),
            schema={"recipient": pl.String, "achievement_type": pl.String},
            orient="row",
        )
        table = rules.reputation(mints)
        inserted, changed, removed = storage.replace(
            connection,
            table.select("subject", "points", "level", "completions", "victories").iter_rows(),
        )
    return ReputationReport(
        mints=mints.height,
        wallets=table.height,
        inserted=inserted,
        changed=changed,
        removed=removed,
        unchanged=table.height - inserted - changed,
        unknown=int(table["unknown"].sum()),
    )
