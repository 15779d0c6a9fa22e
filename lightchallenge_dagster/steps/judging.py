"""Judging wallets' evidence, in this process or in several: plain values in, plain values out."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.rules.challenge import parse_sources
from lightchallenge_dagster.rules.evaluation import (
    Evidence,
    FinalWhen,
    evaluate,
    holds_recognised_record,
    is_final,
)
from lightchallenge_dagster.steps.plan import configuration
from lightchallenge_dagster.storage.database import json_value

if TYPE_CHECKING:
    from lightchallenge_dagster.storage.plans import Configuration
    from lightchallenge_dagster.storage.verdicts import EvidenceRow, Pending

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Case:
    """A wallet of a challenge and the latest evidence of each of its providers."""

    wallet: Pending
    evidence: Sequence[EvidenceRow]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Cases to judge together, with the rows that their challenges' rules are read from."""

    cases: Sequence[Case]
    configurations: Sequence[Configuration]
    chain_now: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found on one case: a verdict, its metadata as JSON.

    ``final``: the pass can no longer be undone. ``recognised`` are the ids of those of the case's
    evidence rows that hold a recognised record.
    """

    passed: bool
    score: Decimal | None
    reasons: tuple[str, ...]
    evaluator: str
    evidence_hash: str
    metadata: bytes
    final_when: FinalWhen
    final: bool
    recognised: frozenset[int]


class Judges(Protocol):
    """Whoever judges chunks."""

    def __call__(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[Finding]]]:
        """Judge them in order. Takes the next chunk only when there is room for it."""
        ...


def judge_chunk(chunk: Chunk) -> list[Finding]:
    """Judge every case of a chunk, in order; never raises for what evidence or rules say."""
    configs = {
        row.challenge_id: (configuration(row), parse_sources(row.sources))
        for row in chunk.configurations
    }
    findings: list[Finding] = []
    for case in chunk.cases:
        config, sources = configs.get(case.wallet.challenge_id, (None, ()))
        evidence = [
            Evidence(row.provider, _records(row.data), row.evidence_hash, row.created_at)
            for row in case.evidence
        ]
        verdict = evaluate(evidence, config, accepted_sources=sources)
        recognised = frozenset(
            row.id
            for row, read in zip(case.evidence, evidence, strict=True)
            if case.wallet.submitted_at is None
            and holds_recognised_record(read.provider, read.records)
        )
        findings.append(
            Finding(
                passed=verdict.passed,
                score=verdict.score,
                reasons=verdict.reasons,
                evaluator=verdict.evaluator,
                evidence_hash=verdict.evidence_hash,
                metadata=_encode(verdict.metadata),
                final_when=verdict.final_when,
                final=verdict.passed and is_final(verdict, config, chunk.chain_now),
                recognised=recognised,
            )
        )
    return findings


def holds_recognised(row: EvidenceRow) -> bool:
    """Whether an evidence row holds a recognised record."""
    return holds_recognised_record(row.provider, _records(row.data))


@contextmanager
def judges(processes: int) -> Generator[Judges]:
    """Judges for a while: this process itself, or a pool of ``processes``.

    Workers are new interpreters, because forking a process with threads and open connections is
    not safe; they hold nothing but the chunks they are given. Raises ``TransientError`` when one
    of them dies, which leaves the caller's transaction to be rolled back.
    """
    if processes <= 1:
        yield _judge_here
        return
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _end_with_parent)
    try:
        yield lambda chunks: _judge_in(pool, chunks, 2 * processes)
    except BaseException as error:
        # Killed, not asked to end: where a shell had interrupts ignored they would ignore that.
        for worker in multiprocessing.active_children():
            if worker not in others:
                worker.kill()
        if not isinstance(error, BrokenProcessPool):
            raise
        raise TransientError(
            "a judging process died; nothing was stored, and the next run judges again. If it "
            "keeps dying, look for the kernel's out-of-memory killer"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Have this process end when the one that started it does, also when that one is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _judge_here(chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[Finding]]]:
    for chunk in chunks:
        yield chunk, judge_chunk(chunk)


def _judge_in(
    pool: ProcessPoolExecutor, chunks: Iterable[Chunk], most: int
) -> Iterator[tuple[Chunk, list[Finding]]]:
    waiting: deque[tuple[Chunk, Future[list[Finding]]]] = deque()
    for chunk in chunks:
        waiting.append((chunk, _submit(pool, chunk)))
        if len(waiting) >= most:
            first, finding = waiting.popleft()
            yield first, finding.result()
    for chunk, finding in waiting:
        yield chunk, finding.result()


def _submit(pool: ProcessPoolExecutor, chunk: Chunk) -> Future[list[Finding]]:
    try:
        return pool.submit(judge_chunk, chunk)
    except OSError as error:
        # A worker that dies while another one is being started closes the pool's pipes under it.
        raise BrokenProcessPool(f"no judging process could be started: {error}") from error


def _records(data: str) -> Any:
    """What the ``jsonb`` text holds; the quick parser first, which refuses some absurd numbers."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError):
        return json_value(data)
