"""Rows as an attacker or a messy web app leaves them: nobody else's tick, run or payment stops."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from dagster import DagsterInstance
from sqlalchemy import Engine, text

from lightchallenge_dagster.steps import collect, health, judge, plan, rank, reputation, standings
from tests import builders as b
from tests.builders import DEADLINE, ENDS, STARTS, wallet
from tests.orchestration.conftest import World
from tests.orchestration.test_sensors import CASES, Desk, followed  # noqa: F401  # pyright: ignore[reportUnusedImport]

POLICY = plan.PlanPolicy(competitive_margin_s=7200, submit_reserve_s=600)
DAY = "2026-03-08"
DURING = STARTS + timedelta(days=3)
AFTER = DEADLINE - timedelta(hours=1)
GOOD, BAD = 7, 8
ANN, BOB, EVE = wallet(1), wallet(2), wallet(3)

DIGITS = "1e5000"  # jsonb writes all of them out
NESTED = "[" * 3000 + "]" * 3000

JSON = [
    "null", '"text"', "[]", "[[[]]]", "7", "true", "{}", '"{"', '"{\\"a\\":"', DIGITS, NESTED,
    '{"rules": 7}', '{"rules": [1]}', '{"rule": "x"}', '{"params": [1]}',
    '{"rules": {"type": "fitness", "metric": [], "threshold": {}, "period": 7}}',
    f'{{"rules": {{"type": "fitness", "metric": "distance_km", "threshold": {DIGITS}, '
    '"period": "total"}}',
    f'{{"a": {NESTED}}}',
    '{"mode": "competitive", "topN": 1e30}', '{"mode": "competitive", "topN": -1}',
    '{"mode": "competitive", "topN": 1.5}', '{"mode": "competitive", "topN": "7"}',
    '{"mode": "competitive", "topN": 2147483647}', '{"mode": ["competitive"]}',
    '{"mode": "competitive", "topN": 99999999999999999999}',
    '{"startsAt": 100000000000000000000, "endsAt": "100000-01-01", "proofDeadline": -1}',
    '{"endsAt": 253402300799, "proofDeadline": 253402300799}', '{"proofDeadline": -62135596800}',
    '{"proofDeadline": -62100000000, "endsAt": -62100000000}',
    '{"endsAt": "soon"}', f'{{"endsAt": {DIGITS}}}', '{"endsAt": 1772928000000}',
    '{"endsAt": [1], "timezone": "../../etc/passwd"}',
    '{"timezone": "America"}', '{"k\\ud83d\\ude00\\u202e": "\\uffff\\b\\f\\n"}',
]  # fmt: skip


def a_good_challenge(database: Engine) -> None:
    b.challenge(database, GOOD, b.distance_rule(5))
    b.evidence(database, GOOD, ANN, [b.run(6)])


def good_is_judged(database: Engine) -> bool:
    return b.rows(
        database, "select pass from public.verdicts where challenge_id = :id", id=GOOD
    ) == [(True,)]


def raw_evidence(
    database: Engine, challenge_id: int, subject: str, data: str, provider: str = "strava"
) -> None:
    b.execute(
        database,
        "insert into public.evidence (challenge_id, subject, provider, data, evidence_hash) "
        "values (:id, :subject, :provider, cast(:data as jsonb), '0x01')",
        id=challenge_id,
        subject=subject,
        provider=provider,
        data=data,
    )


@pytest.mark.parametrize("column", ["params", "proof", "timeline", "proof_params"])
def test_whatever_json_a_challenge_holds_it_is_planned_and_the_others_are_judged(
    database: Engine, column: str
) -> None:
    a_good_challenge(database)
    for number, value in enumerate(JSON, start=100):
        name, expression = column, "cast(:value as jsonb)"
        if column == "proof_params":
            name, expression = "proof", "jsonb_build_object('params', cast(:value as jsonb))"
        b.execute(
            database,
            f"insert into public.challenges (id, status, {name}) values (:id, 'Active', {expression})",  # noqa: S608, E501
            id=number,
            value=value,
        )
        b.evidence(database, number, EVE, [b.run(6)])
    plan.refresh_plans(database, POLICY)
    for day in judge.pending(database):
        judge.judge(database, day, DURING)
    for day in rank.pending(database, DURING):
        rank.rank(database, day, DURING)
    assert judge.pending(database) == {}
    assert good_is_judged(database)
    count = b.rows(database, "select count(*) from pipeline.challenge_plans")
    assert count == [(len(JSON) + 1,)]


@pytest.fixture
def usual_depth() -> Iterator[None]:
    """Python's own limit: some libraries that tests load raise it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("usual_depth")
@pytest.mark.parametrize(
    ("column", "value"),
    [("params", f'{{"rules": {{"type": {DIGITS}}}}}'), ("params", f'{{"rules": {NESTED}}}'),
     ("proof", f'{{"params": {NESTED}}}'), ("timeline", f'{{"endsAt": {NESTED}}}')],
)  # fmt: skip
def test_a_configuration_that_cannot_be_read_is_a_problem_that_says_where(
    database: Engine, column: str, value: str
) -> None:
    b.execute(
        database,
        f"insert into public.challenges (id, status, {column}) "  # noqa: S608
        "values (8, 'Active', cast(:value as jsonb))",
        value=value,
    )
    plan.refresh_plans(database, POLICY)
    problem = b.rows(database, "select problem from pipeline.challenge_plans")[0][0]
    assert problem is not None
    assert problem.startswith(column)
    assert len(problem) < 300


@pytest.mark.parametrize(
    "data",
    ['"x"', "null", "7", "{}", '{"records": []}', "[null]", "[[]]", '["x", 7, null]', NESTED,
     f"[{DIGITS}]", f'[{{"type": "run", "start": "2026-03-02", "distance_km": {DIGITS}}}]',
     f'[{{"type": "run", "start_ts": {DIGITS}, "distance_km": 6}}]',
     f'[{{"type": "run", "start": "2026-03-02", "distance_km": 6, "activity_id": {DIGITS}}}]',
     f'[{{"type": "run", "start": "2026-03-02", "distance_km": 6, "x": {NESTED}}}]',
     '[{"type": ["run"], "start": {}, "distance_km": "6"}]',
     '[{"type": "run", "start": "2026-03-02", "gps_path": [["a", 1], 7, null]}]'],
)  # fmt: skip
@pytest.mark.parametrize("provider", ["strava", "opendota", "manual", "nobody", "", " Apple "])
def test_whatever_json_evidence_holds_the_others_are_judged(
    database: Engine, data: str, provider: str
) -> None:
    a_good_challenge(database)
    raw_evidence(database, GOOD, EVE, data, provider)
    raw_evidence(database, 0, EVE, data, provider)
    raw_evidence(database, 2**63 - 1, EVE, data, provider)
    raw_evidence(database, -5, EVE, data, provider)
    plan.refresh_plans(database, POLICY)
    for day in judge.pending(database):
        judge.judge(database, day, DURING)
    assert judge.pending(database) == {}
    told = b.rows(
        database, "select pass, reasons from public.verdicts where subject = :eve", eve=EVE
    )
    assert len(told) == 4
    assert all(passed or reasons for passed, reasons in told)


@pytest.mark.usefixtures("usual_depth")
def test_evidence_too_deep_to_read_says_so(database: Engine) -> None:
    a_good_challenge(database)
    raw_evidence(database, GOOD, EVE, NESTED)
    plan.refresh_plans(database, POLICY)
    judge.judge(database, DAY, DURING)
    reasons = b.rows(
        database, "select reasons[1] from public.verdicts where subject = :eve", eve=EVE
    )
    assert "cannot be read" in reasons[0][0]


@pytest.mark.parametrize("metadata", ["null", '"x"', "7", "[]", '["ranking"]', "{}"])
def test_a_verdict_of_the_old_evaluator_with_odd_metadata_is_judged_again(
    database: Engine, metadata: str
) -> None:
    a_good_challenge(database)
    b.verdict(database, GOOD, ANN, passed=False, score=None)
    b.execute(database, "update public.verdicts set metadata = cast(:m as jsonb)", m=metadata)
    plan.refresh_plans(database, POLICY)
    judge.judge(database, DAY, DURING)
    assert good_is_judged(database)


@pytest.mark.parametrize(
    "metadata",
    ["null", '"ranking"', '["ranking"]', '{"ranking": 1, "evaluation": {"pass": "maybe"}}',
     '{"ranking": 1, "evaluation": 7}', '{"ranking": {}, "evaluation": {"pass": {}}}'],
)  # fmt: skip
def test_odd_metadata_of_a_verdict_does_not_stop_the_ranking_of_the_day(
    database: Engine, metadata: str
) -> None:
    for challenge_id in (GOOD, BAD):
        b.challenge(database, challenge_id, b.competitive())
        b.stake(database, challenge_id, ANN)
        plan.refresh_plans(database, POLICY)
        b.proved_verdict(database, challenge_id, ANN, score=Decimal(5))
    b.execute(
        database,
        "update public.verdicts set metadata = cast(:m as jsonb) where challenge_id = 8",
        m=metadata,
    )
    for now in (DURING, AFTER):
        rank.rank(database, DAY, now)
        rank.rank(database, DAY, now)
    won = b.rows(database, "select challenge_id from public.rankings where winner order by 1")
    assert (GOOD,) in won
    assert rank.pending(database, AFTER) == {}


def test_wallets_that_differ_in_case_only_are_one_and_odd_ones_stop_nobody(
    database: Engine,
) -> None:
    a_good_challenge(database)
    mixed = "0x" + "aB" * 20
    b.evidence(database, GOOD, mixed, [b.run(2, 2)])
    b.evidence(database, GOOD, mixed.lower(), [b.run(6, 3)], at=DURING)
    for odd in ("", " ", "0x", "vitalik.eth", "0x" + "zz" * 20, "\u202e0xabc", "İ", "x" * 5000):
        b.evidence(database, GOOD, odd, [b.run(6)])
    plan.refresh_plans(database, POLICY)
    judge.judge(database, DAY, DURING)
    assert judge.pending(database) == {}
    assert b.rows(
        database, "select pass from public.verdicts where subject = :s", s=mixed.lower()
    ) == [(True,)]


@pytest.mark.parametrize(
    "status",
    ["Active", "ACTIVE", "active", "approved", "Approved", "Rejected", "rejected", "pending",
     "canceled", "Cancelled", "", None, "FINALIZED", "?"],
)  # fmt: skip
def test_every_spelling_of_a_status_is_read(database: Engine, status: str | None) -> None:
    a_good_challenge(database)
    b.challenge(database, BAD, b.competitive(), status=status)
    b.stake(database, BAD, ANN)
    b.evidence(database, BAD, ANN, [b.run(6)])
    plan.refresh_plans(database, POLICY)
    judge.judge(database, DAY, DURING)
    rank.rank(database, DAY, DURING)
    assert good_is_judged(database)


def a_linked_runner(database: Engine, challenge_id: int, subject: str, external_id: str) -> None:
    b.insert(
        database,
        "public.participants",
        challenge_id=challenge_id,
        subject=subject,
        source="onchain_join",
    )
    b.execute(
        database,
        "insert into public.linked_accounts (subject, provider, external_id) "
        "values (:s, 'opendota', :e) on conflict do nothing",
        s=subject,
        e=external_id,
    )


BEYOND = [2**63 - 1, 2**53, 10**13, 253_402_300_800, 9_224_318_016_000]


@pytest.mark.parametrize("seconds", BEYOND)
def test_a_challenge_without_end_on_chain_does_not_stop_the_collection_of_the_others(
    database: Engine, seconds: int
) -> None:
    """startTs is bounded by the contract; duration and proofDeadlineTs are the creator's choice."""
    for challenge_id in (GOOD, BAD):
        b.challenge(database, challenge_id, b.distance_rule(5))
        a_linked_runner(database, challenge_id, ANN, "86745912")
    b.execute(
        database,
        "update pipeline.chain_challenges set end_ts = :s, proof_deadline_ts = :s "
        "where challenge_id = 8",
        s=seconds,
    )
    assert collect.collection_due(database, DURING) == 2
    for check in ("winners_missing_on_chain", "ranking_window_fits", "rules_readable"):
        health.violations(database, check)


def test_an_account_in_several_spellings_is_collected_once(database: Engine) -> None:
    b.challenge(database, GOOD, b.distance_rule(5))
    mixed = "0x" + "aB" * 20
    a_linked_runner(database, GOOD, mixed, "86745912")
    b.execute(database, "drop index public.linked_accounts_subject_provider_uq")
    b.execute(database, "drop index public.participants_challenge_subject_uq")
    a_linked_runner(database, GOOD, mixed.lower(), " 86745912 ")
    assert collect.collection_due(database, DURING) == 1


@pytest.mark.parametrize(
    ("sources", "due"),
    [('["opendota"]', 1), ('["OpenDota "]', 1), ('["strava"]', 0), ("[]", 1), ("null", 1),
     ("{}", 1), ("7", 0), ('"opendota"', 1), ('"[\\"strava\\"]"', 0), ("[7]", 0),
     ('["\\u0130"]', 0)],
)  # fmt: skip
def test_whatever_a_model_lists_as_sources_the_collection_goes_on_as_the_judge_reads_it(
    database: Engine, sources: str, due: int
) -> None:
    b.challenge(database, GOOD, b.distance_rule(5), model_id="m@1")
    b.insert(
        database, "public.models", id="m@1", label="", kind="", model_hash="", verifier="",
        binding=True, signals="[]", params_schema="{}", sources=sources, file_accept="[]",
    )  # fmt: skip
    a_linked_runner(database, GOOD, ANN, "86745912")
    raw_evidence(database, GOOD, ANN, "[]", "opendota")
    assert collect.collection_due(database, DURING) == due
    plan.refresh_plans(database, POLICY)
    judge.judge(database, DAY, DURING)


SCORING = [
    "null", "[]", '"x"', "7", '{"win": "3"}', '{"win": null}', f'{{"win": {DIGITS}}}',
    f'{{"win": {NESTED}}}', NESTED, '{"win": -1e30}', '{"win": 1e-30}', '{"win": true}',
]  # fmt: skip


@pytest.mark.parametrize("scoring", SCORING)
def test_a_malformed_scoring_config_is_named_and_the_other_seasons_are_computed(
    database: Engine, scoring: str
) -> None:
    good, bad = b.season(database), b.season(database)
    for season in (good, bad):
        b.match(database, b.competition(database, season), ANN, BOB, winner=ANN)
    b.execute(
        database,
        "update public.seasons set scoring_config = cast(:v as jsonb) where id = cast(:id as uuid)",
        v=scoring,
        id=bad,
    )
    reports = {
        season: standings.compute(database, season) for season in standings.pending(database)
    }
    assert reports[good].problem is None
    problem = reports[bad].problem
    assert problem is not None
    assert "scoring_config" in problem
    assert len(problem) < 400
    assert standings.pending(database) == []


@pytest.mark.parametrize(("weights", "points"), [((1.0, 1.0), 3), ((1.0, 2.0), None)])
def test_a_competition_listed_twice_in_a_season_counts_once_or_is_a_problem(
    database: Engine, weights: tuple[float, float], points: int | None
) -> None:
    """A database may lack the primary key that the guide gives the table."""
    b.execute(
        database, "alter table public.season_competitions drop constraint season_competitions_pkey"
    )
    b.challenge(database, GOOD, b.distance_rule(5), chain_status="Finalized")
    b.stake(database, GOOD, wallet(9))
    season = b.season(database)
    competition = b.competition(database, season, weight=weights[0], challenge_ids=[GOOD, GOOD])
    b.insert(
        database,
        "public.season_competitions",
        season_id=season,
        competition_id=competition,
        weight=weights[1],
    )
    b.match(database, competition, ANN, BOB, winner=ANN)
    report = standings.compute(database, season)
    assert standings.pending(database) == []
    if points is None:
        assert competition in str(report.problem)
    else:
        assert report.problem is None
        assert b.rows(
            database, "select points, wins from public.season_standings where wallet = :w", w=ANN
        ) == [(points, 1)]
        assert b.rows(
            database, "select losses from public.season_standings where wallet = :w", w=wallet(9)
        ) == [(1,)]


@pytest.mark.parametrize("weight", ["NaN", "Infinity", "-Infinity", "1e300", None])
def test_a_weight_that_is_no_number_is_a_problem_of_its_season(
    database: Engine, weight: str | None
) -> None:
    b.execute(database, "alter table public.season_competitions alter column weight drop not null")
    season = b.season(database)
    b.match(database, b.competition(database, season), ANN, BOB, winner=ANN)
    b.execute(
        database,
        "update public.season_competitions set weight = cast(:w as double precision)",
        w=weight,
    )
    assert "weight" in str(standings.compute(database, season).problem)


def test_seasons_and_teams_with_nothing_in_them_are_computed(database: Engine) -> None:
    b.season(database)
    empty = b.season(database)
    b.competition(database, empty)
    rosters = b.season(database)
    team = b.team(database, ANN, ANN.upper().replace("X", "x"), " " + BOB)
    b.match(database, b.competition(database, rosters), team.upper(), b.team(database), winner=team)
    for season in standings.pending(database):
        assert standings.compute(database, season).problem is None
    assert standings.pending(database) == []


def test_mints_of_any_type_and_without_a_token_are_counted(database: Engine) -> None:
    b.execute(
        database,
        "alter table public.achievement_mints alter column token_id drop not null, "
        "drop constraint achievement_mints_achievement_type_check",
    )
    for number, kind in enumerate(["completion", "Victory", "founder", "", "streak ", "x" * 5000]):
        b.mint(database, number, ANN.upper().replace("X", "x"), kind)
    b.execute(database, "update public.achievement_mints set token_id = null where token_id > 1")
    b.insert(database, "public.reputation", subject=BOB.upper(), points=7)
    report = reputation.compute(database)
    assert (report.wallets, report.unknown) == (1, 4)
    assert reputation.pending(database) == 0


@pytest.fixture
def messy(world: World) -> Iterator[World]:
    """One of everything that a tick may trip over."""
    database = world.database
    for number, value in enumerate(JSON, start=100):
        b.execute(
            database,
            "insert into public.challenges (id, status, params, proof, timeline, model_id) values "
            "(:id, 'ACTIVE', cast(:v as jsonb), cast(:v as jsonb), cast(:v as jsonb), :v)",
            id=number,
            v=value,
        )
        b.on_chain(database, number, starts=STARTS, ends=ENDS, deadline=DEADLINE)
        b.stake(database, number, EVE)
        raw_evidence(database, number, EVE, value)
        b.verdict(database, number, EVE, score=Decimal("1e40"))
    b.execute(
        database, "update public.verdicts set metadata = 'null', score = 'NaN' where id % 2 = 0"
    )
    b.execute(
        database,
        "update pipeline.chain_challenges set end_ts = 9223372036854775807, "
        "proof_deadline_ts = 9223372036854775807 where challenge_id % 3 = 0",
    )
    bad = b.season(database)
    b.match(database, b.competition(database, bad), "nobody", "nobody")
    yield world


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_tick_of_every_sensor_survives_such_rows(
    case: Any,
    messy: World,
    request: pytest.FixtureRequest,
    instance: DagsterInstance,
    lasting_instance: DagsterInstance,
) -> None:
    world: World = request.getfixturevalue("followed")
    Desk(case, world, lasting_instance if case.schedule else instance).tick()


def test_every_health_check_can_be_evaluated_over_such_rows(messy: World) -> None:
    from lightchallenge_dagster.checks.catalog import CHECKS, Surroundings
    from lightchallenge_dagster.sensors.health import find

    plan.refresh_plans(messy.database, POLICY)
    made = messy.resources
    around = Surroundings(made["database"], made["chain"], made["signers"], made["policy"])
    found = {check.name: find(check, around) for check in CHECKS}
    blind = {
        name: findings.rows
        for name, findings in found.items()
        if list(findings.columns) == ["cannot evaluate"] and name != "indexer_lag"
    }
    assert blind == {}


def test_a_day_with_such_rows_is_judged_and_ranked_for_everybody_else(messy: World) -> None:
    database = messy.database
    a_good_challenge(database)
    b.challenge(database, 9, b.competitive())
    b.stake(database, 9, ANN)
    b.evidence(database, 9, ANN, [b.run(6)])
    plan.refresh_plans(database, POLICY)
    for day in judge.pending(database):
        judge.judge(database, day, DURING)
    for now in (DURING, AFTER):
        for day in rank.pending(database, now):
            rank.rank(database, day, now)
    assert good_is_judged(database)
    assert b.rows(database, "select winner from public.rankings where challenge_id = 9") == [
        (True,)
    ]
    assert rank.pending(database, AFTER) == {}
    with database.connect() as connection:
        assert connection.execute(text("select count(*) from public.evidence")).scalar_one() > 30
