"""Evidence rows, the participants they make, and who can be collected.

Tables ``public.evidence``, ``public.participants`` (database guide) and ``pipeline.inbox_files``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

from sqlalchemy import text

from lightchallenge_dagster.rules.challenge import parse_sources
from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

Outcome = Literal["inserted", "updated", "unchanged"]

_LOCK = text("select pg_advisory_xact_lock(hashtextextended(:key, 0))")
# Without a conflict target: the guide's table takes every row, but an existing database may allow
# one row a provider by an index of whatever name, and then nothing comes back.
_INSERT = text("""
    insert into public.evidence
        (challenge_id, subject, provider, data, evidence_hash, raw_ref, created_at, updated_at)
    values (:challenge_id, :subject, :provider, cast(:data as jsonb), :evidence_hash, :raw_ref,
            :at, :at)
    on conflict do nothing
    returning id
""")
_UPDATE = text("""
    update public.evidence
       set data = cast(:data as jsonb), evidence_hash = :evidence_hash, raw_ref = :raw_ref,
           updated_at = :at
     where id = :id
""")
# Never downgrades: a row that is there, from the chain above all, stays as it is.
_TAKE_PART = text("""
    insert into public.participants (challenge_id, subject, source, created_at, updated_at)
    values (:challenge_id, :subject, 'evidence_intake', :at, :at)
    on conflict do nothing
""")
_WINDOW = text("""
    select start_ts, end_ts from pipeline.chain_challenges where challenge_id = :challenge_id
""")
_PARTITIONS = text("""
    select distinct coalesce(plan.partition_key, 'unscheduled') as partition_key
      from unnest(cast(:ids as bigint[])) as t (id)
      left join pipeline.challenge_plans as plan on plan.challenge_id = t.id
     order by 1
""")
_FILE = text("""
    insert into pipeline.inbox_files
        (name, sha256, size_bytes, outcome, reason, challenge_id, subject, provider, taken_at)
    values (:name, :sha256, :size_bytes, :outcome, :reason, :challenge_id, :subject, :provider,
            :taken_at)
""")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The latest row of (challenge, wallet, provider), as the judge reads it too."""

    id: int
    records: list[dict[str, Any]]
    evidence_hash: str
    raw_ref: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """An account to ask a provider about, for one participant of one running challenge.

    ``external_id`` is None when the account was linked without an id and no identity binding
    gives one. ``starts_at`` and ``ends_at`` are the challenge's, where they are known.
    """

    challenge_id: int
    subject: str
    provider: str
    external_id: str | None
    starts_at: datetime | None
    ends_at: datetime | None


def targets(
    connection: Connection,
    collected: Mapping[str, str | None],
    now: datetime | None,
    partitions: Iterable[str] | None = None,
) -> list[Target]:
    """Everything that can be collected at ``now`` (None: the database's clock).

    ``collected`` has the lowercase providers and the identity platform that knows their account
    id; ``partitions`` narrows to challenges of those days. A challenge whose model lists its
    sources has no use for any other. Ordered by challenge, wallet, provider.
    """
    rows = connection.execute(
        text(sql.load("evidence/targets")),
        {
            "now": now,
            "providers": list(collected),
            "platforms": list(collected.values()),
            "partitions": None if partitions is None else list(partitions),
        },
    )
    found: list[Target] = []
    for *target, sources in rows:
        listed = parse_sources(sources)
        if not listed or target[2] in listed:
            found.append(Target(*target))
    return found


def latest(
    connection: Connection, challenge_id: int, subject: str, provider: str
) -> Evidence | None:
    """The row that counts: the newest of (challenge, lower(subject), provider)."""
    row = connection.execute(
        text(sql.load("evidence/latest")),
        {"challenge_id": challenge_id, "subject": subject, "provider": provider},
    ).one_or_none()
    if row is None:
        return None
    # The web app writes rows too: one that is no list of records reads as one without records.
    data = cast("object", row.data)
    records: list[dict[str, Any]] = []
    if isinstance(data, list):
        records = cast("list[dict[str, Any]]", data)
    return Evidence(row.id, records, row.evidence_hash, row.raw_ref, row.created_at)


def lock(connection: Connection, challenge_id: int, subject: str, provider: str) -> None:
    """Wait for other writers of the same evidence, until the transaction ends."""
    connection.execute(_LOCK, {"key": f"evidence:{challenge_id}:{subject}:{provider}"})


def store(
    connection: Connection,
    *,
    challenge_id: int,
    subject: str,
    provider: str,
    records: Sequence[Mapping[str, Any]],
    evidence_hash: str,
    raw_ref: str,
    at: datetime,
) -> Outcome:
    """Add a row, unless the latest one of this provider already holds the same.

    Where the database keeps one row a provider, that row is updated and keeps its ``created_at``,
    which is the time of submission. The wallet becomes an ``evidence_intake`` participant of a
    challenge other than 0, unless it is one already.
    """
    lock(connection, challenge_id, subject, provider)
    before = latest(connection, challenge_id, subject, provider)
    outcome: Outcome = "unchanged"
    if before is None or before.evidence_hash != evidence_hash:
        if before is not None:
            # A clock that was set back must not make the new row older than the one it replaces.
            at = max(at, before.created_at + timedelta(microseconds=1))
        values = {
            "challenge_id": challenge_id,
            "subject": subject,
            "provider": provider,
            "data": json.dumps(list(records), ensure_ascii=False, allow_nan=False),
            "evidence_hash": evidence_hash,
            "raw_ref": raw_ref,
            "at": at,
        }
        outcome = "inserted"
        if connection.execute(_INSERT, values).one_or_none() is None:
            before = before or latest(connection, challenge_id, subject, provider)
            if before is None:
                raise _unexpected(challenge_id, subject, provider)
            connection.execute(_UPDATE, {**values, "id": before.id})
            outcome = "updated"
    if challenge_id > 0:
        connection.execute(_TAKE_PART, {"challenge_id": challenge_id, "subject": subject, "at": at})
    return outcome


def challenge_window(connection: Connection, challenge_id: int) -> tuple[int, int] | None:
    """The challenge's start and end on chain, epoch seconds; None while it is not indexed.

    Only the chain's times: nobody can change them, so records outside can never count.
    """
    row = connection.execute(_WINDOW, {"challenge_id": challenge_id}).one_or_none()
    return None if row is None else (row.start_ts, row.end_ts)


def partitions(connection: Connection, challenge_ids: Iterable[int]) -> list[str]:
    """The partition keys of these challenges: their UTC days of end, or ``unscheduled``."""
    ids = sorted(challenge_ids)
    return list(connection.execute(_PARTITIONS, {"ids": ids}).scalars()) if ids else []


def note_file(
    connection: Connection,
    *,
    name: str,
    sha256: str,
    size_bytes: int,
    outcome: Literal["stored", "unchanged", "rejected"],
    taken_at: datetime,
    reason: str | None = None,
    challenge_id: int | None = None,
    subject: str | None = None,
    provider: str | None = None,
) -> None:
    """Keep in ``pipeline.inbox_files`` what became of an uploaded file."""
    connection.execute(
        _FILE,
        {
            "name": name,
            "sha256": sha256,
            "size_bytes": size_bytes,
            "outcome": outcome,
            "reason": reason,
            "challenge_id": challenge_id,
            "subject": subject,
            "provider": provider,
            "taken_at": taken_at,
        },
    )


def _unexpected(challenge_id: int, subject: str, provider: str) -> Exception:
    from lightchallenge_dagster.errors import PermanentError

    return PermanentError(
        f"public.evidence refuses a row for challenge {challenge_id}, {subject}, {provider} by a "
        "unique index, but holds no such row; look at its indexes"
    )
