"""Reads what the tables say about one challenge and its wallets, for whoever explains it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.rules.evaluation import Evidence
from lightchallenge_dagster.rules.placement import Placed
from lightchallenge_dagster.rules.reward import Claim
from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class ChallengeRow:
    """A challenge as a whole; None where the row it would come from is not there.

    ``chain_outcome`` is the public table's, ``indexed_outcome`` the chain projection's.
    ``currency`` 0 is LCAI, 1 an ERC-20 ``token``. ``indexed_at`` is the time of ``indexed_block``.
    """

    challenge_id: int
    title: str | None
    status: str | None
    chain_outcome: int | None
    creator: str | None
    chain_status: str | None
    indexed_outcome: int | None
    currency: int | None
    token: str | None
    ranking_closes_at: datetime | None
    ranking_state: str | None
    ranked: int | None
    winners: int | None
    ranking_problem: str | None
    closed_at: datetime | None
    job_status: str | None
    job_attempts: int | None
    job_error: str | None
    request_id: Decimal | None
    request_status: str | None
    finalize_status: str | None
    finalize_error: str | None
    indexed_block: int | None
    indexed_at: datetime | None


@dataclass(frozen=True, slots=True)
class WalletRow:
    """A wallet in a challenge; None where it has no such row.

    ``passed`` is the verdict as it stands (in a closed ranking its outcome), ``own_pass`` what the
    evidence showed. ``metadata`` is filled when one wallet is asked for. ``waiting_wei`` was
    granted and not seen leaving the Treasury.
    """

    subject: str
    stake_wei: Decimal | None
    joined_at: datetime | None
    stake_tx: str | None
    participant_source: str | None
    evidence_rows: int
    providers: list[str] | None
    passed: bool | None
    score: Decimal | None
    reasons: list[str] | None
    evaluator: str | None
    evidence_hash: str | None
    metadata: Any
    verdict_created_at: datetime | None
    judged_at: datetime | None
    own_pass: bool | None
    final_when: str | None
    submitted_at: datetime | None
    rank: int | None
    ranked_score: Decimal | None
    winner: bool | None
    tie_break_at: datetime | None
    top_n: int | None
    bound_request: Decimal | None
    binding_tx: str | None
    winner_tx: str | None
    chain_winner: bool
    waiting_wei: Decimal | None


@dataclass(frozen=True, slots=True)
class Submission:
    """One row of evidence without its data; ``records`` is None where the data is no list."""

    id: int
    provider: str
    evidence_hash: str
    created_at: datetime
    records: int | None


@dataclass(frozen=True, slots=True)
class Order:
    """What was ordered for a wallet (``bind``, ``clear``, ``proof``), and the last one sent."""

    kind: str
    status: str
    last_error: str | None
    tx_hash: str | None
    block_number: int | None


@contextmanager
def snapshot(engine: Engine) -> Generator[Connection]:
    """A read-only connection to which all tables stand still at one moment."""
    with engine.connect() as connection:
        connection = connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        yield connection


def challenge(connection: Connection, challenge_id: int) -> ChallengeRow | None:
    """The challenge, or None when ``public.challenges`` does not have it."""
    row = connection.execute(
        text(sql.load("explain/challenge")), {"challenge_id": challenge_id}
    ).one_or_none()
    return None if row is None else ChallengeRow(*row)


def wallets(
    connection: Connection, challenge_id: int, subject: str | None = None
) -> list[WalletRow]:
    """Everybody in the challenge, by rank, stake and wallet; or the one ``subject`` (lowercase)."""
    rows = connection.execute(
        text(sql.load("explain/wallets")), {"challenge_id": challenge_id, "subject": subject}
    )
    return [WalletRow(*row) for row in rows]


def claims(
    connection: Connection, challenge_id: int, subject: str | None = None
) -> dict[str, list[Claim]]:
    """The claims of a challenge by wallet, oldest first; or those of the one ``subject``."""
    rows = connection.execute(
        text(sql.load("explain/claims")), {"challenge_id": challenge_id, "subject": subject}
    )
    found: dict[str, list[Claim]] = {}
    for row in rows:
        claim = Claim(row.claim_type, int(row.amount_wei), row.tx_hash, row.source, row.claimed_at)
        found.setdefault(row.subject, []).append(claim)
    return found


def submissions(connection: Connection, challenge_id: int, subject: str) -> list[Submission]:
    """Every submission of a wallet, newest first."""
    rows = connection.execute(
        text(sql.load("explain/evidence")), {"challenge_id": challenge_id, "subject": subject}
    )
    return [Submission(*row) for row in rows]


def evidence(connection: Connection, ids: Iterable[int]) -> dict[int, Evidence]:
    """The submissions themselves, by id."""
    rows = connection.execute(text(sql.load("explain/records")), {"ids": list(ids)})
    return {
        row.id: Evidence(row.provider, row.data, row.evidence_hash, row.created_at) for row in rows
    }


def neighbours(connection: Connection, challenge_id: int, rank: int) -> list[Placed]:
    """Who ranks at ``rank``, just above and below it, and who is the last to win."""
    rows = connection.execute(
        text(sql.load("explain/neighbours")), {"challenge_id": challenge_id, "rank": rank}
    )
    return [Placed(*row) for row in rows]


def orders(connection: Connection, challenge_id: int, subject: str) -> list[Order]:
    """What was ordered on chain for a wallet, oldest first."""
    rows = connection.execute(
        text(sql.load("explain/intents")), {"challenge_id": challenge_id, "subject": subject}
    )
    return [Order(*row) for row in rows]
