"""What settling a challenge is decided from: its request, its bindings, its winners on chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Request:
    """The inference request that speaks for a challenge, as it is indexed."""

    request_id: int
    task_id: str
    model_digest: str
    det_config_hash: str
    status: str
    response_hash: str | None


@dataclass(frozen=True, slots=True)
class Settling:
    """A challenge that is not over and has a request or a binding; times in epoch seconds."""

    challenge_id: int
    paused: bool
    start_ts: int
    proof_deadline_ts: int
    verifier: str
    benchmark_hash: str | None
    request: Request | None


@dataclass(frozen=True, slots=True)
class Bound:
    """A binding as it is indexed, without its benchmark hash."""

    request_id: int
    task_id: str
    model_digest: str
    params_hash: str
    schema_version: int


@dataclass(frozen=True, slots=True)
class Ended:
    """An active, unpaused challenge past its end and proof deadline.

    ``intent_status``, ``waiting``, ``block_number`` and ``failing`` are of the last attempt to
    finalize it. ``unclosed``: a competition with something to win whose ranking has not closed, or
    whose ranked winners are not all winners on chain.
    """

    challenge_id: int
    intent_status: str | None
    waiting: bool
    block_number: int | None
    failing: bool
    unclosed: bool


@dataclass(frozen=True, slots=True)
class Untold:
    """Keys to set in a challenge's proof. ``proofs``: also how many winners the contract counts."""

    challenge_id: int
    patch: dict[str, Any]
    proofs: bool


def settling(connection: Connection, chain_now_ts: int) -> list[Settling]:
    """Challenges that bindings or proofs can be sent for, or whose bindings may have to go."""
    rows = connection.execute(text(sql.load("money/settling")), {"chain_now_ts": chain_now_ts})
    return [
        Settling(
            challenge_id=row.challenge_id,
            paused=row.paused,
            start_ts=row.start_ts,
            proof_deadline_ts=row.proof_deadline_ts,
            verifier=row.verifier,
            benchmark_hash=row.benchmark_hash,
            request=None
            if row.request_id is None
            else Request(
                request_id=int(row.request_id),
                task_id=row.task_id,
                model_digest=row.model_digest,
                det_config_hash=row.det_config_hash,
                status=row.request_status,
                response_hash=row.response_hash,
            ),
        )
        for row in rows
    ]


def bindings(connection: Connection, challenge_ids: Sequence[int]) -> dict[tuple[int, str], Bound]:
    """The indexed bindings of these challenges, by challenge and subject."""
    rows = connection.execute(
        text(sql.load("money/bindings")), {"challenge_ids": list(challenge_ids)}
    )
    return {
        (row.challenge_id, row.subject): Bound(
            request_id=int(row.request_id),
            task_id=row.task_id,
            model_digest=row.model_digest,
            params_hash=row.params_hash,
            schema_version=row.schema_version,
        )
        for row in rows
    }


def chain_winners(connection: Connection, challenge_ids: Iterable[int]) -> set[tuple[int, str]]:
    """The indexed winners on chain of these challenges."""
    rows = connection.execute(
        text("""
            select challenge_id, subject from pipeline.chain_winners
             where challenge_id = any(cast(:challenge_ids as bigint[]))
        """),
        {"challenge_ids": sorted(set(challenge_ids))},
    )
    return {(row.challenge_id, row.subject) for row in rows}


def passing(
    connection: Connection, challenge_ids: Sequence[int], *, undecided: bool = False
) -> set[tuple[int, str]]:
    """Stakers with a passing verdict in those of the challenges that no ranking decides.

    ``undecided``: those of which nobody can say yet whether they win. An earlier worker wrote the
    verdict and it was not judged since, or the rule cannot be read (then in any mode).
    """
    rows = connection.execute(
        text(sql.load("money/passing")),
        {"challenge_ids": list(challenge_ids), "undecided": undecided},
    )
    return {(row.challenge_id, row.subject) for row in rows}


def stakers(connection: Connection, challenge_ids: Sequence[int]) -> set[tuple[int, str]]:
    """The wallets with stake in these challenges."""
    rows = connection.execute(
        text("""
            select challenge_id, subject from pipeline.stakes
             where challenge_id = any(cast(:challenge_ids as bigint[])) and amount_wei > 0
        """),
        {"challenge_ids": list(challenge_ids)},
    )
    return {(row.challenge_id, row.subject) for row in rows}


def ended(connection: Connection, chain_now_ts: int) -> list[Ended]:
    """Challenges that ``finalize`` is open for."""
    rows = connection.execute(text(sql.load("money/ended")), {"chain_now_ts": chain_now_ts})
    return [Ended(**row) for row in rows.mappings()]


def indexed_to(connection: Connection) -> int:
    """The block up to which events are in the tables; -1 before anything is indexed."""
    return connection.execute(
        text("""
            select coalesce(min(block_number), -1) from pipeline.checkpoints where stream = 'live'
        """)
    ).scalar_one()


def untold(connection: Connection) -> list[Untold]:
    """What ``challenges.proof`` does not say rightly about what was mined lately, or unmined."""
    rows = connection.execute(text(sql.load("money/untold")))
    return [Untold(row.challenge_id, row.patch, bool(row.proofs)) for row in rows]


def lock_telling(connection: Connection) -> None:
    """Be the only one who reads and writes what is untold, until the transaction ends."""
    connection.execute(text("select pg_advisory_xact_lock(hashtextextended('telling', 0))"))


def note_undone(connection: Connection, challenge_id: int, error: str) -> None:
    """Take ``finalizationSuccess`` back where it was noted.

    Not where the index or a transaction of ours says otherwise: the node that was asked is behind.
    """
    connection.execute(
        text("""
            update public.challenges
               set proof = proof || jsonb_build_object(
                       'finalizationSuccess', false, 'finalizeTxHash', null,
                       'lastFinalizationError', cast(:error as text)),
                   updated_at = now()
             where id = :challenge_id
               and jsonb_typeof(proof) = 'object'
               and proof ->> 'finalizationSuccess' = 'true'
               and not exists (select from pipeline.chain_challenges k
                                where k.challenge_id = :challenge_id and k.status = 'Finalized')
               and not exists (select from pipeline.intents i
                                where i.challenge_id = :challenge_id and i.kind = 'finalize'
                                  and i.status in ('mined', 'confirmed'))
        """),
        {"challenge_id": challenge_id, "error": error},
    )


def retry_proof(connection: Connection, challenge_id: int, subject: str) -> None:
    """Let a proof that was put off be tried at once: its binding has been written."""
    connection.execute(
        text("""
            update pipeline.intents set retry_at = null
             where challenge_id = :challenge_id and kind = 'proof' and subject = :subject
               and status in ('planned', 'refused') and retry_at > now()
        """),
        {"challenge_id": challenge_id, "subject": subject},
    )


def withdraw_batches(
    connection: Connection, keys: Sequence[str], *, older_than_s: float | None = None
) -> None:
    """Forget batches of proofs that were never signed: these ``keys``, or those left for so long.

    Their proofs go out in other batches, or alone.
    """
    connection.execute(
        text("""
            delete from pipeline.intents i
             where i.kind = 'proof' and i.subject is null and i.status in ('planned', 'refused')
               and (i.key = any(cast(:keys as text[]))
                    or i.updated_at < now()
                        - make_interval(secs => cast(:older_than_s as double precision)))
               and not exists (select from pipeline.transactions t where t.intent_key = i.key)
        """),
        {"keys": list(keys), "older_than_s": older_than_s},
    )
