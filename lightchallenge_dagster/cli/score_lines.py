"""Lines with a wallet's score, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import polars as pl

from lightchallenge_dagster.cli.json_lines import BadLine, encoded
from lightchallenge_dagster.rules.evaluation.parsing import quoted
from lightchallenge_dagster.rules.evaluation.times import bound
from lightchallenge_dagster.rules.ranking import rank


@dataclass(frozen=True, slots=True)
class Entry:
    """One wallet to rank: ``fields`` are the line's own; ``created_at`` is aware UTC."""

    challenge_id: int
    subject: str
    score: Decimal | None
    created_at: datetime
    fields: dict[str, Any]


class Reader:
    """Makes entries of lines, and remembers whom it has seen."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, str], int] = {}

    def entry(self, number: int, line: dict[str, Any]) -> Entry:
        """The entry of one line. Raises ``BadLine``, also for a wallet that was there before."""
        entry = Entry(
            challenge_id=_challenge_id(line),
            subject=_subject(line),
            score=_score(line),
            created_at=_created_at(line),
            fields=line,
        )
        if field := _holds_no_number(line):
            raise BadLine(f"{field} holds NaN or Infinity, which JSON does not have; leave it out")
        encoded(line)  # what cannot be written out must not be ranked
        key = (entry.challenge_id, entry.subject)
        if first := self._first.get(key):
            raise BadLine(
                f"subject {entry.subject} is in challenge {entry.challenge_id} twice, first on "
                f"line {first}; leave one of them out"
            )
        self._first[key] = number
        return entry


def ranked(entries: Sequence[Entry], top_n: int) -> Iterator[dict[str, Any]]:
    """The fields of ``entries`` with ``rank`` and ``winner``, by challenge and rank."""
    if not entries:
        return
    places = _places(entry.score for entry in entries)
    frame = pl.DataFrame(
        {
            "line": range(len(entries)),
            "challenge_id": [entry.challenge_id for entry in entries],
            "subject": [entry.subject for entry in entries],
            "score": [None if entry.score is None else places[entry.score] for entry in entries],
            "created_at": [entry.created_at for entry in entries],
            "top_n": [top_n] * len(entries),
        },
        schema={
            "line": pl.Int64,
            "challenge_id": pl.Int64,
            "subject": pl.String,
            "score": pl.Int64,
            "created_at": pl.Datetime("us", "UTC"),
            "top_n": pl.Int64,
        },
    )
    for row in rank(frame).iter_rows(named=True):
        entry = entries[int(row["line"])]
        yield {
            **entry.fields,
            "subject": entry.subject,
            "rank": row["rank"],
            "winner": row["winner"],
        }


def _places(scores: Iterable[Decimal | None]) -> dict[Decimal, int]:
    """A whole number for each score, of the same order and sign.

    Any decimal can be compared, but no column holds them all exactly.
    """
    known = sorted({score for score in scores if score is not None})
    first_positive = sum(score <= 0 for score in known)
    return {score: place - first_positive + 1 for place, score in enumerate(known)}


def _challenge_id(line: dict[str, Any]) -> int:
    value = line.get("challenge_id")
    if isinstance(value, int) and not isinstance(value, bool):
        if -(2**63) <= value < 2**63:
            return value
        how = f"numbers of challenges are below {2**63}"
        raise _bad("challenge_id", value, "is out of range", how)
    raise _bad("challenge_id", value, "is not a whole number", "give the number of the challenge")


def _subject(line: dict[str, Any]) -> str:
    value = line.get("subject")
    if isinstance(value, str) and value.strip():
        return value.lower()
    raise _bad("subject", value, "is not a wallet", "give its address as text")


def _score(line: dict[str, Any]) -> Decimal | None:
    value = line.get("score")
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, Decimal):
        if value.is_finite():
            return value
        raise BadLine(f"score {value} is not a finite number; give the number, or null for none")
    how = "write it without quotes" if isinstance(value, str) else "give a number, or null for none"
    raise _bad("score", value, "is not a number", how)


def _created_at(line: dict[str, Any]) -> datetime:
    value = line.get("created_at")
    moment = bound(value, UTC, last=False)
    if moment is None:
        how = "give ISO text such as 2026-03-02T08:00:00Z, or epoch seconds or milliseconds"
        raise _bad("created_at", value, "is no time", how)
    return moment


def _holds_no_number(line: dict[str, Any]) -> str | None:
    """The first field that holds NaN or Infinity somewhere; None when none does."""
    for name, value in line.items():
        todo = [value]
        while todo:
            part = todo.pop()
            if isinstance(part, Decimal) and not part.is_finite():
                return name
            if isinstance(part, dict):
                todo += cast("dict[str, Any]", part).values()
            elif isinstance(part, list):
                todo += cast("list[Any]", part)
    return None


def _bad(field: str, value: object, wrong: str, remedy: str) -> Exception:
    if value is None:
        return BadLine(f"{field} is missing; {remedy}")
    return BadLine(f"{field} {quoted(value)} {wrong}; {remedy}")
