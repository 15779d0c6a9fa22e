"""The demo's own check: what the pipeline did, held against chain and database by plain loops.

Nothing of the pipeline is used: events and views come straight from the node, rows from the
tables, checks and runs from Dagster's own API.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import requests

from lightchallenge_dagster.devnet.client import CANCELED, FINALIZED, SUCCESS, Client
from lightchallenge_dagster.devnet.demo import facts, webapp
from lightchallenge_dagster.devnet.demo.facts import ChainFacts, DatabaseChallenge
from lightchallenge_dagster.devnet.demo.scenario import Challenge, name_of
from lightchallenge_dagster.devnet.errors import DevnetError

if TYPE_CHECKING:
    from lightchallenge_dagster.devnet.demo.webapp import Connection
    from lightchallenge_dagster.devnet.deploy import Deployment

BPS = 10_000
SCALE = 10**18
STATUS_ON_CHAIN = {0: "Active", FINALIZED: "Finalized", CANCELED: "Canceled"}
ACHIEVEMENT_POINTS = {"completion": 50, "victory": 150}
LEVELS = ((5, 2000), (4, 800), (3, 300), (2, 100), (1, 0))
HEALTH_SENSOR = "health_sensor"


@dataclass(frozen=True, slots=True)
class Assertion:
    """One statement, how much it was held against, and what speaks against it."""

    statement: str
    figures: str
    problems: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        mark = "✓" if self.holds else "✗"
        return "\n".join(
            [f"{mark} {self.statement} ({self.figures})", *(f"    {one}" for one in self.problems)]
        )


@dataclass(slots=True)
class _Case:
    """Collects what speaks against one statement."""

    statement: str
    counted: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.problems.append(f"{what}: {found}, expected {wanted}")

    def closed(self) -> Assertion:
        figures = ", ".join(f"{count} {what}" for what, count in self.counted.items())
        if not self.counted or not any(self.counted.values()):
            self.problems.append("there was nothing to look at")
        return Assertion(self.statement, figures or "nothing", tuple(self.problems))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the assertions look at, read once."""

    client: Client
    connection: Connection
    chain: ChainFacts
    challenges: list[DatabaseChallenge]
    told: Mapping[int, Challenge]


def read(deployment: Deployment, database_url: str, told: Mapping[int, Challenge]) -> Evidence:
    """Read chain (every event from the first block on) and database. Close ``connection``."""
    client = Client(deployment)
    connection = webapp.connect(database_url)
    chain = ChainFacts()
    chain.add(client.events())
    return Evidence(client, connection, chain, facts.challenges(connection), told)


def of_outcomes(evidence: Evidence) -> list[Assertion]:
    """Everything about money, standing and merit: chain against database."""
    return [
        _all_there(evidence),
        _winners(evidence),
        _requests(evidence),
        _bindings(evidence),
        _claims(evidence),
        _payouts(evidence),
        _mints(evidence),
        _reputation(evidence),
        _standings(evidence),
    ]


# ── challenges ──────────────────────────────────────────────────────────────────────────


def _all_there(evidence: Evidence) -> Assertion:
    case = _Case("every challenge is in the database, with the chain's status and outcome")
    known = {one.id: one for one in evidence.challenges}
    for one in evidence.chain.created:
        case.counted["challenges"] += 1
        row = known.get(one)
        if row is None:
            case.problems.append(f"#{one} was created and has no row")
            continue
        on_chain = evidence.client.challenge(one)
        case.expect(f"status of #{one}", row.status, STATUS_ON_CHAIN[on_chain.status])
        outcome = on_chain.outcome if on_chain.status == FINALIZED else None
        case.expect(f"outcome of #{one}", row.chain_outcome, outcome)
        missing = evidence.chain.joined[one] - row.participants
        if missing:
            case.problems.append(f"stakers of #{one} who are no participants: {_names(missing)}")
        if on_chain.status not in (FINALIZED, CANCELED):
            case.problems.append(f"#{one} has not ended: it is neither finalized nor canceled")
    return case.closed()


def _winners(evidence: Evidence) -> Assertion:
    case = _Case("isWinner on chain equals the ranking or verdict, and is what was to be expected")
    for challenge in evidence.challenges:
        canceled = challenge.id in evidence.chain.canceled
        told = evidence.told.get(challenge.id)
        people = challenge.participants | evidence.chain.joined[challenge.id]
        for wallet in sorted(people | set(challenge.outcomes)):
            outcome = challenge.outcomes.get(wallet)
            decided = False
            if outcome is not None:
                competitive = challenge.mode == "competitive"
                decided = bool(outcome.ranked_winner if competitive else outcome.passed)
            wins = evidence.client.is_winner(challenge.id, wallet)
            case.counted["wallets in challenges"] += 1
            case.counted["winners"] += wins
            who = f"{name_of(wallet)} in #{challenge.id}"
            if not canceled:
                case.expect(f"isWinner of {who}", wins, decided)
            if told is not None:
                case.expect(f"isWinner of {who}", wins, name_of(wallet) in told.expected)
    return case.closed()


def _requests(evidence: Evidence) -> Assertion:
    case = _Case("exactly one InferenceRequestedV2 for each dispatched challenge")
    attributed = 0
    for challenge in evidence.challenges:
        found = evidence.chain.requests_of(challenge.id)
        attributed += len(found)
        dispatched = challenge.job is not None
        case.counted["challenges dispatched"] += dispatched
        case.expect(f"requests for #{challenge.id}", len(found), int(dispatched))
        won = bool(evidence.chain.winners[challenge.id])
        case.expect(f"#{challenge.id} dispatched", dispatched, won)
    case.counted["requests"] = len(evidence.chain.requests)
    case.expect("requests about a challenge", attributed, len(evidence.chain.requests))
    return case.closed()


def _bindings(evidence: Evidence) -> Assertion:
    case = _Case("every winner has a binding, and nobody else")
    for challenge in evidence.challenges:
        for wallet in sorted(evidence.chain.joined[challenge.id] | challenge.participants):
            wins = evidence.client.is_winner(challenge.id, wallet)
            bound = evidence.client.is_bound(challenge.id, wallet)
            case.counted["bindings"] += bound
            case.counted["winners"] += wins
            case.expect(f"{name_of(wallet)} bound in #{challenge.id}", bound, wins)
    return case.closed()


# ── money ───────────────────────────────────────────────────────────────────────────────


def _claims(evidence: Evidence) -> Assertion:
    case = _Case("claims equal the claim events, wei for wei")
    stored: dict[tuple[int, str, str], int] = {}
    for challenge_id, subject, kind, wei in evidence.connection.execute(
        "select challenge_id, lower(subject), claim_type, amount_wei from public.claims"
    ).fetchall():
        stored[challenge_id, subject, kind] = int(wei)
    events = evidence.chain.claims
    for key in sorted(stored.keys() | events.keys()):
        challenge_id, subject, kind = key
        what = f"{kind} of {name_of(subject)} in #{challenge_id}, wei"
        case.expect(what, stored.get(key), events.get(key))
    case.counted["claims"] = len(stored)
    case.counted["wei in events"] = sum(events.values())
    return case.closed()


def _payouts(evidence: Evidence) -> Assertion:
    """PROTOCOL.md's formula, from stakes and fees alone."""
    case = _Case("every payout is what stakes and fees make it, wei for wei")
    client = evidence.client
    for challenge_id, wallet, kind in sorted(evidence.chain.claims):
        if kind == "treasury_eth":
            continue
        stake = client.contribution(challenge_id, wallet)
        wanted = stake
        if kind != "refund":
            won = evidence.chain.winners[challenge_id]
            stakes = {
                w: client.contribution(challenge_id, w) for w in _stakers(evidence, challenge_id)
            }
            of_winners = sum(wei for w, wei in stakes.items() if w in won)
            of_losers = sum(wei for w, wei in stakes.items() if w not in won)
            forfeit, _, _, cashback_bps = client.view("challengepay", "feesOf", challenge_id)
            cashback = of_losers * cashback_bps // BPS
            fees = (of_losers - cashback) * forfeit // BPS
            if kind == "winner":
                bonus = (of_losers - cashback - fees) * SCALE // of_winners
                wanted = stake + stake * bonus // SCALE
            else:
                wanted = stake * (cashback * SCALE // of_losers) // SCALE
        case.counted["payouts"] += 1
        found = evidence.chain.claims[challenge_id, wallet, kind]
        case.expect(f"{kind} of {name_of(wallet)} in #{challenge_id}, wei", found, wanted)
    for challenge_id, outcome in evidence.chain.finalized.items():
        won = evidence.chain.winners[challenge_id]
        case.expect(f"success of #{challenge_id}", outcome == SUCCESS, bool(won))
        for wallet in won:
            if not evidence.chain.paid_out(challenge_id, wallet):
                case.problems.append(f"{name_of(wallet)} won #{challenge_id} and has no coins")
    for challenge_id in evidence.chain.canceled:
        for wallet in _stakers(evidence, challenge_id):
            case.expect(
                f"coins back to {name_of(wallet)} in #{challenge_id}, wei",
                evidence.chain.paid_out(challenge_id, wallet),
                client.contribution(challenge_id, wallet),
            )
    return case.closed()


def _stakers(evidence: Evidence, challenge_id: int) -> list[str]:
    return sorted(evidence.chain.joined[challenge_id])


# ── standing ────────────────────────────────────────────────────────────────────────────


def _mints(evidence: Evidence) -> Assertion:
    case = _Case("achievement mints equal the mint events")
    stored = {
        (int(row[0]), int(row[1]), row[2], row[3])
        for row in evidence.connection.execute(
            "select token_id, challenge_id, lower(recipient), achievement_type "
            "from public.achievement_mints"
        ).fetchall()
    }
    minted = set(evidence.chain.mints)
    case.counted["mints"] = len(minted)
    for token in sorted(stored ^ minted):
        where = "in the table only" if token in stored else "on chain only"
        case.problems.append(f"token {token[0]}, {token[3]} of {name_of(token[2])}: {where}")
    return case.closed()


def _reputation(evidence: Evidence) -> Assertion:
    case = _Case("reputation equals a recomputation from the mint events")
    wanted: dict[str, tuple[int, int, int, int]] = {}
    for _, _, wallet, kind in evidence.chain.mints:
        points, _, completions, victories = wanted.get(wallet, (0, 1, 0, 0))
        points += ACHIEVEMENT_POINTS[kind]
        level = next(level for level, least in LEVELS if points >= least)
        wanted[wallet] = (
            points,
            level,
            completions + (kind == "completion"),
            victories + (kind == "victory"),
        )
    rows = evidence.connection.execute(
        "select lower(subject), points, level, completions, victories from public.reputation"
    ).fetchall()
    found = {row[0]: tuple(row[1:]) for row in rows}
    for wallet in sorted(wanted.keys() | found.keys()):
        case.counted["wallets"] += 1
        case.counted["points"] += wanted.get(wallet, (0,))[0]
        case.expect(
            f"(points, level, completions, victories) of {name_of(wallet)}",
            found.get(wallet),
            wanted.get(wallet),
        )
    return case.closed()


@dataclass(slots=True)
class _Score:
    points: Fraction = Fraction(0)
    wins: int = 0
    losses: int = 0
    draws: int = 0
    competitions: set[object] = field(default_factory=set[object])

    def take(self, result: str, points: Fraction, competition: object) -> None:
        self.points += points
        self.wins += result == "win"
        self.losses += result == "loss"
        self.draws += result == "draw"
        self.competitions.add(competition)

    def row(self) -> tuple[int, int, int, int, int]:
        # Points are never negative here: half up is floor(x + 1/2).
        rounded = (self.points + Fraction(1, 2)).__floor__()
        return rounded, self.wins, self.losses, self.draws, len(self.competitions)


def _standings(evidence: Evidence) -> Assertion:
    case = _Case("season standings equal a recomputation from matches and challenges")
    connection = evidence.connection
    rosters: dict[str, list[str]] = defaultdict(list)
    for team, wallet in connection.execute(
        "select team_id, lower(wallet) from public.team_roster"
    ).fetchall():
        rosters[str(team)].append(wallet)
    for season, scoring in connection.execute(
        "select id, scoring_config from public.seasons"
    ).fetchall():
        scores: dict[str, _Score] = defaultdict(_Score)
        for competition, challenge_ids, weight in connection.execute(
            "select c.id, c.challenge_ids, s.weight from public.season_competitions s "
            "join public.competitions c on c.id = s.competition_id where s.season_id = %s",
            (season,),
        ).fetchall():
            worth = {
                result: Fraction(Decimal(str(scoring[result]))) * Fraction(Decimal(repr(weight)))
                for result in ("win", "draw", "loss")
            }
            results = _match_results(connection, competition, rosters)
            results += _challenge_results(evidence, challenge_ids)
            for wallet, result in results:
                scores[wallet].take(result, worth[result], competition)
            case.counted["results"] += len(results)
        stored = {
            row[0]: tuple(row[1:])
            for row in connection.execute(
                "select lower(wallet), points, wins, losses, draws, competitions_entered "
                "from public.season_standings where season_id = %s",
                (season,),
            ).fetchall()
        }
        for wallet in sorted(stored.keys() | scores.keys()):
            case.counted["wallets"] += 1
            case.expect(
                f"(points, wins, losses, draws, competitions) of {name_of(wallet)}",
                stored.get(wallet),
                scores[wallet].row() if wallet in scores else None,
            )
    return case.closed()


def _match_results(
    connection: Connection, competition: object, rosters: Mapping[str, Sequence[str]]
) -> list[tuple[str, str]]:
    results: list[tuple[str, str]] = []
    for a, b, score_a, score_b, winner in connection.execute(
        "select participant_a, participant_b, score_a, score_b, winner "
        "from public.bracket_matches where competition_id = %s and status = 'completed'",
        (competition,),
    ).fetchall():
        for side in (a, b):
            if winner is None:
                result = "draw" if score_a == score_b else None
            else:
                result = "win" if side == winner else "loss"
            if side is None or result is None:
                continue
            results += [(wallet, result) for wallet in rosters.get(side, [side.lower()])]
    return results


def _challenge_results(evidence: Evidence, challenge_ids: Sequence[int]) -> list[tuple[str, str]]:
    results: list[tuple[str, str]] = []
    for challenge_id in challenge_ids:
        if challenge_id not in evidence.chain.finalized:
            continue
        for wallet in _stakers(evidence, challenge_id):
            won = evidence.client.is_winner(challenge_id, wallet)
            results.append((wallet, "win" if won else "loss"))
    return results


# ── Dagster ─────────────────────────────────────────────────────────────────────────────

_NODES = """
query { assetNodes { assetKey { path } assetChecksOrError {
  __typename ... on AssetChecks { checks { name } } } } }
"""
_RUNS = """
query { runsOrError(limit: 1000) { __typename ... on Runs { results {
  runId status jobName } } } }
"""
_TICKS = """
query { repositoriesOrError { ... on RepositoryConnection { nodes { sensors {
  name sensorState { status ticks(limit: 3) { timestamp endTimestamp status } } } } } } }
"""


class DagsterApi:
    """Dagster's GraphQL endpoint."""

    def __init__(self, ui_url: str) -> None:
        self._url = f"{ui_url}/graphql"

    def ask(self, query: str) -> dict[str, Any]:
        """The query's data. Raises ``DevnetError`` when the endpoint is away or refuses."""
        try:
            response = requests.post(self._url, json={"query": query}, timeout=30)
            answer = cast("dict[str, Any]", response.json())
        except requests.RequestException as error:
            raise DevnetError(f"Dagster's API did not answer: {error}") from error
        if answer.get("errors"):
            raise DevnetError(f"Dagster's API refused a query: {answer['errors'][0]['message']}")
        return cast("dict[str, Any]", answer["data"])


def looked_after_since(api: DagsterApi, timestamp: float) -> bool:
    """Whether the health sensor has begun and ended a look after ``timestamp`` (epoch seconds)."""
    for repository in api.ask(_TICKS)["repositoriesOrError"]["nodes"]:
        for sensor in repository["sensors"]:
            if sensor["name"] == HEALTH_SENSOR:
                return any(
                    tick["timestamp"] >= timestamp and tick["status"] in ("SUCCESS", "SKIPPED")
                    for tick in sensor["sensorState"]["ticks"]
                )
    raise DevnetError(f"there is no {HEALTH_SENSOR}")


def of_dagster(api: DagsterApi) -> list[Assertion]:
    """Asset checks and runs, as Dagster's own API tells them."""
    return [_asset_checks(api), _runs(api)]


def _asset_checks(api: DagsterApi) -> Assertion:
    case = _Case("every asset check has been evaluated and is green")
    checks = [
        (node["assetKey"]["path"], check["name"])
        for node in api.ask(_NODES)["assetNodes"]
        for check in node["assetChecksOrError"].get("checks", [])
    ]
    case.counted["checks"] = len(checks)
    if not checks:
        return case.closed()
    parts = [
        f"c{number}: assetCheckExecutions(assetKey: {{path: [{_quoted(path)}]}}, "
        f'checkName: "{name}", limit: 1) {{ status }}'
        for number, (path, name) in enumerate(checks)
    ]
    answers = api.ask("query { " + " ".join(parts) + " }")
    for number, (path, name) in enumerate(checks):
        executions = answers[f"c{number}"]
        status = executions[0]["status"] if executions else "never evaluated"
        case.expect(f"{'/'.join(path)}: {name}", status, "SUCCEEDED")
    return case.closed()


def _runs(api: DagsterApi) -> Assertion:
    case = _Case("no run failed, and none was canceled")
    for run in api.ask(_RUNS)["runsOrError"]["results"]:
        case.counted["runs"] += 1
        if run["status"] in ("FAILURE", "CANCELED", "CANCELING"):
            case.problems.append(f"{run['jobName']} {run['runId']}: {run['status']}")
    return case.closed()


def _quoted(path: Sequence[str]) -> str:
    return ", ".join(f'"{part}"' for part in path)


def _names(addresses: set[str]) -> str:
    return ", ".join(sorted(name_of(address) for address in addresses))
