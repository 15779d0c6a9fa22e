"""One small story behind a lying node: two challenges from the queue to their end, and an oracle.

A threshold challenge with two winners, one of them late, and a competition whose best two of four
win. The oracle looks at the chain without the liar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from lightchallenge_dagster.devnet.client import FINALIZED
from lightchallenge_dagster.devnet.wallets import Wallet
from tests import builders
from tests.money.lying_world import LiedTo, sent_by
from tests.steps.money_world import users

ALICE, BOB, CAROL, DAVE = users("alice", "bob", "carol", "dave")
EVERYBODY = (ALICE, BOB, CAROL, DAVE)
ROUNDS = 40


class Stuck(AssertionError):
    """Round after round, and what had to happen has not."""


@dataclass(slots=True)
class Story:
    """The two challenges, and what was there before."""

    money: LiedTo
    threshold: int
    competition: int
    since_block: int
    balances: dict[str, int]

    @classmethod
    def begin(cls, money: LiedTo) -> Story:
        """Both challenges have ended; the winners of the first moment are known."""
        threshold = money.challenge([ALICE, BOB, CAROL])
        competition = money.challenge(EVERYBODY)
        builders.execute(
            money.engine,
            "update public.challenges set proof = proof || cast(:patch as jsonb) where id = :id",
            patch=builders.Jsonb({"params": builders.competitive(2)}),
            id=competition,
        )
        money.follow()
        money.passes(threshold, BOB)
        for wallet, score in zip(EVERYBODY, (3, 9, 7, 5), strict=True):
            money.passes(competition, wallet, score=score, final_when="ends_at", proved=True)
        money.to_end(competition)
        money.closes(competition)
        deployed = money.world.deployment
        return cls(
            money,
            threshold,
            competition,
            money.client.node.block_number(),
            {
                wallet: money.client.balance(wallet)
                for wallet in (deployed.worker_address, deployed.finalizer_address)
            },
        )

    def tell(self) -> None:
        """Play it to the end, however often a step fails."""
        money = self.money
        self._until("both requests are made", lambda: self._requested())
        money.network.run_until_idle()
        self._until("the first winners are marked", lambda: self._won(BOB))
        money.passes(self.threshold, CAROL)
        self._until("the late winner is marked", lambda: self._won(BOB, CAROL))
        money.to_deadline(self.threshold)
        money.to_deadline(self.competition)
        self._until("both challenges are finalized", self._finalized)
        money.node.tell_the_truth()
        self._until("nothing is left to do", lambda: money.idle() and not in_flight(money))

    def _until(self, what: str, so: Callable[[], bool]) -> None:
        for _ in range(ROUNDS):
            if so():
                return
            self.money.one_round()
        raise Stuck(
            f"after {ROUNDS} rounds not: {what}; {dict(self.money.node.counts)}; "
            f"{intents(self.money)}; {self.money.failed[-3:]}"
        )

    def _requested(self) -> bool:
        return (
            self.money.network.node.block_number() > 0
            and len(builders.rows(self.money.engine, "select from pipeline.inference_requests"))
            >= 2
        )

    def _won(self, *threshold: Wallet) -> bool:
        won = self.money.winners
        return len(won(self.threshold, EVERYBODY)) >= len(threshold) and (
            len(won(self.competition, EVERYBODY)) >= 2
        )

    def _finalized(self) -> bool:
        return all(
            self.money.client.challenge(one).status == FINALIZED
            for one in (self.threshold, self.competition)
        )

    # ── the oracle ──────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Every effect once, the right winners, every coin accounted for, the rows true."""
        self._check_effects()
        self._check_wallets()
        self._check_rows()

    def _check_effects(self) -> None:
        money, worker = self.money, self.money.world.deployment.worker_address
        requests = money.events("aivm_inference", "InferenceRequestedV2")
        same("requests", [one.args["requester"].lower() for one in requests], [worker, worker])
        for challenge in (self.threshold, self.competition):
            won = money.winners(challenge, EVERYBODY)
            same(f"winners of {challenge}", won, [BOB.address, CAROL.address])
        marked = Counter(
            (one.args["id"], one.args["participant"].lower())
            for one in money.events("challengepay", "WinnerMarked")
        )
        same("WinnerMarked", sorted(marked.values()), [1, 1, 1, 1])
        finalized = [one.args["id"] for one in money.events("challengepay", "Finalized")]
        same("Finalized", sorted(finalized), [self.threshold, self.competition])

    def _check_wallets(self) -> None:
        money, deployed = self.money, self.money.world.deployment
        for wallet in (deployed.worker, deployed.finalizer):
            sent = sent_by(money, wallet, self.since_block)
            mined = {
                row["hash"]
                for row in money.world.rows(
                    "select hash from pipeline.transactions"
                    " where signer = :wallet and receipt_status in (0, 1)",
                    wallet=wallet.address,
                )
            }
            same("transactions", {one.hash for one in sent}, mined)
            nonces = [one.nonce for one in sent]
            same("nonces", nonces, list(range(nonces[0], nonces[0] + len(nonces))))
            spent = sum(one.fee_wei + (one.value_wei if one.succeeded else 0) for one in sent)
            left = self.balances[wallet.address] - spent
            same("the wallet", money.client.balance(wallet.address), left)

    def _check_rows(self) -> None:
        money = self.money
        same("in flight", in_flight(money), [])
        for challenge, winners in ((self.threshold, 2), (self.competition, 2)):
            job, proof = money.job(challenge), money.proof(challenge)
            (request,) = money.world.rows(
                "select * from pipeline.inference_requests where requester = :worker"
                " and task_id = :task",
                worker=money.world.deployment.worker_address,
                task=job["task_id"],
            )
            same("the job", (job["status"], job["last_error"]), ("done", None))
            expected = {
                "taskBinding": {
                    "requestId": str(request["request_id"]),
                    "taskId": job["task_id"],
                    "schemaVersion": 1,
                },
                "requestTxHash": request["requested_tx"],
                "proofsSubmitted": winners,
                "finalizationAttempted": True,
                "finalizationSuccess": True,
                "lastFinalizationError": None,
            }
            same("the proof", {key: proof.get(key, "missing") for key in expected}, expected)
            for name in ("bindTxHash", "submitProofTxHash", "finalizeTxHash"):
                receipt = money.client.node.call("eth_getTransactionReceipt", proof[name])
                same(name, receipt and receipt["status"], "0x1")


def same(what: str, found: object, expected: object) -> None:
    """As ``assert``, and says what was found."""
    if found != expected:
        raise AssertionError(f"{what}: {found!r}, not {expected!r}")


def in_flight(money: LiedTo) -> list[str]:
    """Intents that are signed and not final."""
    return [
        row["key"]
        for row in money.world.rows(
            "select key from pipeline.intents where status in ('signed', 'broadcast', 'mined')"
        )
    ]


def intents(money: LiedTo) -> list[str]:
    """Every intent, for a message about what went wrong."""
    found = money.world.rows(
        "select key, signer, nonce, status, last_error from pipeline.intents order by created_at"
    )
    return ["{key} {nonce} {status} {last_error}".format(**row) for row in found]
