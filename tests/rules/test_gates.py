"""When jobs are queued, proofs are taken and challenges are finalized."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.gates import (
    DispatchFacts,
    ProofFields,
    dispatch_gate,
    earned,
    proof_window,
)

FIELDS = ProofFields(
    model_id="apple_health.steps@1",
    model_hash="0x" + "11" * 32,
    params_hash="0x" + "22" * 32,
    benchmark_hash="0x" + "33" * 32,
    backend="lightchain_poi",
)
THRESHOLD = DispatchFacts(
    challenge_id=7,
    mode="threshold",
    end_ts=1000,
    proof_deadline_ts=2000,
    passed=True,
    provisional_winners=0,
    problem=None,
    fields=FIELDS,
)
COMPETITIVE = replace(THRESHOLD, mode="competitive", passed=False, provisional_winners=2)


def test_a_threshold_challenge_goes_out_once_somebody_passes_even_while_it_runs() -> None:
    assert dispatch_gate(THRESHOLD, 500).open
    assert not dispatch_gate(replace(THRESHOLD, passed=False), 500).open


def test_a_ranking_alone_does_not_dispatch_a_threshold_challenge() -> None:
    assert not dispatch_gate(replace(THRESHOLD, passed=False, provisional_winners=3), 1500).open


def test_a_competitive_challenge_goes_out_from_its_end_on() -> None:
    assert not dispatch_gate(COMPETITIVE, 999).open
    assert dispatch_gate(COMPETITIVE, 1000).open


def test_a_competition_that_nobody_leads_is_not_dispatched() -> None:
    assert not dispatch_gate(replace(COMPETITIVE, provisional_winners=0, passed=True), 1500).open


@pytest.mark.parametrize("facts", [THRESHOLD, COMPETITIVE], ids=["threshold", "competitive"])
def test_nothing_is_requested_after_the_proof_deadline(facts: DispatchFacts) -> None:
    assert dispatch_gate(facts, 2000).open
    gate = dispatch_gate(facts, 2001)
    assert not gate.open
    assert "deadline" in gate.reason


def test_a_challenge_whose_rule_cannot_be_read_is_not_dispatched() -> None:
    gate = dispatch_gate(replace(THRESHOLD, problem="params.rules.metric"), 500)
    assert "params.rules.metric" in gate.reason


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"model_id": None}, "proof.modelId or model_id"),
        ({"model_id": " "}, "proof.modelId or model_id"),
        # A request carries it, and one of a few kilobytes fits into no block.
        ({"model_id": "m" * 257}, "a proof.modelId of at most 256 characters"),
        ({"model_hash": None}, "model_hash"),
        ({"model_hash": "0x" + "00" * 32}, "model_hash"),
        ({"params_hash": "0x1234"}, "proof.paramsHash"),
        ({"benchmark_hash": ""}, "proof.benchmarkHash"),
        ({"backend": None}, "proof.backend"),
        ({"backend": "eip712_signer"}, "proof.backend"),
    ],
)
def test_each_missing_proof_field_holds_the_request_and_is_named(
    changes: dict[str, str | None], name: str
) -> None:
    fields = replace(FIELDS, **changes)
    assert fields.missing() == (name,)
    gate = dispatch_gate(replace(THRESHOLD, fields=fields), 500)
    assert not gate.open
    assert name in gate.reason
    assert earned(replace(THRESHOLD, fields=fields), 500).open


def test_the_backend_is_read_in_any_case() -> None:
    assert replace(FIELDS, backend="LIGHTCHAIN_POI").missing() == ()


@given(start=st.integers(0, 50), length=st.integers(0, 50), now=st.integers(0, 150))
def test_proofs_are_taken_on_both_bounds_of_the_window(start: int, length: int, now: int) -> None:
    assert proof_window(start, start + length, now).open == (start <= now <= start + length)
