"""Which challenges get a job, and whose job ends with its challenge."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.steps.cancel_jobs import cancelable
from lightchallenge_dagster.steps.dispatch import (
    MissingField,
    dispatch,
    dispatchable,
    missing_fields,
)
from lightchallenge_dagster.steps.plan import PlanPolicy, refresh_plans
from tests import builders
from tests.builders import DEADLINE, ENDS, HASH, STARTS, ts, wallet

NOW = ts(STARTS) + 1000
FIELDS = {
    "modelId": "strava.distance@1",
    "paramsHash": HASH,
    "benchmarkHash": HASH,
    "backend": "lightchain_poi",
}


def a_challenge(database: Engine, params: dict[str, Any] | None = None, **columns: Any) -> None:
    proof = columns.pop("proof", {"params": params or builders.distance_rule(5), **FIELDS})
    builders.challenge(database, 7, proof=proof, **({"model_hash": HASH} | columns))
    builders.stake(database, 7, wallet(99), wallet(1))
    refresh_plans(database, PlanPolicy(7200, 600))


def job_status(database: Engine) -> list[str]:
    return [row[0] for row in builders.rows(database, "select status from public.aivm_jobs")]


def test_a_threshold_challenge_is_queued_once_any_staker_passes(database: Engine) -> None:
    a_challenge(database)
    assert dispatchable(database, NOW) == []
    builders.verdict(database, 7, wallet(1), passed=False)
    assert dispatchable(database, NOW) == []
    builders.execute(database, "update public.verdicts set pass = true")
    assert dispatchable(database, NOW) == [7]
    assert dispatch(database, NOW).queued == [7]
    assert job_status(database) == ["queued"]
    assert dispatchable(database, NOW) == []
    assert dispatch(database, NOW).queued == []


def test_a_pass_without_stake_queues_nothing_unless_it_is_the_challenges_own_subject(
    database: Engine,
) -> None:
    a_challenge(database)
    builders.verdict(database, 7, wallet(50))
    assert dispatchable(database, NOW) == []
    builders.execute(database, "update public.challenges set subject = :s", s=wallet(50))
    assert dispatchable(database, NOW) == [7]


def test_a_competition_is_queued_from_its_end_when_somebody_leads(database: Engine) -> None:
    a_challenge(database, builders.competitive())
    builders.verdict(database, 7, wallet(1), score=10)
    assert dispatchable(database, ts(ENDS)) == []
    builders.insert(
        database,
        "public.rankings",
        challenge_id=7,
        subject=wallet(1),
        rank=1,
        score=10,
        winner=True,
        tie_break_at=STARTS,
        top_n=1,
        state="provisional",
        inputs_hash="x",
    )
    assert dispatchable(database, ts(ENDS) - 1) == []
    assert dispatchable(database, ts(ENDS)) == [7]
    assert dispatchable(database, ts(DEADLINE) + 1) == []


@pytest.mark.parametrize("status", ["Active", "ACTIVE", "approved"])
def test_active_is_read_in_any_case_and_approved_means_active(
    database: Engine, status: str
) -> None:
    a_challenge(database, status=status)
    builders.verdict(database, 7, wallet(1))
    assert dispatchable(database, NOW) == [7]


@pytest.mark.parametrize("chain_status", ["Paused", "Finalized", "Canceled"])
def test_only_a_challenge_that_is_active_on_chain_is_queued(
    database: Engine, chain_status: str
) -> None:
    a_challenge(database, status="Active", chain_status=chain_status)
    builders.verdict(database, 7, wallet(1))
    assert dispatchable(database, NOW) == []


def test_a_challenge_without_a_rule_waits_for_the_web_app(database: Engine) -> None:
    a_challenge(database, proof=FIELDS)
    builders.verdict(database, 7, wallet(1))
    assert dispatchable(database, NOW) == []
    assert dispatch(database, NOW).held == ["7: it has no rule"]


def test_a_request_that_was_made_before_is_not_made_again(database: Engine) -> None:
    proof = {"params": builders.distance_rule(5), **FIELDS, "taskBinding": {"requestId": "3"}}
    a_challenge(database, proof=proof)
    builders.verdict(database, 7, wallet(1))
    assert dispatchable(database, NOW) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"modelId": None}, "proof.modelId or model_id"),
        ({"paramsHash": "0x12"}, "proof.paramsHash"),
        ({"benchmarkHash": None}, "proof.benchmarkHash"),
        ({"backend": "eip712"}, "proof.backend"),
    ],
)
def test_a_missing_proof_field_holds_a_challenge_and_is_named(
    database: Engine, changes: dict[str, Any], name: str
) -> None:
    a_challenge(database, proof={"params": builders.distance_rule(5), **FIELDS, **changes})
    assert missing_fields(database) == [MissingField(7, name, blocking=False)]
    builders.verdict(database, 7, wallet(1))
    assert missing_fields(database) == [MissingField(7, name, blocking=True)]
    assert dispatchable(database, NOW) == []
    assert dispatch(database, NOW).held == [f"7: it lacks {name}"]


def test_the_model_may_be_named_by_the_row_itself(database: Engine) -> None:
    proof = {"params": builders.distance_rule(5), **FIELDS, "modelId": None}
    a_challenge(database, proof=proof, model_id="strava.distance@1")
    assert missing_fields(database) == []


@pytest.mark.parametrize("status", ["queued", "failed", "processing"])
def test_the_job_of_an_ended_challenge_is_canceled(database: Engine, status: str) -> None:
    a_challenge(database, chain_status="Canceled")
    builders.insert(database, "public.aivm_jobs", challenge_id=7, status=status, attempts=0)
    assert cancelable(database) == [7]
    assert dispatch(database, NOW).canceled == [7]
    assert job_status(database) == ["canceled"]
    assert cancelable(database) == []


def test_a_job_whose_request_is_out_goes_on_after_the_challenge_ended(database: Engine) -> None:
    a_challenge(database, chain_status="Finalized")
    builders.insert(database, "public.aivm_jobs", challenge_id=7, status="submitted", attempts=0)
    assert cancelable(database) == []


def test_a_rejected_challenge_ends_its_job_by_the_web_apps_word(database: Engine) -> None:
    a_challenge(database, status="Rejected", chain_status="Active")
    builders.insert(database, "public.aivm_jobs", challenge_id=7, status="queued", attempts=0)
    assert dispatch(database, NOW).canceled == [7]


@pytest.mark.parametrize("status", ["Canceled", "Finalized"])
def test_the_web_apps_word_ends_no_job_of_a_challenge_that_the_chain_says_is_active(
    database: Engine, status: str
) -> None:
    a_challenge(database, status=status, chain_status="Active")
    builders.insert(database, "public.aivm_jobs", challenge_id=7, status="queued", attempts=0)
    assert cancelable(database) == []


@pytest.mark.parametrize("status", ["Canceled", "Finalized"])
def test_the_web_apps_word_holds_no_request_of_a_challenge_that_the_chain_says_is_active(
    database: Engine, status: str
) -> None:
    a_challenge(database, status=status, chain_status="Active")
    builders.verdict(database, 7, wallet(1))
    assert dispatch(database, NOW).queued == [7]
