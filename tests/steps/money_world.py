"""Challenges with stakes on a devnet, verdicts in the database, and the money steps between them.

The chain is indexed by the real indexer; the inference network is the real simulator, moved by
hand. Verdicts are written by builders, because judging is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.devnet.network import Network
from lightchallenge_dagster.devnet.wallets import Wallet, user
from lightchallenge_dagster.steps.dispatch import DispatchReport, dispatch, dispatchable
from lightchallenge_dagster.steps.finalize import FinalizePolicy, FinalizeReport, finalize, overdue
from lightchallenge_dagster.steps.outbox import Outbox, OutboxPolicy, advanceable
from lightchallenge_dagster.steps.plan import PlanPolicy, refresh_plans
from lightchallenge_dagster.steps.rank import rank
from lightchallenge_dagster.steps.reclaim import ReclaimReport, reclaim, reclaimable
from lightchallenge_dagster.steps.request import (
    RequestPolicy,
    RequestReport,
    request_inferences,
    requestable,
)
from lightchallenge_dagster.steps.settle import SettlePolicy, SettleReport, Work, settle, unsettled
from tests import builders
from tests.steps.index_world import World

HOUR = 3600
MODEL = "0x" + "a1" * 32
PARAMS = "0x" + "b2" * 32
BENCHMARK = "0x" + "c3" * 32
PROOF_FIELDS = {
    "modelId": "strava.distance@1",
    "paramsHash": PARAMS,
    "benchmarkHash": BENCHMARK,
    "backend": "lightchain_poi",
}


@dataclass
class Money:
    """A devnet with its pipeline, one method for each step."""

    world: World
    network: Network
    policy: OutboxPolicy
    requests: RequestPolicy
    settling: SettlePolicy
    finalizing: FinalizePolicy
    observe: Callable[[str, str], None] = field(default=lambda _boundary, _key: None)

    @classmethod
    def of(cls, world: World) -> Money:
        deployed = world.deployment
        worker, finalizer = deployed.worker_address, deployed.finalizer_address
        return cls(
            world,
            Network.of(deployed),
            OutboxPolicy(
                deployed.chain_id,
                confirmations=1,
                receipt_timeout_s=5,
                poll_s=0.02,
                waiting_retry_s=60,
            ),
            RequestPolicy(worker, lease_s=30),
            SettlePolicy(binder=worker, prover=finalizer),
            FinalizePolicy(finalizer),
        )

    @property
    def engine(self) -> Any:
        return self.world.engine

    @property
    def client(self) -> Any:
        return self.world.client

    def now(self) -> int:
        return self.client.now()

    def outbox(self) -> Outbox:
        deployed = self.world.deployment
        signers = [Signer(deployed.worker.key), Signer(deployed.finalizer.key)]
        return Outbox(self.engine, self.world.rpc, signers, self.policy, observe=self.observe)

    # ── arranging ──

    def challenge(
        self,
        stakers: Sequence[Wallet],
        *,
        params: dict[str, Any] | None = None,
        proof: dict[str, Any] | None = None,
        **on_chain: Any,
    ) -> int:
        """A running challenge: created by the first staker, joined by the others, indexed."""
        self.client.fund(*stakers)
        challenge_id = self.client.create_challenge(stakers[0], **on_chain)
        for staker in stakers[1:]:
            self.client.join(staker, challenge_id)
        self.follow()
        builders.execute(
            self.engine,
            """
            update public.challenges
               set proof = :proof, model_hash = :model_hash, subject = :subject
             where id = :id
            """,
            proof=builders.Jsonb(
                {"params": params or builders.distance_rule(5)}
                | (PROOF_FIELDS if proof is None else proof)
            ),
            model_hash=MODEL,
            subject=stakers[0].address,
            id=challenge_id,
        )
        self.client.travel_to(self.client.challenge(challenge_id).start_ts)
        self.follow()
        return challenge_id

    def passes(
        self,
        challenge_id: int,
        wallet: Wallet,
        *,
        score: Any = 6,
        final_when: str = "now",
        passed: bool = True,
        proved: bool = False,
    ) -> None:
        """A verdict that nobody judges again; ``proved``: with its evidence, as to be ranked."""
        columns = {"passed": passed, "score": score, "at": datetime.fromtimestamp(self.now(), UTC)}
        if proved:
            builders.proved_verdict(
                self.engine, challenge_id, wallet.address, final_when=final_when, **columns
            )
            return
        builders.verdict(self.engine, challenge_id, wallet.address, **columns)
        builders.judgement(self.engine, challenge_id, wallet.address, final_when=final_when)

    def to_end(self, challenge_id: int) -> None:
        self.client.travel_to(self.client.challenge(challenge_id).end_ts)
        self.follow()

    def to_deadline(self, challenge_id: int) -> None:
        self.client.travel_to(self.client.challenge(challenge_id).proof_deadline_ts)
        self.follow()

    def closes(self, challenge_id: int) -> None:
        """Let the ranking be made, and close: it is past the margin before the deadline."""
        (key,) = builders.rows(
            self.engine,
            "select partition_key from pipeline.challenge_plans where challenge_id = :id",
            id=challenge_id,
        )
        rank(self.engine, key[0], datetime.fromtimestamp(self.now(), UTC))

    def follow(self) -> None:
        self.world.follow()
        refresh_plans(self.engine, PlanPolicy(2 * HOUR, 600))

    def answer(self) -> None:
        """The inference network finishes every open request, and it is indexed."""
        self.network.run_until_idle()
        self.follow()

    # ── the steps ──

    def dispatch(self) -> DispatchReport:
        return dispatch(self.engine, self.now())

    def request(self) -> RequestReport:
        return request_inferences(self.engine, self.world.contracts, self.outbox(), self.requests)

    def reclaim(self) -> ReclaimReport:
        return reclaim(
            self.engine,
            self.world.contracts,
            self.outbox(),
            max_attempts=self.requests.max_attempts,
        )

    def requested(self, challenge_id: int) -> None:
        """Dispatch and request, as the jobs would."""
        assert self.dispatch().queued == [challenge_id]
        assert self.request().submitted == [challenge_id]
        self.follow()

    def settle(self) -> SettleReport:
        return settle(self.engine, self.world.contracts, self.outbox(), self.now(), self.settling)

    def finalize(self) -> FinalizeReport:
        return finalize(
            self.engine, self.world.contracts, self.outbox(), self.now(), self.finalizing
        )

    def work(self) -> list[tuple[str, str]]:
        return [(one.action, one.subject) for one in self.unsettled()]

    def unsettled(self) -> list[Work]:
        return unsettled(self.engine, self.now())

    def idle(self) -> bool:
        """Whether no money sensor would launch anything now."""
        return not (
            dispatchable(self.engine, self.now())
            or requestable(self.engine)
            or reclaimable(self.engine, self.now())
            or self.unsettled()
            or overdue(self.engine, self.now())
            or advanceable(self.engine)
        )

    def retry_now(self) -> None:
        """Let every retry time pass."""
        builders.execute(self.engine, "update pipeline.intents set retry_at = now()")

    # ── looking ──

    def winners(self, challenge_id: int, wallets: Sequence[Wallet]) -> list[str]:
        return [
            wallet.address
            for wallet in wallets
            if self.client.is_winner(challenge_id, wallet.address)
        ]

    def proof(self, challenge_id: int) -> dict[str, Any]:
        ((proof,),) = builders.rows(
            self.engine, "select proof from public.challenges where id = :id", id=challenge_id
        )
        return proof

    def job(self, challenge_id: int) -> dict[str, Any]:
        (row,) = self.world.rows(
            "select * from public.aivm_jobs where challenge_id = :id", id=challenge_id
        )
        return row

    def events(self, role: str, name: str) -> list[Any]:
        return [event for event in self.client.events(role) if event.name == name]

    def transactions(self, kind: str) -> int:
        ((count,),) = builders.rows(
            self.engine,
            """
            select count(*) from pipeline.transactions t
              join pipeline.intents i on i.key = t.intent_key where i.kind = :kind
            """,
            kind=kind,
        )
        return count


def users(*names: str) -> list[Wallet]:
    return [user(name) for name in names]
