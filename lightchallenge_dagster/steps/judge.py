"""Judge: from the latest evidence of each wallet to its verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from lightchallenge_dagster.rules.challenge import ChallengeConfig, parse_sources
from lightchallenge_dagster.rules.evaluation import (
    Evidence,
    Verdict,
    evaluate,
    holds_recognised_record,
    is_final,
)
from lightchallenge_dagster.steps.plan import configuration
from lightchallenge_dagster.storage import plans, verdicts

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from lightchallenge_dagster.storage.verdicts import EvidenceRow, Judged, Pending, Stored

Wallet = tuple[int, str]

#: Evidence of this many wallets is in memory at once.
CHUNK = 200


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """What one judgement of a partition did.

    ``read`` evidence rows gave ``judged`` verdicts: ``inserted``, ``changed`` or ``unchanged`` in
    ``public.verdicts``, or ``frozen``: settled, so left alone. Of the judged, ``passed`` pass (and
    ``final`` of those can no longer fail) and ``failed`` do not.
    """

    partition: str
    read: int = 0
    judged: int = 0
    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    frozen: int = 0
    passed: int = 0
    failed: int = 0
    final: int = 0


@dataclass(slots=True)
class _Batch:
    read: int = 0
    passed: int = 0
    final: int = 0
    judged: list[Judged] = field(default_factory=list["verdicts.Judged"])


def pending(engine: Engine) -> dict[str, int]:
    """Wallets to judge, counted by partition; empty when every verdict is up to date."""
    with engine.connect() as connection:
        return dict(Counter(row.partition_key for row in verdicts.pending(connection)))


def judge(
    engine: Engine,
    partition: str,
    chain_now: datetime,
    *,
    full: bool = False,
    overwrite_settled: bool = False,
) -> JudgeReport:
    """Judge what is new or changed in a partition, in one transaction.

    ``full`` judges everything again; rows that come out the same are not written. A settled verdict
    (a binding or proof was ordered, the wallet is bound or won, its ranking closed) is not changed,
    unless ``overwrite_settled`` says so; the outcome of a closed ranking stands even then.
    """
    with engine.begin() as connection:
        verdicts.lock(connection, partition)
        found = verdicts.pending(connection, partition_key=partition, everything=full)
        batch, stored = judge_wallets(
            connection, found, chain_now, overwrite_settled=overwrite_settled
        )
    return JudgeReport(
        partition=partition,
        read=batch.read,
        judged=len(batch.judged),
        inserted=stored.inserted,
        changed=stored.changed,
        unchanged=stored.unchanged,
        frozen=stored.settled,
        passed=batch.passed,
        failed=len(batch.judged) - batch.passed,
        final=batch.final,
    )


def judge_wallets(
    connection: Connection,
    wallets: Sequence[Pending],
    chain_now: datetime,
    *,
    overwrite_settled: bool = False,
) -> tuple[_Batch, Stored]:
    """Judge these wallets from the evidence rows they name, and store what came of it."""
    configs = _configs(connection, wallets)
    batch = _Batch()
    for chunk in _chunks(wallets):
        ids = [evidence_id for wallet in chunk for evidence_id in wallet.evidence_ids]
        rows: dict[Wallet, list[EvidenceRow]] = {}
        for row in verdicts.evidence(connection, ids):
            rows.setdefault((row.challenge_id, row.subject), []).append(row)
        submitted = _submissions(connection, chunk, rows)
        for wallet in chunk:
            key = (wallet.challenge_id, wallet.subject)
            config, sources = configs.get(wallet.challenge_id, (None, ()))
            # Deleted since the list was made: there is nothing left to judge.
            if evidence := rows.get(key):
                verdict = evaluate(
                    [_evidence(row) for row in evidence], config, accepted_sources=sources
                )
                batch.read += len(evidence)
                batch.passed += verdict.passed
                batch.final += verdict.passed and is_final(verdict, config, chain_now)
                batch.judged.append(_judged(wallet, verdict, *submitted[key]))
    return batch, verdicts.store(connection, batch.judged, overwrite_settled=overwrite_settled)


def _configs(
    connection: Connection, wallets: Sequence[Pending]
) -> dict[int, tuple[ChallengeConfig | None, tuple[str, ...]]]:
    known = plans.configurations(connection, (wallet.challenge_id for wallet in wallets))
    return {row.challenge_id: (configuration(row), parse_sources(row.sources)) for row in known}


def _chunks(wallets: Sequence[Pending]) -> Iterator[Sequence[Pending]]:
    for start in range(0, len(wallets), CHUNK):
        yield wallets[start : start + CHUNK]


def _evidence(row: EvidenceRow) -> Evidence:
    return Evidence(row.provider, row.data, row.evidence_hash, row.created_at)


def _judged(
    wallet: Pending, verdict: Verdict, first: datetime, submitted_at: datetime | None
) -> Judged:
    return verdicts.Judged(
        challenge_id=wallet.challenge_id,
        subject=wallet.subject,
        passed=verdict.passed,
        reasons=verdict.reasons,
        evidence_hash=verdict.evidence_hash,
        evaluator=verdict.evaluator,
        score=verdict.score,
        metadata=verdict.metadata,
        created_at=submitted_at or first,
        submitted_at=submitted_at,
        inputs_hash=wallet.inputs_hash,
        final_when=verdict.final_when,
    )


def _submissions(
    connection: Connection, wallets: Sequence[Pending], rows: dict[Wallet, list[EvidenceRow]]
) -> dict[Wallet, tuple[datetime, datetime | None]]:
    """When each wallet first sent anything, and when first a recognised record (None: not yet).

    Looks at a wallet's rows from the oldest on, all wallets at once, and stops at the first that
    holds one; usually that is the very first.
    """
    found: dict[Wallet, tuple[datetime, datetime | None]] = {}
    unknown: dict[Wallet, list[tuple[int, datetime]]] = {}
    for wallet in wallets:
        key = (wallet.challenge_id, wallet.subject)
        if wallet.submitted_at is not None:
            found[key] = (wallet.submitted_at, wallet.submitted_at)
        elif key in rows:
            unknown[key] = []
    if unknown:
        unknown = verdicts.history(connection, list(unknown))
    loaded = {row.id: row for of_wallet in rows.values() for row in of_wallet}
    for key, history in unknown.items():
        found[key] = (history[0][1], None)
    turn = 0
    while unknown:
        missing = [history[turn][0] for history in unknown.values()]
        missing = [row_id for row_id in missing if row_id not in loaded]
        for row in verdicts.evidence(connection, missing) if missing else ():
            loaded[row.id] = row
        for key, history in list(unknown.items()):
            row_id, created_at = history[turn]
            row = loaded.pop(row_id, None)
            if row is not None and holds_recognised_record(row.provider, row.data):
                found[key] = (found[key][0], created_at)
                del unknown[key]
            elif turn + 1 == len(history):
                del unknown[key]
        turn += 1
    return found
