"""Take uploads from the inbox folder: each becomes evidence, or is set aside with a reason."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.providers import inbox as uploads
from lightchallenge_dagster.providers.errors import UploadError
from lightchallenge_dagster.rules.evidence import evidence_hash
from lightchallenge_dagster.storage import evidence

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader
    from pathlib import Path

    from sqlalchemy import Engine

    from lightchallenge_dagster.providers.inbox import Upload

DONE, REJECTED = "done", "rejected"


@dataclass(frozen=True, slots=True)
class IntakeReport:
    """What became of the files.

    ``stored``, ``unchanged`` and ``rejected`` (name, reason) add up to ``files``. ``records``:
    records stored. ``skipped``: entries of accepted files that were left out, by reason.
    ``challenges`` and ``partitions`` (their days, or ``unscheduled``) have new evidence.
    """

    files: int
    stored: int
    unchanged: int
    records: int
    rejected: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    skipped: dict[str, int] = field(default_factory=dict[str, int])
    challenges: list[int] = field(default_factory=list[int])
    partitions: list[str] = field(default_factory=list[str])


def waiting(inbox: Path) -> int:
    """How many files can be taken now; looks at the folder only."""
    return len(uploads.ready(inbox))


def take_in(
    engine: Engine, inbox: Path, now: datetime, heartbeat: Callable[[], None] | None = None
) -> IntakeReport:
    """Take every file that has arrived.

    A file's evidence, its participant and its line in ``pipeline.inbox_files`` are one transaction;
    then it moves to ``done``. After a crash in between it is taken again and found unchanged. A
    file that cannot become evidence is noted and moves to ``rejected``. Evidence is dated by the
    file's arrival, so that a batch keeps its order. ``heartbeat`` is called every 15 seconds.
    Raises ``PermanentError``, after all files, when one could not be moved: it would be taken for
    ever.
    """
    beat = _every(15.0, heartbeat)
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    rejected: list[tuple[str, str]] = []
    challenges: set[int] = set()
    stuck: list[str] = []
    for path in uploads.ready(inbox):
        beat()
        name = uploads.readable(path.name)
        try:
            taken = _take(engine, path, name, now, beat)
        except FileNotFoundError:
            continue  # somebody else took it
        counts["files"] += 1
        reason = taken if isinstance(taken, str) else None
        if isinstance(taken, str):
            rejected.append((name, taken))
        else:
            upload, outcome = taken
            counts[outcome] += 1
            skipped.update(upload.skipped)
            if outcome == "stored":
                counts["records"] += len(upload.records)
                challenges.add(upload.routing.challenge_id)
        try:
            uploads.move(path, inbox / (DONE if reason is None else REJECTED), reason)
        except OSError as error:
            stuck.append(f"{name} ({error.strerror})")
    if stuck:
        raise PermanentError(
            f"{len(stuck)} files could not be moved out of the inbox: {'; '.join(stuck[:5])}; "
            "make the folder writable for this process"
        )
    with engine.connect() as connection:
        partitions = evidence.partitions(connection, challenges)
    return IntakeReport(
        files=counts["files"],
        stored=counts["stored"],
        unchanged=counts["unchanged"],
        records=counts["records"],
        rejected=rejected,
        skipped=dict(skipped),
        challenges=sorted(challenges),
        partitions=partitions,
    )


def _take(
    engine: Engine, path: Path, name: str, now: datetime, beat: Callable[[], None]
) -> tuple[Upload, str] | str:
    """The upload and "stored" or "unchanged"; or the reason why it was rejected."""

    def window_of(challenge_id: int) -> tuple[int, int] | None:
        with engine.connect() as connection:
            return evidence.challenge_window(connection, challenge_id)

    sha256, size, upload = "", 0, None
    try:
        with uploads.opened(path) as file:
            sha256, size = _fingerprint(file)
            upload = uploads.read_upload(file, name, window_of, beat)
        return upload, _store(engine, path, name, upload, sha256, size, now)
    except FileNotFoundError:
        raise
    except (UploadError, DataError, IntegrityError, OSError) as error:
        # What the database refuses about one file, or the disk cannot read of it, must not hold up
        # the others.
        reason = _reason(error)
    routing = upload.routing if upload else None
    with engine.begin() as connection:
        evidence.note_file(
            connection,
            name=name,
            sha256=sha256,
            size_bytes=size,
            outcome="rejected",
            reason=reason,
            taken_at=now,
            challenge_id=routing.challenge_id if routing else None,
            subject=routing.subject if routing else None,
            provider=routing.provider if routing else None,
        )
    return reason


def _reason(error: UploadError | DBAPIError | OSError) -> str:
    if isinstance(error, UploadError):
        return str(error)
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror}; put it into the inbox again"
    # The database's message may quote the file, so it is not repeated; a constraint's name is ours.
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if constraint:
        return f"the database refuses it by {constraint}; is there such a challenge?"
    return "the database cannot hold a value in it"


def _store(
    engine: Engine, path: Path, name: str, upload: Upload, sha256: str, size: int, now: datetime
) -> str:
    routing = upload.routing
    arrived = datetime.fromtimestamp(path.lstat().st_ctime, UTC)
    with engine.begin() as connection:
        result = evidence.store(
            connection,
            challenge_id=routing.challenge_id,
            subject=routing.subject,
            provider=routing.provider,
            records=upload.records,
            evidence_hash=evidence_hash(upload.records),
            raw_ref=f"inbox:{name}#sha256={sha256}",
            at=min(now, arrived),
        )
        outcome = "unchanged" if result == "unchanged" else "stored"
        evidence.note_file(
            connection,
            name=name,
            sha256=sha256,
            size_bytes=size,
            outcome=outcome,
            taken_at=now,
            challenge_id=routing.challenge_id,
            subject=routing.subject,
            provider=routing.provider,
        )
    return outcome


def _every(seconds: float, heartbeat: Callable[[], None] | None) -> Callable[[], None]:
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if heartbeat is not None and time.monotonic() - last >= seconds:
            heartbeat()
            last = time.monotonic()

    return beat


def _fingerprint(file: BufferedReader) -> tuple[str, int]:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = file.tell()
    file.seek(0)
    return digest, size
