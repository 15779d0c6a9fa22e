"""What is known about the demo's challenges from the chain and the database, seen from outside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from lightchallenge_dagster.devnet import abi
from lightchallenge_dagster.devnet.abi import Event
from lightchallenge_dagster.devnet.demo.webapp import Connection

CLAIM_TYPES: Mapping[str, tuple[str, str, str]] = {
    # Event: claim type, the argument with the challenge id, the one with the wallet.
    "WinnerClaimed": ("winner", "id", "user"),
    "LoserClaimed": ("loser", "id", "user"),
    "RefundClaimed": ("refund", "id", "user"),
    "ClaimedETH": ("treasury_eth", "bucketId", "to"),
}
ACHIEVEMENT_TYPES: Mapping[int, str] = {0: "completion", 1: "victory"}


@dataclass(slots=True)
class ChainFacts:
    """The contracts' events, added up by plain loops. Wallets are lowercase, money is wei."""

    created: dict[int, str] = field(default_factory=dict[int, str])
    joined: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    requests: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    attested: set[int] = field(default_factory=set[int])
    bound: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    winners: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    finalized: dict[int, int] = field(default_factory=dict[int, int])
    canceled: set[int] = field(default_factory=set[int])
    claims: dict[tuple[int, str, str], int] = field(default_factory=lambda: defaultdict(int))
    mints: list[tuple[int, int, str, str]] = field(default_factory=list[tuple[int, int, str, str]])

    def add(self, events: Sequence[Event]) -> None:
        """Take in events, oldest first."""
        for event in events:
            args = event.args
            match event.name:
                case "ChallengeCreated":
                    self.created[args["id"]] = args["creator"]
                    self.joined[args["id"]].add(args["creator"])
                case "Joined":
                    self.joined[args["id"]].add(args["user"])
                case "InferenceRequestedV2":
                    self.requests.append((args["requestId"], args["promptId"]))
                case "InferenceFinalized":
                    self.attested.add(args["requestId"])
                case "BindingRecorded":
                    self.bound[args["challengeId"]].add(args["subject"])
                case "BindingCleared":
                    self.bound[args["challengeId"]].discard(args["subject"])
                case "WinnerMarked":
                    self.winners[args["id"]].add(args["participant"])
                case "Finalized":
                    self.finalized[args["id"]] = args["outcome"]
                case "Canceled":
                    self.canceled.add(args["id"])
                case "AchievementMinted":
                    kind = ACHIEVEMENT_TYPES[args["aType"]]
                    self.mints.append(
                        (args["tokenId"], args["challengeId"], args["recipient"], kind)
                    )
                case name if name in CLAIM_TYPES:
                    kind, challenge, who = CLAIM_TYPES[name]
                    self.claims[args[challenge], args[who], kind] += args["amount"]
                case _:
                    pass

    def requests_of(self, challenge_id: int) -> list[int]:
        """Requests about the challenge: their prompt id names it and one of its stakers."""
        prompts = {abi.prompt_id(challenge_id, one) for one in self.joined[challenge_id]}
        return [request for request, prompt in self.requests if prompt in prompts]

    def paid_out(self, challenge_id: int, wallet: str) -> int:
        """Wei that the wallet took out of the challenge's bucket of the Treasury."""
        return self.claims.get((challenge_id, wallet, "treasury_eth"), 0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the pipeline says about one wallet in one challenge; None where it says nothing."""

    passed: bool | None
    score: Decimal | None
    rank: int | None
    ranked_winner: bool | None


@dataclass(frozen=True, slots=True)
class DatabaseChallenge:
    """A challenge as the web app's tables have it."""

    id: int
    title: str
    status: str
    chain_outcome: int | None
    mode: str
    evidence: int
    participants: frozenset[str]
    outcomes: Mapping[str, Outcome]
    job: str | None
    claims: int


def challenges(connection: Connection) -> list[DatabaseChallenge]:
    """Every challenge of the database, by id."""
    outcomes: dict[int, dict[str, Outcome]] = defaultdict(dict)
    for row in connection.execute(
        "select coalesce(v.challenge_id, r.challenge_id), "
        "coalesce(lower(v.subject), lower(r.subject)), v.pass, v.score, r.rank, r.winner "
        "from public.verdicts v full join public.rankings r "
        "on r.challenge_id = v.challenge_id and lower(r.subject) = lower(v.subject)"
    ).fetchall():
        outcomes[row[0]][row[1]] = Outcome(row[2], row[3], row[4], row[5])
    participants: dict[int, set[str]] = defaultdict(set)
    for challenge_id, subject in connection.execute(
        "select challenge_id, lower(subject) from public.participants"
    ).fetchall():
        participants[challenge_id].add(subject)
    rows = connection.execute(
        "select c.id, coalesce(c.title, ''), coalesce(c.status, ''), c.chain_outcome, c.proof, "
        "(select count(*) from public.evidence e where e.challenge_id = c.id), "
        "(select j.status from public.aivm_jobs j where j.challenge_id = c.id), "
        "(select count(*) from public.claims k where k.challenge_id = c.id) "
        "from public.challenges c order by c.id"
    ).fetchall()
    return [
        DatabaseChallenge(
            id=row[0],
            title=row[1],
            status=row[2],
            chain_outcome=row[3],
            mode=_mode(row[4]),
            evidence=row[5],
            participants=frozenset(participants[row[0]]),
            outcomes=outcomes[row[0]],
            job=row[6],
            claims=row[7],
        )
        for row in rows
    ]


def _mode(proof: Any) -> str:
    """``mode`` where the demo's web app writes it: in the rule."""
    for step in ("params", "rule", "mode"):
        if not isinstance(proof, dict):
            return "threshold"
        proof = cast("dict[str, Any]", proof).get(step)
    return str(proof or "threshold")


STAGES = (
    "created",
    "joined",
    "evidence",
    "verdicts",
    "ranked",
    "requested",
    "attested",
    "bound",
    "proved",
    "finalized",
    "canceled",
    "claimed",
)


def stage(challenge: DatabaseChallenge, chain: ChainFacts) -> str:
    """How far a challenge has come: the last of ``STAGES`` that it has reached."""
    one = challenge.id
    requests = chain.requests_of(one)
    reached = {
        "created": True,
        "joined": len(chain.joined[one]) > 1,
        "evidence": challenge.evidence > 0,
        "verdicts": any(o.passed is not None for o in challenge.outcomes.values()),
        "ranked": any(o.rank is not None for o in challenge.outcomes.values()),
        "requested": bool(requests),
        "attested": bool(chain.attested.intersection(requests)),
        "bound": bool(chain.bound[one]),
        "proved": bool(chain.winners[one]),
        "finalized": challenge.status == "Finalized",
        "canceled": challenge.status == "Canceled",
        "claimed": challenge.claims > 0,
    }
    return next(name for name in reversed(STAGES) if reached[name])
