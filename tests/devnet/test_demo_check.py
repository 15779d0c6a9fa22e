"""The demo's check has to notice: every figure it holds is made wrong once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest

from lightchallenge_dagster.devnet.demo import check, webapp
from lightchallenge_dagster.devnet.demo.check import Assertion
from lightchallenge_dagster.devnet.demo.scenario import Challenge, name_of
from tests.devnet.world import ETHER, World

STATUSES = "every challenge is in the database, with the chain's status and outcome"
WINNERS = "isWinner on chain equals the ranking or verdict, and is what was to be expected"
REQUESTS = "exactly one InferenceRequestedV2 for each dispatched challenge"
BINDINGS = "every winner has a binding, and nobody else"
CLAIMS = "claims equal the claim events, wei for wei"
PAYOUTS = "every payout is what stakes and fees make it, wei for wei"
MINTS = "achievement mints equal the mint events"
REPUTATION = "reputation equals a recomputation from the mint events"
STANDINGS = "season standings equal a recomputation from matches and challenges"


@dataclass
class Settled:
    """A finalized challenge that Alice won against Bob, and all its rows as they should be."""

    world: World
    url: str
    challenge_id: int
    told: dict[int, Challenge]

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)  # pyright: ignore[reportArgumentType]

    def assertions(self) -> dict[str, Assertion]:
        evidence = check.read(self.world.deployment, self.url, self.told)
        try:
            return {one.statement: one for one in check.of_outcomes(evidence)}
        finally:
            evidence.connection.close()

    def broken(self) -> set[str]:
        return {statement for statement, one in self.assertions().items() if not one.holds}


@pytest.fixture
def settled(world: World, database_url: str) -> Settled:
    client, alice, bob = world.client, world.alice, world.bob
    challenge_id = world.finished(alice, stakes={"bob": 3 * ETHER})
    won = client.claim_winner(alice, challenge_id)
    back = client.claim_loser(bob, challenge_id)
    taken = {
        alice.address: client.claim_eth(alice, challenge_id),
        bob.address: client.claim_eth(bob, challenge_id),
    }
    tokens = [
        (client.mint_achievement(alice, challenge_id, "completion"), alice, "completion"),
        (client.mint_achievement(alice, challenge_id, "victory"), alice, "victory"),
        (client.mint_achievement(bob, challenge_id, "completion"), bob, "completion"),
    ]
    with webapp.connect(database_url) as connection:
        _write(connection, challenge_id, alice.address, bob.address)
        claims = [
            (alice.address, "winner", won),
            (bob.address, "loser", back),
            *((wallet, "treasury_eth", wei) for wallet, wei in taken.items()),
        ]
        for wallet, kind, wei in claims:
            connection.execute(
                "insert into public.claims (challenge_id, subject, claim_type, amount_wei, source)"
                " values (%s, %s, %s, %s, 'indexer')",
                (challenge_id, wallet, kind, wei),
            )
        for token, who, kind in tokens:
            connection.execute(
                "insert into public.achievement_mints "
                "(token_id, challenge_id, recipient, achievement_type) values (%s, %s, %s, %s)",
                (token, challenge_id, who.address, kind),
            )
    told = Challenge(challenge_id, "", [], (name_of(alice.address),), 0, 0, 0, "threshold")
    return Settled(world, database_url, challenge_id, {challenge_id: told})


def _write(connection: webapp.Connection, challenge_id: int, alice: str, bob: str) -> None:
    connection.execute(
        "insert into public.challenges (id, title, status, chain_outcome, proof) "
        "values (%s, 'steps', 'Finalized', 1, %s)",
        (challenge_id, json.dumps({"params": {"rules": {}}})),
    )
    connection.execute(
        "insert into public.aivm_jobs (challenge_id, status, attempts) values (%s, 'done', 1)",
        (challenge_id,),
    )
    for wallet, passed in ((alice, True), (bob, False)):
        connection.execute(
            "insert into public.participants (challenge_id, subject) values (%s, %s)",
            (challenge_id, wallet),
        )
        connection.execute(
            "insert into public.verdicts (challenge_id, subject, pass, reasons, evidence_hash, "
            "evaluator) values (%s, %s, %s, '{}', '0x', 'fitness')",
            (challenge_id, wallet, passed),
        )
    connection.execute(
        "insert into public.reputation (subject, points, level, completions, victories) "
        "values (%s, 200, 2, 1, 1), (%s, 50, 1, 1, 0)",
        (alice, bob),
    )
    club = webapp.add_organization(connection, "Club", "club", alice)
    season = webapp.add_season(connection, club, "Autumn")
    team = webapp.add_team(connection, club, "Pair", [bob])
    match = webapp.Match(alice, str(team), 1, 1, None)
    webapp.add_bracket(connection, club, season, "Cup", 1.0, [match])
    webapp.add_challenge_series(connection, club, season, "League", 1.5, [challenge_id])
    # Alice: a draw and a win that counts 1.5 times, 1 + 4.5 rounded half up; Bob: draw and loss.
    connection.execute(
        "insert into public.season_standings "
        "(season_id, wallet, points, wins, losses, draws, competitions_entered) "
        "values (%s, %s, 6, 1, 0, 1, 2), (%s, %s, 1, 0, 1, 1, 2)",
        (season, alice, season, bob),
    )


def test_everything_holds_where_the_rows_are_what_the_chain_says(settled: Settled) -> None:
    assert [str(one) for one in settled.assertions().values() if not one.holds] == []


@pytest.mark.parametrize(
    ("statement", "noticed"),
    [
        ("update public.challenges set status = 'Active'", {STATUSES}),
        ("update public.challenges set chain_outcome = 2", {STATUSES}),
        ("delete from public.participants", {STATUSES}),
        ("update public.verdicts set pass = not pass", {WINNERS}),
        ("delete from public.verdicts", {WINNERS}),
        ("delete from public.aivm_jobs", {REQUESTS}),
        ("update public.claims set amount_wei = 1 where claim_type = 'loser'", {CLAIMS}),
        ("delete from public.claims where claim_type = 'treasury_eth'", {CLAIMS}),
        ("insert into public.claims (challenge_id, subject, claim_type, amount_wei, source) "
         "values (99, '0xab', 'refund', 1, 'ui')", {CLAIMS}),
        ("delete from public.achievement_mints where achievement_type = 'victory'", {MINTS}),
        ("update public.reputation set level = 5", {REPUTATION}),
        ("delete from public.reputation where points = 50", {REPUTATION}),
        ("update public.season_standings set points = 5 where points = 6", {STANDINGS}),
        ("update public.season_standings set competitions_entered = 1", {STANDINGS}),
        ("update public.season_competitions set weight = 2", {STANDINGS}),
    ],
)  # fmt: skip
def test_a_wrong_row_is_noticed(settled: Settled, statement: str, noticed: set[str]) -> None:
    settled.run(statement)
    assert settled.broken() == noticed


def test_a_competitive_challenge_is_held_against_its_ranking(settled: Settled) -> None:
    settled.run(
        "update public.challenges set proof = "
        """'{"params": {"rule": {"mode": "competitive"}}}'"""
    )
    assert settled.broken() == {WINNERS}
    settled.run(
        "insert into public.rankings (challenge_id, subject, rank, winner, tie_break_at, top_n, "
        "state, inputs_hash) select challenge_id, subject, row_number() over (order by subject), "
        "pass, now(), 1, 'frozen', '' from public.verdicts"
    )
    assert settled.broken() == set()


def _second_request(settled: Settled) -> None:
    world = settled.world
    world.client.request_inference(world.worker, settled.challenge_id, world.alice.address)


def _stray_binding(settled: Settled) -> None:
    world = settled.world
    request = world.request(settled.challenge_id)
    world.client.bind(world.worker, settled.challenge_id, world.bob.address, request)


def _cleared_binding(settled: Settled) -> None:
    world = settled.world
    world.client.send(
        world.worker,
        "task_registry",
        "clearBinding",
        settled.challenge_id,
        world.alice.address,
    )


def _nobody_expected(settled: Settled) -> None:
    settled.told[settled.challenge_id].expected = ()


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        (_second_request, {REQUESTS}),
        (_stray_binding, {BINDINGS}),
        (_cleared_binding, {BINDINGS}),
        (_nobody_expected, {WINNERS}),
    ],
)
def test_a_wrong_step_on_chain_is_noticed(
    settled: Settled, change: Callable[[Settled], None], noticed: set[str]
) -> None:
    change(settled)
    assert settled.broken() == noticed


def test_a_winner_who_took_nothing_out_is_noticed(world: World, database_url: str) -> None:
    challenge_id = world.finished(world.alice)
    evidence = check.read(world.deployment, database_url, {})
    with evidence.connection:
        payouts = {one.statement: one for one in check.of_outcomes(evidence)}[PAYOUTS]
    assert (
        payouts.problems[0]
        == f"{name_of(world.alice.address)} won #{challenge_id} and has no coins"
    )


def test_an_empty_deployment_proves_nothing(world: World, database_url: str) -> None:
    evidence = check.read(world.deployment, database_url, {})
    with evidence.connection:
        assert not any(one.holds for one in check.of_outcomes(evidence))
