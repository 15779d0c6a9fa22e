"""Plans follow the challenge rows, and cost nothing while those stay as they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from lightchallenge_dagster.steps.plan import PlanPolicy, refresh_plans
from tests import builders as build
from tests.builders import DEADLINE, ENDS

POLICY = PlanPolicy(competitive_margin_s=7200, submit_reserve_s=600)


def test_a_plan_says_what_the_row_means(database: Engine) -> None:
    build.challenge(database, 7, build.competitive(top_n=3))
    assert refresh_plans(database, POLICY) == 1
    assert build.rows(
        database,
        "select mode, top_n, ends_at, proof_deadline, ranking_closes_at, partition_key, problem"
        " from pipeline.challenge_plans",
    ) == [
        ("competitive", 3, ENDS, DEADLINE, DEADLINE - timedelta(hours=2), "2026-03-08", None),
    ]


def test_a_second_refresh_changes_nothing(database: Engine) -> None:
    build.challenge(database, 7, build.competitive())
    build.challenge(database, 8, build.distance_rule(10), chain=False)
    refresh_plans(database, POLICY)
    before = build.rows(database, "select xmin::text, * from pipeline.challenge_plans order by 2")
    assert refresh_plans(database, POLICY) == 0
    after = build.rows(database, "select xmin::text, * from pipeline.challenge_plans order by 2")
    assert after == before


def test_the_times_on_chain_win_over_the_row(database: Engine) -> None:
    build.challenge(database, 7, build.competitive(), chain=False)
    refresh_plans(database, POLICY)
    later = datetime(2026, 4, 1, tzinfo=UTC)
    build.on_chain(database, 7, ends=later, deadline=later + timedelta(days=1))
    assert refresh_plans(database, POLICY) == 1
    assert build.rows(database, "select ends_at, partition_key from pipeline.challenge_plans") == [
        (later, "2026-04-01")
    ]


def test_a_moved_proof_deadline_moves_the_closing(database: Engine) -> None:
    build.challenge(database, 7, build.competitive())
    refresh_plans(database, POLICY)
    moved = DEADLINE + timedelta(days=2)
    build.execute(
        database,
        "update pipeline.chain_challenges set proof_deadline_ts = :ts",
        ts=build.ts(moved),
    )
    assert refresh_plans(database, POLICY) == 1
    assert build.rows(database, "select ranking_closes_at from pipeline.challenge_plans") == [
        (moved - timedelta(hours=2),)
    ]


def test_another_policy_plans_anew_but_keeps_the_rule_part_of_the_hash(database: Engine) -> None:
    build.challenge(database, 7, build.competitive())
    refresh_plans(database, POLICY)
    rule = build.rows(
        database, "select split_part(config_hash, ':', 1) from pipeline.challenge_plans"
    )
    assert refresh_plans(database, PlanPolicy(3600, 600)) == 1
    assert (
        build.rows(database, "select split_part(config_hash, ':', 1) from pipeline.challenge_plans")
        == rule
    )


def test_what_the_pipeline_itself_writes_into_proof_is_no_change(database: Engine) -> None:
    build.challenge(database, 7, build.competitive())
    refresh_plans(database, POLICY)
    build.execute(
        database,
        """update public.challenges set proof = proof || '{"finalizationAttempted": true}'""",
    )
    assert refresh_plans(database, POLICY) == 0


def test_a_changed_rule_is_a_new_plan(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(10))
    refresh_plans(database, POLICY)
    build.execute(
        database,
        """update public.challenges
              set proof = jsonb_set(proof, '{params,rules,metric}', '"distance_parsecs"')""",
    )
    assert refresh_plans(database, POLICY) == 1
    ((problem,),) = build.rows(database, "select problem from pipeline.challenge_plans")
    assert "proof.params.rules.metric" in problem


def test_the_plan_of_a_vanished_challenge_is_removed(database: Engine) -> None:
    build.challenge(database, 7, build.competitive())
    refresh_plans(database, POLICY)
    build.execute(database, "delete from public.challenges")
    assert refresh_plans(database, POLICY) == 1
    assert build.rows(database, "select 1 from pipeline.challenge_plans") == []


def test_previews_have_no_plan(database: Engine) -> None:
    build.challenge(database, 0, build.competitive(), chain=False)
    assert refresh_plans(database, POLICY) == 0


def test_a_row_that_makes_no_sense_is_planned_with_its_problem(database: Engine) -> None:
    build.challenge(
        database,
        7,
        chain=False,
        proof="[1, 2]",
        params='"text"',
        timeline='{"endsAt": "whenever"}',
    )
    assert refresh_plans(database, POLICY) == 1
    assert build.rows(database, "select partition_key, mode from pipeline.challenge_plans") == [
        ("unscheduled", "threshold")
    ]
