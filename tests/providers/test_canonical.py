"""Canonical JSON: what a database can keep is taken, the rest is refused with its place."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.providers.canonical import as_records, parse_json
from lightchallenge_dagster.providers.errors import UploadError


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "cannot be read"),
        (b"[1,", "line 1, column 4"),
        (b'[{"steps": NaN}]', "NaN is not a number"),
        (b'[{"steps": -Infinity}]', "-Infinity is not"),
        (b'[{"steps": 1e999}]', "too large"),
        (b'[{"steps": ' + b"9" * 5000 + b"}]", "5000 digits"),
        (b'[{"steps": 1, "steps": 100000}]', "'steps' is given twice"),
        (b"\xff\xfe[\x00]\x00", "not UTF-8"),
        ("[{'type': 'läuft'}]".encode("latin-1"), "not UTF-8"),
        (b"[" * 200_000, "nested deeper"),
        (b'{"a":' * 200_000, "nested deeper"),
        (b'["\\"]", ' + b"[" * 200_000, "nested deeper"),
    ],
)
def test_what_evidence_cannot_be_is_refused_with_its_place(text: bytes, reason: str) -> None:
    with pytest.raises(UploadError, match=reason):
        parse_json(text)


def test_depth_is_bounded_whatever_a_library_made_of_the_recursion_limit() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(UploadError, match="nested deeper"):
            parse_json(b"[" * 1_000_000)
    finally:
        sys.setrecursionlimit(limit)


def test_brackets_in_texts_are_no_nesting() -> None:
    text = "[" * 500 + '\\"{' * 500
    assert parse_json(json.dumps([{"note": text}]).encode()) == [{"note": text}]


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert parse_json(b'\xef\xbb\xbf[{"a": 1}]') == [{"a": 1}]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "not a list"),
        (None, "not a list"),
        ([], "empty"),
        ([{"a": 1}, 7], r"records\[1\] is not an object"),
        ([{}] * 100_001, "too many"),
        ([{"a": [[[[[[[[1]]]]]]]]}], "nested deeper"),
        ([{"a": "x" * 30_000}], "more than 20000"),
        ([{"a": "nul \0"}], "cannot be stored"),
        ([{"\ud800": 1}], "cannot be stored"),
    ],
)
def test_what_is_no_list_of_bearable_records_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(UploadError, match=reason):
        as_records(value)


def test_a_route_of_points_is_a_record() -> None:
    records = [{"type": "run", "gps_path": [[52.5, 13.4]] * 5_000}]
    assert as_records(parse_json(json.dumps(records).encode())) == records


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    try:
        parse_json(data)
    except UploadError as error:
        assert str(error)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(_JSON)
def test_any_value_is_a_list_of_records_or_refused(value: Any) -> None:
    try:
        records = as_records(value)
    except UploadError as error:
        assert str(error)
    else:
        assert records and all(isinstance(record, dict) for record in records)
