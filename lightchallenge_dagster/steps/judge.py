"""Judge: from the latest evidence of each wallet to its verdict."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lightchallenge_dagster.steps.judging import Case, Chunk, Finding, holds_recognised, judges
from lightchallenge_dagster.storage import frames, plans, verdicts
from lightchallenge_dagster.storage.staged_verdicts import Judged, StagedVerdicts, Stored

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from lightchallenge_dagster.storage.verdicts import EvidenceRow, Pending

Wallet = tuple[int, str]

#: Wallets that one process judges at a time.
CHUNK = 250

#: Wallets below which another process costs more than it saves.
WORTH_A_PROCESS = 2_500


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
    processes: int | None = None,
) -> JudgeReport:
    """Judge what is new or changed in a partition, in one transaction.

    ``full`` judges everything again; rows that come out the same are not written. A settled verdict
    (a binding or proof was ordered, the wallet is bound or won, its ranking closed) is not changed,
    unless ``overwrite_settled`` says so; the outcome of a closed ranking stands even then. Much
    evidence is judged by several ``processes``, as many as there are cores unless told.
    """
    with engine.begin() as connection:
        frames.roomy(connection)
        verdicts.lock(connection, partition)
        found = verdicts.pending(connection, partition_key=partition, everything=full)
        counts, stored = judge_wallets(
            connection,
            found,
            chain_now,
            overwrite_settled=overwrite_settled,
            processes=_processes(len(found)) if processes is None else processes,
        )
    return JudgeReport(
        partition=partition,
        read=counts["read"],
        judged=counts["judged"],
        inserted=stored.inserted,
        changed=stored.changed,
        unchanged=stored.unchanged,
        frozen=stored.settled,
        passed=counts["passed"],
        failed=counts["judged"] - counts["passed"],
        final=counts["final"],
    )


def judge_wallets(
    connection: Connection,
    wallets: Sequence[Pending],
    chain_now: datetime,
    *,
    overwrite_settled: bool = False,
    processes: int = 1,
) -> tuple[Counter[str], Stored]:
    """Judge these wallets from the evidence rows they name, and store what came of it.

    Counts evidence rows ``read``, wallets ``judged``, and of those ``passed`` and ``final``. What
    is in memory does not grow with the wallets.
    """
    counts: Counter[str] = Counter()
    if not wallets:
        return counts, Stored()
    staged = StagedVerdicts(connection)
    with judges(processes) as judged_by:
        for chunk, findings in judged_by(_chunks(connection, wallets, chain_now)):
            rows = _judged(connection, chunk, findings)
            staged.add(rows)
            counts["read"] += sum(len(case.evidence) for case in chunk.cases)
            counts["judged"] += len(rows)
            counts["passed"] += sum(finding.passed for finding in findings)
            counts["final"] += sum(finding.final for finding in findings)
    return counts, staged.store(overwrite_settled=overwrite_settled)


def _processes(wallets: int) -> int:
    """As many as pay for their start, which takes about as long as judging a few thousand."""
    return max(1, min(os.cpu_count() or 1, wallets // WORTH_A_PROCESS))


def _chunks(
    connection: Connection, wallets: Sequence[Pending], chain_now: datetime
) -> Iterator[Chunk]:
    """Wallets with their evidence and their challenges' rules; those whose evidence is there."""
    for start in range(0, len(wallets), CHUNK):
        some = wallets[start : start + CHUNK]
        ids = [evidence_id for wallet in some for evidence_id in wallet.evidence_ids]
        rows: dict[Wallet, list[EvidenceRow]] = {}
        for row in verdicts.evidence(connection, ids):
            rows.setdefault((row.challenge_id, row.subject), []).append(row)
        # Deleted since the list was made: there is nothing left to judge.
        cases = [
            Case(wallet, evidence)
            for wallet in some
            if (evidence := rows.get((wallet.challenge_id, wallet.subject)))
        ]
        known = plans.configurations(connection, (wallet.challenge_id for wallet in some))
        yield Chunk(cases, known, chain_now)


def _judged(connection: Connection, chunk: Chunk, findings: Sequence[Finding]) -> list[Judged]:
    submitted = _submissions(connection, chunk, findings)
    rows: list[Judged] = []
    for case, finding in zip(chunk.cases, findings, strict=True):
        wallet = case.wallet
        # Deleted while it was judged: there is nothing left to stand for the verdict.
        if (wallet.challenge_id, wallet.subject) not in submitted:
            continue
        first, submitted_at = submitted[wallet.challenge_id, wallet.subject]
        rows.append(
            Judged(
                challenge_id=wallet.challenge_id,
                subject=wallet.subject,
                passed=finding.passed,
                reasons=finding.reasons,
                evidence_hash=finding.evidence_hash,
                evaluator=finding.evaluator,
                score=finding.score,
                metadata=finding.metadata,
                created_at=submitted_at or first,
                submitted_at=submitted_at,
                inputs_hash=wallet.inputs_hash,
                final_when=finding.final_when,
            )
        )
    return rows


def _submissions(
    connection: Connection, chunk: Chunk, findings: Sequence[Finding]
) -> dict[Wallet, tuple[datetime, datetime | None]]:
    """When each wallet first sent anything, and when first a recognised record (None: not yet).

    Looks at a wallet's rows from the oldest on, all wallets at once, and stops at the first that
    holds one; usually that is the very first, and among those just judged.
    """
    found: dict[Wallet, tuple[datetime, datetime | None]] = {}
    unknown: list[Wallet] = []
    recognised: dict[int, bool] = {}
    for case, finding in zip(chunk.cases, findings, strict=True):
        key = (case.wallet.challenge_id, case.wallet.subject)
        recognised |= {row.id: row.id in finding.recognised for row in case.evidence}
        if case.wallet.submitted_at is None:
            unknown.append(key)
        else:
            found[key] = (case.wallet.submitted_at, case.wallet.submitted_at)
    histories = verdicts.history(connection, unknown) if unknown else {}
    for key, history in histories.items():
        found[key] = (history[0][1], None)
    turn = 0
    while histories:
        missing = [
            history[turn][0] for history in histories.values() if history[turn][0] not in recognised
        ]
        for row in verdicts.evidence(connection, missing) if missing else ():
            recognised[row.id] = holds_recognised(row)
        for key, history in list(histories.items()):
            row_id, created_at = history[turn]
            if recognised.get(row_id, False):
                found[key] = (found[key][0], created_at)
                del histories[key]
            elif turn + 1 == len(history):
                del histories[key]
        turn += 1
    return found
