"""A deployment from uploads to claims: people do what people do, the pipeline runs its steps.

Evidence is judged and ranked by the real steps, indexed from a real chain, and paid by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lightchallenge_dagster.devnet.client import FAIL, FINALIZED, SUCCESS
from lightchallenge_dagster.devnet.wallets import Wallet, user
from lightchallenge_dagster.steps import health, judge, rank
from tests import builders
from tests.steps.money_world import HOUR, Money

#: What has to hold at the end of every story.
MONEY_CHECKS = (
    "bindings_are_winners",
    "winners_missing_on_chain",
    "ranked_have_stake",
    "finalized_has_outcome",
    "status_follows_chain",
    "jobs_dead",
    "intents_refused",
)


class Story(Money):
    """``Money`` with uploads, judging and ranking, and rounds of all the steps together."""

    # ── people ──

    def competition(self, stakers: Sequence[Wallet], *, top_n: int, **on_chain: Any) -> int:
        """A running competition in kilometres run, indexed and planned."""
        challenge = self.challenge(stakers, **on_chain)
        chain = self.client.challenge(challenge)
        rule = {
            "challengeType": "run",
            "period": {"start": _iso(chain.start_ts), "end": _iso(chain.end_ts), "timezone": "UTC"},
            "mode": "competitive",
            "topN": top_n,
            "competitiveMetric": "distance_km",
        }
        self.rule(challenge, {"rule": rule})
        return challenge

    def rule(self, challenge_id: int, params: Mapping[str, Any]) -> None:
        """The web app changes the rule."""
        builders.execute(
            self.engine,
            "update public.challenges set proof = proof || cast(:patch as jsonb) where id = :id",
            patch=builders.Jsonb({"params": dict(params)}),
            id=challenge_id,
        )
        self.follow()

    def upload(self, challenge_id: int, wallet: Wallet, km: float) -> None:
        """Evidence of one run within the challenge, submitted now."""
        start = self.client.challenge(challenge_id).start_ts
        ran = {
            "type": "run",
            "activity_id": f"{wallet.address}-{km}",
            "start_ts": start + 60,
            "end_ts": start + 660,
            "distance_m": round(km * 1000),
        }
        at = datetime.fromtimestamp(self.now(), UTC)
        builders.evidence(self.engine, challenge_id, wallet.address, [ran], at=at)

    def to_closing(self, challenge_id: int) -> None:
        """Travel to the second at which the ranking closes."""
        (closes,) = self.plan(challenge_id, "ranking_closes_at")
        self.client.travel_to(int(closes.timestamp()))
        self.follow()

    # ── the pipeline ──

    def judge(self) -> None:
        for partition in judge.pending(self.engine):
            judge.judge(self.engine, partition, self.chain_now())

    def rank(self) -> None:
        for partition in rank.pending(self.engine, self.chain_now()):
            rank.rank(self.engine, partition, self.chain_now())

    def steps(self) -> list[Callable[[], object]]:
        """Every step of the pipeline, each as its sensor would launch it."""
        return [
            self.follow,
            self.judge,
            self.rank,
            self.dispatch,
            self.request,
            self.reclaim,
            self.follow,
            self.settle,
            self.finalize,
            self.follow,
        ]

    def round(self) -> None:
        """Every step once, and one of the inference network."""
        for step in self.steps():
            step()
        self.network.step()
        self.follow()

    def run(self, *, limit: int = 12) -> None:
        """Rounds until there is nothing to do; retry times pass in between."""
        for _ in range(limit):
            self.round()
            if self.at_rest():
                return
        raise AssertionError(f"still at work after {limit} rounds: {self.unsettled()}")

    def at_rest(self) -> bool:
        """Whether no step would do anything now, the network included."""
        return (
            not judge.pending(self.engine)
            and not rank.pending(self.engine, self.chain_now())
            and self.idle()
            and not self.network.step()
        )

    # ── looking ──

    def chain_now(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def plan(self, challenge_id: int, *columns: str) -> tuple[Any, ...]:
        (row,) = builders.rows(
            self.engine,
            f"select {', '.join(columns)} from pipeline.challenge_plans where challenge_id = :id",  # noqa: S608
            id=challenge_id,
        )
        return row

    def ranking(self, challenge_id: int) -> list[tuple[Any, ...]]:
        """Subject, rank, score and winner, best first."""
        return builders.rows(
            self.engine,
            "select subject, rank, score, winner from public.rankings"
            " where challenge_id = :id order by rank",
            id=challenge_id,
        )

    def ranking_state(self, challenge_id: int) -> str:
        ((state,),) = builders.rows(
            self.engine,
            "select state from pipeline.ranking_states where challenge_id = :id",
            id=challenge_id,
        )
        return state

    def bound(self, challenge_id: int, wallets: Sequence[Wallet]) -> list[str]:
        return [one.address for one in wallets if self.client.is_bound(challenge_id, one.address)]

    def calldata(self, challenge_id: int, wallet: Wallet) -> str:
        """The proof that would win for ``wallet`` if it were bound as our winners are."""
        request_id = int(self.proof(challenge_id)["taskBinding"]["requestId"])
        return self.client.proof(
            challenge_id, wallet.address, request_id, benchmark_hash="0x" + "c3" * 32
        )

    def sound(self) -> None:
        """No money check is red, and every nonce was used once."""
        for check in MONEY_CHECKS:
            assert health.violations(self.engine, check).rows == [], check
        assert self.world.rows(
            """
            select signer, nonce from pipeline.transactions where receipt_status = 1
             group by signer, nonce having count(*) > 1
            """
        ) == []  # fmt: skip

    def paid_out(
        self, challenge_id: int, winners: Sequence[Wallet], losers: Sequence[Wallet] = ()
    ) -> None:
        """It is finalized; everybody claims, winners get more than they staked, losers nothing."""
        chain = self.client.challenge(challenge_id)
        assert chain.status == FINALIZED
        assert chain.outcome == (SUCCESS if winners else FAIL)
        assert chain.winners_count == len(winners)
        proof = self.proof(challenge_id)
        assert proof["proofsSubmitted"] == len(winners)
        assert proof["finalizationSuccess"] is True
        for wallet in winners:
            amount = self.client.claim_winner(wallet, challenge_id)
            assert amount >= self.client.contribution(challenge_id, wallet.address)
            assert not losers or amount > self.client.contribution(challenge_id, wallet.address)
            assert self.client.claim_eth(wallet, challenge_id) == amount
        for wallet in losers:
            assert not self.client.is_winner(challenge_id, wallet.address)
        self.follow()
        assert self.world.rows(
            "select count(*) as n from public.claims where challenge_id = :id"
            " and claim_type = 'winner'",
            id=challenge_id,
        ) == [{"n": len(winners)}]
        self.sound()


def crowd(count: int) -> list[Wallet]:
    """So many users."""
    return [user(f"runner {number}") for number in range(count)]


def _iso(ts: int) -> str:
    return datetime.fromtimestamp(ts, UTC).isoformat()


__all__ = ["HOUR", "Story", "crowd"]
