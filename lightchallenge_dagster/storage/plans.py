"""What challenge rows say, and ``pipeline.challenge_plans``: what was made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import text

from lightchallenge_dagster.storage import bulk, sql

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COLUMNS = (
    "challenge_id",
    "config_hash",
    "mode",
    "top_n",
    "starts_at",
    "ends_at",
    "proof_deadline",
    "ranking_closes_at",
    "partition_key",
    "problem",
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """One row of ``public.challenges`` as JSON values, with its times on chain (epoch seconds).

    The times are None while the chain's challenge is not indexed. ``sources`` is what
    ``public.models`` accepts for the challenge's model (``proof.modelId``, else ``model_id``), as
    stored; None where there is no such model. ``config_hash`` identifies the row's version.
    """

    challenge_id: int
    params: Any
    proof: Any
    timeline: Any
    start_ts: int | None
    end_ts: int | None
    proof_deadline_ts: int | None
    config_hash: str = ""
    sources: Any = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One row of ``pipeline.challenge_plans``."""

    challenge_id: int
    config_hash: str
    mode: Literal["threshold", "competitive"]
    top_n: int
    starts_at: datetime | None
    ends_at: datetime | None
    proof_deadline: datetime | None
    ranking_closes_at: datetime | None
    partition_key: str
    problem: str | None


def changed(connection: Connection, policy_key: str) -> list[Configuration]:
    """Challenges whose row, chain times or policy are not those their plan was made from.

    ``policy_key`` stands for everything outside the challenge that a plan depends on.
    """
    rows = connection.execute(text(sql.load("plan/changed")), {"policy": policy_key})
    return [Configuration(**row) for row in rows.mappings()]


def configurations(connection: Connection, challenge_ids: Iterable[int]) -> list[Configuration]:
    """The configurations of those of ``challenge_ids`` that are known challenges (never 0)."""
    rows = connection.execute(
        text(sql.load("plan/configs")), {"challenge_ids": sorted(set(challenge_ids))}
    )
    return [Configuration(**row) for row in rows.mappings()]


def save(connection: Connection, plans: Sequence[Plan]) -> int:
    """Insert or replace plans; returns how many rows changed."""
    if not plans:
        return 0
    bulk.stage(
        connection,
        "staged_plans",
        "challenge_id bigint, config_hash text, mode text, top_n integer, starts_at timestamptz,"
        " ends_at timestamptz, proof_deadline timestamptz, ranking_closes_at timestamptz,"
        " partition_key text, problem text",
    )
    bulk.copy_rows(connection, "staged_plans", _COLUMNS, (astuple(plan) for plan in plans))
    return connection.execute(text(sql.load("plan/save"))).rowcount


def remove_vanished(connection: Connection) -> int:
    """Remove the plans of challenges that are no longer there; returns how many."""
    return connection.execute(text(sql.load("plan/remove_vanished"))).rowcount
