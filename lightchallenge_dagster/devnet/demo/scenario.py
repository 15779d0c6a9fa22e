"""What people do in the demo: each challenge is a story, told in the order it happens.

A story acts as its users would (transactions, uploads, matches played, rows that the web app
writes) and waits for what the pipeline makes of it. Stories run side by side, one thread each;
every wait has a deadline, and names what is missing when it passes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import requests

from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import ACTIVE, CANCELED, Client
from lightchallenge_dagster.devnet.demo import uploads, webapp
from lightchallenge_dagster.devnet.demo.stack import Say, Stack
from lightchallenge_dagster.devnet.demo.uploads import Run, Walk
from lightchallenge_dagster.devnet.demo.webapp import Match, Model
from lightchallenge_dagster.devnet.errors import ContractRefused
from lightchallenge_dagster.devnet.wallets import Wallet
from lightchallenge_dagster.errors import LightChallengeError

LCAI = 10**18
FUNDS_WEI = 100 * LCAI
PEOPLE = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gil", "Hana", "Ivy", "Jon")
POLL_S = 1.0
GIL_STEAM, HANA_STEAM = 76_561_198_000_000_101, 76_561_198_000_000_202
STEAM64_OFFSET = 76_561_197_960_265_728


class Missing(LightChallengeError):
    """Something did not happen in time; the message says what, and what was there instead."""


class Stopped(LightChallengeError):
    """The demo is being stopped."""


@dataclass(slots=True)
class Challenge:
    """A challenge of the demo, as its people know it. ``expected`` are the winners' names."""

    id: int
    title: str
    people: list[str]
    expected: tuple[str, ...]
    start_ts: int
    end_ts: int
    proof_deadline_ts: int
    mode: str


@dataclass(slots=True)
class World:
    """What the stories share. ``challenges`` grows as they are created, in the order of ids."""

    stack: Stack
    say: Say
    stop: threading.Event = field(default_factory=threading.Event)
    challenges: dict[int, Challenge] = field(default_factory=dict[int, Challenge])
    season: UUID | None = None
    _locks: dict[str, threading.Lock] = field(
        default_factory=lambda: {name: threading.Lock() for name in PEOPLE}
    )

    def lock(self, name: str) -> threading.Lock:
        """One transaction at a time for each wallet, whichever stories it plays in."""
        return self._locks[name]


def wallet(name: str) -> Wallet:
    """The wallet of one of ``PEOPLE``."""
    return wallets.user(name.lower())


def name_of(address: str) -> str:
    """Whose wallet it is; the short address of a stranger's."""
    return NAMES.get(address.lower(), f"{address[:8]}…{address[-4:]}")


NAMES = {wallet(name).address: name for name in PEOPLE} | {
    wallets.admin().address: "admin",
    wallets.worker().address: "worker",
    wallets.finalizer().address: "finalizer",
    wallets.protocol().address: "protocol",
}


class Teller:
    """One story's hands: a client of its own, a connection of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stack = world.stack
        self.client = Client(world.stack.deployment)
        self.database = webapp.connect(world.stack.database_url)

    def close(self) -> None:
        self.database.close()

    # ── acting ──────────────────────────────────────────────────────────────────────────

    def create(
        self,
        creator: str,
        title: str,
        description: str,
        *,
        model: Model,
        rule: dict[str, Any],
        expected: Sequence[str],
        stake: int = LCAI,
        join_s: int | None = None,
    ) -> Challenge:
        """The creator stakes and the web app saves the challenge."""
        windows = self.stack.windows
        with self.world.lock(creator):
            start = self.client.now() + (join_s or windows.join_s)
            end = start + windows.run_s
            deadline = end + windows.proof_s
            params = (0, 0, "0x" + "00" * 20, stake, 0, start, windows.run_s, 0,
                      self.stack.deployment.poi_verifier, deadline, "0x" + "00" * 32)  # fmt: skip
            receipt = self.client.send(
                wallet(creator), "challengepay", "createChallenge", params, value=stake
            )
        challenge_id = int(receipt.event("ChallengeCreated").args["id"])
        webapp.save_challenge(
            self.database,
            challenge_id=challenge_id,
            title=title,
            description=description,
            creator=wallet(creator).address,
            tx_hash=receipt.transaction_hash,
            model=model,
            rule=rule,
            start_ts=start,
            end_ts=end,
            proof_deadline_ts=deadline,
            stake_wei=stake,
        )
        challenge = Challenge(
            challenge_id,
            title,
            [creator],
            tuple(expected),
            start,
            end,
            deadline,
            str(rule.get("mode", "threshold")),
        )
        self.world.challenges[challenge_id] = challenge
        self.world.say(f"{creator} creates “{title}” (#{challenge_id}) and stakes {coins(stake)}")
        return challenge

    def join(self, name: str, challenge: Challenge, stake: int = LCAI) -> None:
        """Somebody stakes on the challenge."""
        with self.world.lock(name):
            self.client.join(wallet(name), challenge.id, stake)
        challenge.people.append(name)
        self.world.say(f"{name} joins #{challenge.id} with {coins(stake)}")

    def upload(self, name: str, challenge: Challenge, provider: str, made: Path) -> None:
        """Put a file into the inbox, as the web app does: complete under its name at once."""
        target = self.stack.inbox / inbox_name(challenge.id, wallet(name).address, provider, made)
        hidden = target.with_name(f".{target.name}.part")
        hidden.write_bytes(made.read_bytes())
        hidden.replace(target)
        self.world.say(f"{name} uploads {provider} evidence for #{challenge.id}")

    def made(self, name: str) -> Path:
        """Where a user's file is made before it is uploaded."""
        return self.stack.folder / "uploads" / name

    def play(self, steam64: int, matches: Sequence[dict[str, Any]]) -> None:
        """Matches that a player has just played, as OpenDota learns of them."""
        root = self.stack.opendota_url.removesuffix("/api")
        url = f"{root}/admin/players/{steam64 - STEAM64_OFFSET}/matches"
        requests.post(url, json=list(matches), timeout=10).raise_for_status()

    def claim(self, challenge: Challenge) -> None:
        """Everybody takes out what the contract grants them, and mints what they earned."""
        canceled = self.client.challenge(challenge.id).status == CANCELED
        with ThreadPoolExecutor(len(challenge.people)) as people:
            claims = [
                people.submit(self._claim, name, challenge, canceled) for name in challenge.people
            ]
        for one in claims:
            one.result()

    def _claim(self, name: str, challenge: Challenge, canceled: bool) -> None:
        with self.world.lock(name):
            self._take_out(Client(self.stack.deployment), name, challenge, canceled)

    def _take_out(self, client: Client, name: str, challenge: Challenge, canceled: bool) -> None:
        user = wallet(name)
        won = client.is_winner(challenge.id, user.address)
        claim = client.claim_refund if canceled else client.claim_loser
        if won:
            claim = client.claim_winner
        try:
            claim(user, challenge.id)
        except ContractRefused as refusal:
            if refusal.error != "NotEligible":
                raise
        taken = 0
        if client.eth_allowance(challenge.id, user.address):
            taken = client.claim_eth(user, challenge.id)
        if not canceled:
            client.mint_achievement(user, challenge.id, "completion")
        if won:
            client.mint_achievement(user, challenge.id, "victory")
        outcome = "a refund" if canceled else "a winner" if won else "not a winner"
        self.world.say(f"{name} ({outcome} of #{challenge.id}) takes out {coins(taken)}")

    # ── waiting ─────────────────────────────────────────────────────────────────────────

    def until(self, timestamp: int) -> None:
        """Wait for chain time."""
        self.wait(
            f"chain time {timestamp}",
            lambda: self.client.now() >= timestamp,
            deadline_s=timestamp - self.client.now() + 30,
        )

    def wait(self, what: str, reached: Callable[[], bool], *, deadline_s: float) -> None:
        """Look every second. Raises ``Missing`` naming ``what``, ``Stopped`` when that is asked."""
        deadline = time.monotonic() + deadline_s
        while not reached():
            if self.world.stop.wait(POLL_S):
                raise Stopped("the demo is being stopped")
            if time.monotonic() > deadline:
                raise Missing(f"not within {deadline_s:.0f} s: {what}")

    def await_evidence(self, challenge: Challenge, *submitted: tuple[str, str]) -> None:
        """Wait until (name, provider) each have evidence, at the latest until the deadline."""

        def there() -> bool:
            rows = self.database.execute(
                "select lower(subject), provider from public.evidence where challenge_id = %s",
                (challenge.id,),
            ).fetchall()
            return {(wallet(name).address, provider) for name, provider in submitted} <= set(rows)

        listed = ", ".join(f"{name}'s {provider}" for name, provider in submitted)
        self.wait(
            f"evidence of #{challenge.id} from {listed}",
            there,
            deadline_s=challenge.proof_deadline_ts - self.client.now(),
        )

    def await_finalized(self, challenge: Challenge) -> None:
        """Wait until somebody (the pipeline) has finalized it."""
        patience = 90 * self.stack.windows.pace
        self.wait(
            f"#{challenge.id} “{challenge.title}” finalized on chain "
            f"(its proof deadline: {challenge.proof_deadline_ts})",
            lambda: self.client.challenge(challenge.id).status != ACTIVE,
            deadline_s=challenge.proof_deadline_ts - self.client.now() + patience,
        )
        won = [n for n in challenge.people if self.won(challenge, n)]
        self.world.say(f"#{challenge.id} is finalized; won by {', '.join(won) or 'nobody'}")

    def won(self, challenge: Challenge, name: str) -> bool:
        """Whether ``name`` is a winner on chain."""
        return self.client.is_winner(challenge.id, wallet(name).address)


# ── the stories ─────────────────────────────────────────────────────────────────────────


def eight_thousand_steps(tell: Teller) -> None:
    """A threshold challenge that its creator passes and a friend does not."""
    challenge = tell.create(
        "Ada",
        "8,000 steps",
        "Walk 8,000 steps while the challenge lasts.",
        model=webapp.WALKING,
        rule={"type": "fitness", "metric": "steps", "threshold": 8000, "period": "total"},
        expected=["Ada"],
        stake=2 * LCAI,
    )
    tell.join("Ben", challenge, 3 * LCAI)
    tell.until(challenge.start_ts + 2)
    now = datetime.now(UTC)
    days_before = [
        Walk(now - timedelta(days=day, hours=1), now - timedelta(days=day), 2100 + 37 * day)
        for day in range(1, 8)
    ]
    today = Walk(now - timedelta(minutes=84), now, 8412)
    ada = uploads.apple_health_export(
        tell.made("ada-export.zip"), "Ada", walks=[*days_before, today]
    )
    ben = uploads.canonical_walks(
        tell.made("ben-walks.json"),
        [Walk(now - timedelta(minutes=48), now, 4180), Walk(now - timedelta(minutes=5), now, 560)],
        prefix="ben-walk",
    )
    tell.upload("Ada", challenge, "apple", ada)
    tell.upload("Ben", challenge, "garmin", ben)
    tell.await_evidence(challenge, ("Ada", "apple"), ("Ben", "garmin"))
    tell.await_finalized(challenge)
    tell.claim(challenge)


def ten_kilometres(tell: Teller) -> None:
    """A threshold challenge that nobody passes: the stake is forfeited."""
    challenge = tell.create(
        "Ben",
        "10 km in one run",
        "Run ten kilometres in one go, faster than 7 min/km.",
        model=webapp.RUNNING,
        rule={
            "challengeType": "run",
            "period": _these_days(),
            "conditions": [
                {"metric": "distance_km", "op": ">=", "value": 10},
                {"metric": "avg_pace_min_per_km", "op": "<=", "value": 7},
            ],
        },
        expected=[],
    )
    tell.until(challenge.start_ts + 2)
    now = datetime.now(UTC)
    made = uploads.canonical_runs(
        tell.made("ben-runs.json"),
        [Run(now - timedelta(minutes=41), now, 6.8)],
        prefix="ben-run",
    )
    tell.upload("Ben", challenge, "strava", made)
    tell.await_evidence(challenge, ("Ben", "strava"))
    tell.await_finalized(challenge)
    tell.claim(challenge)


def most_kilometres(tell: Teller) -> None:
    """A competitive challenge: four stakers, the best two win, the creator is third.

    Eve has two providers; her watch lost the signal, so what Garmin recorded counts.
    """
    challenge = tell.create(
        "Cleo",
        "Most kilometres, top two",
        "Whoever runs the most kilometres wins; the first two share the pot.",
        model=webapp.RUNNING,
        rule={
            "challengeType": "run",
            "period": _these_days(),
            "mode": "competitive",
            "topN": 2,
            "competitiveMetric": "distance_km",
        },
        expected=["Dan", "Eve"],
    )
    tell.join("Dan", challenge, LCAI)
    tell.join("Eve", challenge, 2 * LCAI)
    tell.join("Finn", challenge, LCAI)
    tell.until(challenge.start_ts + 2)
    now = datetime.now(UTC)

    def run(minutes: int, kilometres: float) -> Run:
        return Run(now - timedelta(minutes=minutes), now, kilometres)

    cleo = uploads.apple_health_export(tell.made("cleo-export.zip"), "Cleo", runs=[run(44, 7.93)])
    dan = uploads.canonical_runs(tell.made("dan-runs.json"), [run(61, 12.4)], prefix="dan")
    eve_watch = uploads.apple_health_export(
        tell.made("eve-export.zip"), "Eve", runs=[run(50, 6.05)]
    )
    eve = uploads.canonical_runs(tell.made("eve-runs.json"), [run(50, 9.81)], prefix="eve")
    finn = uploads.canonical_runs(tell.made("finn-runs.json"), [run(31, 5.2)], prefix="finn")
    submitted = [
        ("Cleo", "apple", cleo),
        ("Dan", "strava", dan),
        ("Eve", "apple", eve_watch),
        ("Eve", "garmin", eve),
        ("Finn", "strava", finn),
    ]
    for name, provider, made in submitted:
        tell.upload(name, challenge, provider, made)
    tell.await_evidence(challenge, *((name, provider) for name, provider, _ in submitted))
    tell.await_finalized(challenge)
    tell.claim(challenge)


def two_ranked_wins(tell: Teller) -> None:
    """A Dota challenge: evidence is collected from OpenDota on the schedule, nobody uploads."""
    for name, steam in (("Gil", GIL_STEAM), ("Hana", HANA_STEAM)):
        webapp.link_account(tell.database, wallet(name).address, "opendota", str(steam))
    challenge = tell.create(
        "Gil",
        "Two ranked wins",
        "Win two ranked Dota 2 matches.",
        model=webapp.DOTA,
        rule={"minWins": 2, "rankedOnly": True},
        expected=["Gil"],
        join_s=max(10, tell.stack.windows.join_s * 2 // 3),
    )
    tell.join("Hana", challenge)
    tell.until(challenge.start_ts + 1)
    begun = challenge.start_ts

    def match(number: int, second: int, *, won: bool, ranked: bool = True) -> dict[str, Any]:
        return {
            "match_id": 8_400_000_000 + number,
            "start_time": begun + second,
            "player_slot": 1,
            "radiant_win": won,
            "hero_id": 74,
            "lobby_type": 7 if ranked else 0,
            "duration": 1980 + number,
            "kills": 9,
            "deaths": 4,
            "assists": 13,
        }

    tell.play(GIL_STEAM, [match(1, 0, won=True), match(2, 1, won=False), match(3, 1, won=True)])
    tell.play(HANA_STEAM, [match(4, 0, won=True), match(5, 1, won=True, ranked=False)])
    tell.world.say("Gil wins two ranked matches, Hana one ranked and one unranked")
    tell.await_evidence(challenge, ("Gil", "opendota"), ("Hana", "opendota"))
    tell.await_finalized(challenge)
    tell.claim(challenge)


def called_off(tell: Teller) -> None:
    """A challenge that its creator cancels: both stakers take their stakes back."""
    challenge = tell.create(
        "Ivy",
        "Sunrise walk (called off)",
        "5,000 steps before breakfast.",
        model=webapp.WALKING,
        rule={"type": "fitness", "metric": "steps", "threshold": 5000, "period": "total"},
        expected=[],
    )
    tell.join("Jon", challenge, 4 * LCAI)
    with tell.world.lock("Ivy"):
        tell.client.cancel(wallet("Ivy"), challenge.id)
    tell.world.say(f"Ivy cancels #{challenge.id}")
    tell.claim(challenge)


STORIES = (two_ranked_wins, most_kilometres, eight_thousand_steps, ten_kilometres, called_off)


def season(tell: Teller) -> None:
    """A season of a bracket that has been played, and of all the demo's challenges."""
    people = {name: wallet(name).address for name in PEOPLE}
    club = webapp.add_organization(tell.database, "Harbour Athletics", "harbour", people["Ivy"])
    autumn = webapp.add_season(tell.database, club, "Autumn")
    pair = webapp.add_team(tell.database, club, "Night Shift", [people["Gil"], people["Hana"]])
    webapp.add_bracket(
        tell.database,
        club,
        autumn,
        "Harbour Cup",
        1.0,
        [
            Match(people["Ada"], people["Ben"], 2, 1, people["Ada"]),
            Match(people["Cleo"], people["Dan"], 1, 1, None),
            Match(str(pair), people["Eve"], 3, 0, str(pair)),
            Match(people["Finn"], people["Ada"], 0, 2, people["Ada"]),
        ],
    )
    tell.wait(
        "all challenges created",
        lambda: len(tell.world.challenges) == len(STORIES),
        deadline_s=60,
    )
    webapp.add_challenge_series(
        tell.database, club, autumn, "Challenge League", 1.5, sorted(tell.world.challenges)
    )
    tell.world.season = autumn
    tell.world.say("a season counts the Harbour Cup once and the challenges one and a half times")


def clock(tell: Teller) -> None:
    """Puts the chain's clock forward to the proof deadlines once every winner is one on chain.

    Nothing more can happen to the challenges before then, so nobody has to sit it out.
    """
    world, client = tell.world, tell.client

    def settled(challenge: Challenge) -> bool:
        return client.challenge(challenge.id).status != ACTIVE or (
            client.now() >= challenge.end_ts
            and all(tell.won(challenge, name) for name in challenge.expected)
        )

    def nothing_left() -> bool:
        known = list(world.challenges.values())
        return len(known) == len(STORIES) and (
            all(settled(one) for one in known)
            or client.now() >= max(one.proof_deadline_ts for one in known)
        )

    windows = tell.stack.windows
    tell.wait(
        "every winner proved on chain",
        nothing_left,
        deadline_s=windows.join_s + windows.run_s + 2 * windows.proof_s,
    )
    deadline = max(one.proof_deadline_ts for one in world.challenges.values())
    skipped = deadline - client.now()
    if skipped > 0:
        client.travel_to(deadline)
        world.say(
            f"every winner is one on chain: the chain's clock goes {skipped} s forward, to the "
            "last proof deadline"
        )


def prepare(world: World) -> None:
    """Before anybody acts: everyone has coins, and the models are entered."""
    for name in PEOPLE:
        world.stack.anvil.rpc("anvil_setBalance", wallet(name).address, hex(FUNDS_WEI))
    with webapp.connect(world.stack.database_url) as connection:
        webapp.add_models(connection, world.stack.deployment.poi_verifier)


class Cast:
    """The stories on their threads. Once ``done``, ``failures`` says what went wrong in which."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.failures: dict[str, str] = {}
        self._threads = [
            threading.Thread(target=self._play, args=(story,), name=story.__name__, daemon=True)
            for story in (*STORIES, season, clock)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        """Whether every story has ended, well or not."""
        return not any(thread.is_alive() for thread in self._threads)

    def _play(self, story: Callable[[Teller], None]) -> None:
        tell = Teller(self.world)
        name = story.__name__
        # Until it is told to the end; a defect's traceback goes to standard error.
        self.failures[name] = "ended by a defect of the demo"
        try:
            story(tell)
            del self.failures[name]
        except Stopped:
            del self.failures[name]
        except (LightChallengeError, psycopg.Error, requests.RequestException, OSError) as error:
            self.failures[name] = f"{type(error).__name__}: {error}"
        finally:
            tell.close()


def inbox_name(challenge_id: int, subject: str, provider: str, made: Path) -> str:
    """The name under which the inbox knows whose upload it is, for what, and from where."""
    return f"{challenge_id}__{subject}__{provider}__{made.stem}{made.suffix}"


def coins(wei: int) -> str:
    """Wei as LCAI, for people: at most four decimals, never rounded up."""
    whole, rest = divmod(wei, LCAI)
    shown = f"{rest // 10**14:04d}".rstrip("0")
    return f"{whole}.{shown} LCAI" if shown else f"{whole} LCAI"


def _these_days() -> dict[str, str]:
    """A period of whole days around now, in a timezone that is not the machine's."""
    today = datetime.now(UTC).date()
    return {
        "start": (today - timedelta(days=1)).isoformat(),
        "end": (today + timedelta(days=1)).isoformat(),
        "timezone": "Europe/Berlin",
    }
