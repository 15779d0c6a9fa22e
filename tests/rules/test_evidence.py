"""The hash that says whether evidence is new."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightchallenge_dagster.rules.evidence import canonical_json, evidence_hash

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(list(value))}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(JSON)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    assert canonical_json(value) == canonical_json(reversed_keys(value))


@settings(deadline=None)
@given(JSON)
def test_the_hash_survives_a_jsonb_column(value: Any) -> None:
    stored = json.loads(json.dumps(value), parse_float=Decimal)
    assert canonical_json(stored) == canonical_json(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], [1.0]),
        ([0.0], [-0.0]),
        ([1e22], [10**22]),
        ([5.1], [Decimal("5.10")]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_the_same_json_has_the_same_hash(one: Any, other: Any) -> None:
    assert evidence_hash(one) == evidence_hash(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [([1, 2], [2, 1]), ([1], ["1"]), ([True], [1]), ([None], []), ({"a": None}, {}), ([1], 1)],
)
def test_different_json_has_a_different_hash(one: Any, other: Any) -> None:
    assert evidence_hash(one) != evidence_hash(other)


def test_the_hash_is_keccak_of_the_canonical_text() -> None:
    assert canonical_json([{"b": 1.0, "a": "é"}]) == '[{"a":"\\u00e9","b":1}]'
    assert evidence_hash([]) == "0x518674ab2b227e5f11e9084f615d57663cde47bce1ba168b4c19c7ee22a73d70"
    assert evidence_hash([10**5000]).startswith("0x")
