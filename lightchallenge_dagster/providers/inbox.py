"""The folder that uploads arrive in.

The contract with the one who writes (the web app, a person, a script):

- Write under a temporary name (a leading dot, or ending in ``.part`` or ``.tmp``) or elsewhere on
  the same file system, then rename into the folder. A rename is atomic, so no half file is read.
  What is written in place is left alone until it has not changed for a second.
- ``<challenge id>__<wallet>__<provider>.<zip|xml|json>``, and anything unique after a further
  ``__``: ``42__0xab…__apple__20260102.zip``. A ``.zip`` or ``.xml`` is an Apple Health export; a
  ``.json`` is a list of canonical records.
- Or a ``.json`` of any name that says itself where it belongs:
  ``{"challenge_id": 42, "subject": "0xab…", "provider": "strava", "records": [ … ]}``.
- What was taken moves to ``done/``, what cannot be taken to ``rejected/`` with the reason beside it
  in ``<name>.reason.txt``. Folders are left alone.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from lightchallenge_dagster.providers import apple_health
from lightchallenge_dagster.providers.canonical import MAX_JSON_BYTES, as_records, parse_json
from lightchallenge_dagster.providers.errors import UploadError

if TYPE_CHECKING:
    from collections.abc import Generator
    from io import BufferedReader

    from lightchallenge_dagster.providers.collector import Record

MAX_FILE_BYTES = 2 * 2**30

PROVIDERS = frozenset(
    {
        *("apple", "apple_health", "strava", "garmin", "fitbit", "googlefit"),
        *("opendota", "riot", "steam", "faceit"),
        "manual",
    }
)
"""Whose evidence the judge knows (RULES.md, "Which evidence")."""

_TEMPORARY = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".swp", "~")
_SETTLED_S = 1.0
_EMPTY_SETTLED_S = 60.0
_MAX_NAME_BYTES = 240
_WALLET = re.compile(r"0x[0-9a-fA-F]{40}")
_NOBODY = "0x" + "0" * 40
_MAX_ID = 2**63 - 1

WindowOf = Callable[[int], "apple_health.Window | None"]


@dataclass(frozen=True, slots=True)
class Routing:
    """Which challenge, whose wallet (lowercase), which provider."""

    challenge_id: int
    subject: str
    provider: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A file's content as evidence; ``skipped`` counts entries left out, by reason."""

    routing: Routing
    records: list[Record]
    skipped: dict[str, int]


def ready(inbox: Path) -> list[Path]:
    """Files that have arrived completely, in the order of their arrival. No folder: no files."""
    now = time.time()
    found: list[tuple[int, str, Path]] = []
    try:
        with os.scandir(inbox) as entries:
            for entry in entries:
                if entry.name.startswith((".", "~")) or entry.name.lower().endswith(_TEMPORARY):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISDIR(status.st_mode) and _settled(status, now):
                    found.append((status.st_ctime_ns, entry.name, Path(entry.path)))
    except FileNotFoundError:
        return []
    return [path for _, _, path in sorted(found)]


@contextmanager
def opened(path: Path) -> Generator[BufferedReader]:
    """The file at ``path`` itself, for reading.

    Raises ``UploadError`` for a link, a pipe or an unreadable file, ``FileNotFoundError`` when it
    is gone.
    """
    try:
        # O_NONBLOCK: opening a pipe would wait for its writer for ever.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UploadError("it is a symbolic link; send the file itself") from error
        raise UploadError(f"it cannot be opened: {error.strerror}") from error
    with os.fdopen(number, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UploadError("it is no regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise UploadError(f"it is larger than {MAX_FILE_BYTES // 2**30} GiB")
        if status.st_size == 0:
            raise UploadError("it is empty")
        yield file


def read_upload(
    file: IO[bytes], name: str, window_of: WindowOf, beat: Callable[[], None] | None = None
) -> Upload:
    """The records in ``file`` and where they belong, by its name and content.

    ``window_of`` tells the time of a challenge, where it is known: entries of an export outside it
    cannot count and are not kept. Raises ``UploadError`` with a reason for the uploader.
    """
    stem, _, extension = name.rpartition(".")
    extension = extension.lower()
    routing = _routing_of(stem)
    if extension == "json":
        return _read_json(file, routing)
    if extension not in {"zip", "xml"}:
        raise UploadError("its kind is not known; send an Apple Health .zip or a .json of records")
    if routing is None:
        raise UploadError(
            "its name does not say where it belongs; "
            "expected <challenge id>__<wallet>__<provider>.zip"
        )
    if routing.provider != "apple":
        raise UploadError(
            f"a .{extension} of {routing.provider} cannot be read; only Apple Health's can, "
            f"others come as .json of canonical records"
        )
    window = window_of(routing.challenge_id)
    read = apple_health.read_zip if extension == "zip" else apple_health.read_xml
    export = read(file, window, beat)
    if not export.records:
        during = " during the challenge" if window else ""
        raise UploadError(
            f"the export holds no steps, distance, energy, exercise or workout{during}; "
            f"left out: {_in_words(export.skipped)}"
        )
    return Upload(routing, export.records, export.skipped)


def move(path: Path, folder: Path, reason: str | None = None) -> Path | None:
    """Move an upload into ``folder`` under a free name, with its reason beside it.

    None when somebody else moved it before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = _free(folder, path.name)
    if reason is not None:
        # First, so that a rejected file is never without one.
        (folder / f"{target.name}.reason.txt").write_text(reason + "\n", encoding="utf-8")
    try:
        path.rename(target)
    except FileNotFoundError:
        if reason is not None:
            (folder / f"{target.name}.reason.txt").unlink(missing_ok=True)
        return None
    return target


def readable(name: str) -> str:
    """A file's name as text that a database and a log can hold."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _settled(status: os.stat_result, now: float) -> bool:
    age = now - status.st_mtime
    # A time in the future says nothing; the file would wait for it for ever.
    return age < -_SETTLED_S or age >= (_SETTLED_S if status.st_size else _EMPTY_SETTLED_S)


def _routing_of(stem: str) -> Routing | None:
    parts = stem.split("__")
    if len(parts) < 3:
        return None
    return _routing(parts[0], parts[1], parts[2], "its name")


def _routing(challenge_id: object, subject: object, provider: object, where: str) -> Routing:
    if isinstance(challenge_id, str) and challenge_id.isascii() and challenge_id.isdigit():
        challenge_id = int(challenge_id) if len(challenge_id) <= 20 else -1
    if (
        not isinstance(challenge_id, int)
        or isinstance(challenge_id, bool)
        or not 0 <= challenge_id <= _MAX_ID
    ):
        raise UploadError(f"{where} has no challenge id; expected a number from 0 to 2^63-1")
    if not isinstance(subject, str) or not _WALLET.fullmatch(subject):
        raise UploadError(f"{where} has no wallet; expected 0x and 40 hexadecimal digits")
    if subject == _NOBODY:
        raise UploadError(f"{where} names the zero address, which is nobody's wallet")
    name = provider.lower() if isinstance(provider, str) else ""
    if name not in PROVIDERS:
        known = " ".join(sorted(PROVIDERS))
        raise UploadError(f"{where} has no provider that is known; expected one of {known}")
    # One source under two names would have two latest rows.
    return Routing(challenge_id, subject.lower(), "apple" if name == "apple_health" else name)


def _read_json(file: IO[bytes], named: Routing | None) -> Upload:
    value = parse_json(file.read(MAX_JSON_BYTES + 1))
    if isinstance(value, dict):
        envelope = cast("dict[str, Any]", value)
        routing = _routing(
            envelope.get("challenge_id"),
            envelope.get("subject"),
            envelope.get("provider"),
            "the JSON",
        )
        if named is not None and named != routing:
            raise UploadError("its name and its content disagree on where it belongs")
        return Upload(routing, as_records(envelope.get("records")), {})
    if named is None:
        raise UploadError(
            "it does not say where it belongs; expected a name like "
            "<challenge id>__<wallet>__<provider>.json, or an object with challenge_id, subject, "
            "provider and records"
        )
    return Upload(named, as_records(value), {})


def _free(folder: Path, name: str) -> Path:
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    number = 0
    while True:
        ending = (f".{number}" if number else "") + dot + extension[:20]
        room = _MAX_NAME_BYTES - len(os.fsencode(ending))
        candidate = folder / (os.fsdecode(os.fsencode(stem)[:room]) + ending)
        # lexists: a dangling link takes the name as well.
        if not os.path.lexists(candidate):
            return candidate
        number += 1


def _in_words(skipped: dict[str, int]) -> str:
    counted = [f"{count} {reason}" for reason, count in sorted(skipped.items())]
    return ", ".join(counted) or "nothing"
