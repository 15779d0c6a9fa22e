"""Canonical records as JSON, as the web app and other tools hand them over.

Only the outside is checked here: that it is JSON a database can keep, a list of objects, and of a
bearable size. What a record means, and whether it is valid, is for the judge (RULES.md).
"""

from __future__ import annotations

import json
import math
from typing import Any, cast

from lightchallenge_dagster.providers import bounded_json
from lightchallenge_dagster.providers.collector import Record
from lightchallenge_dagster.providers.errors import UploadError

MAX_JSON_BYTES = 32 * 2**20
MAX_RECORDS = 100_000

_MAX_DEPTH = 8
_MAX_TEXT = 20_000
_MAX_DIGITS = 30


def parse_json(data: bytes) -> Any:
    """The value of a JSON document in UTF-8.

    Raises ``UploadError`` with the place for what JSON allows and evidence does not: ``NaN`` and
    numbers beyond a double, integers of more than 30 digits, a key given twice.
    """
    if len(data) > MAX_JSON_BYTES:
        raise UploadError(f"the JSON is larger than {MAX_JSON_BYTES // 2**20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UploadError(f"the JSON is not UTF-8 text (byte {error.start})") from error
    try:
        return bounded_json.loads(
            data,
            text,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_float,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise UploadError(
            f"the JSON cannot be read: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from error
    except ValueError as error:
        raise UploadError(f"the JSON is {error}") from error


def as_records(value: object) -> list[Record]:
    """``value`` as a list of records; raises ``UploadError`` naming the place of what is not."""
    if not isinstance(value, list):
        raise UploadError("records is not a list")
    records = cast("list[object]", value)
    if not records:
        raise UploadError("records is empty: there is nothing to judge")
    if len(records) > MAX_RECORDS:
        raise UploadError(f"{len(records)} records are too many; at most {MAX_RECORDS} are taken")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise UploadError(f"records[{index}] is not an object")
        _check(cast("object", record), index)
    return cast("list[Record]", records)


def _check(record: object, index: int) -> None:
    # A loop and not a recursion: the depth is what an uploader controls.
    todo: list[tuple[object, int]] = [(record, 1)]
    while todo:
        value, depth = todo.pop()
        if isinstance(value, str):
            _check_text(value, index)
        elif isinstance(value, (dict, list)):
            if depth > _MAX_DEPTH:
                raise UploadError(f"records[{index}] is nested deeper than {_MAX_DEPTH} levels")
            if isinstance(value, dict):
                entries = cast("dict[str, object]", value)
                for key in entries:
                    _check_text(key, index)
                todo += [(item, depth + 1) for item in entries.values()]
            else:
                todo += [(item, depth + 1) for item in cast("list[object]", value)]


def _check_text(text: str, index: int) -> None:
    if len(text) > _MAX_TEXT:
        raise UploadError(f"records[{index}] has a text of more than {_MAX_TEXT} characters")
    # PostgreSQL's jsonb keeps neither.
    if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
        raise UploadError(f"records[{index}] has a text with a character that cannot be stored")


def _no_constant(name: str) -> object:
    raise UploadError(f"{name} is not a number that counts; leave the value out instead")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise UploadError(f"the number {digits[:20]}… has {len(digits)} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise UploadError(f"the number {digits[:20]} is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise UploadError(f"the key {twice[:40]!r} is given twice in one object")
    return entries
