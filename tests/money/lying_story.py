"""Small stories behind a lying node: challenges from the queue to their end, and an oracle.

The oracle looks at the chain without the liar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lightchallenge_dagster.devnet.client import FINALIZED
from lightchallenge_dagster.devnet.wallets import Wallet
from tests import builders
from tests.money.lying_world import EVERY_STEP, LiedTo, Step, sent_by
from tests.steps.money_world import users

ALICE, BOB, CAROL, DAVE = users("alice", "bob", "carol", "dave")
EVERYBODY = (ALICE, BOB, CAROL, DAVE)
ROUNDS = 40
# Twice, because the second looks at what the first has sent, before blocks pass.
_PARTS: Sequence[Sequence[Step]] = (
    ("dispatch", "request", "request"),
    ("settle", "settle"),
    ("finalize", "finalize"),
)
Look = tuple[str, object, object]
"""What was looked at, what was found, what is right."""


class Stuck(AssertionError):
    """Round after round, and what had to happen has not."""


@dataclass(slots=True)
class Story:
    """Challenges that have ended, who wins them in the end, and what the wallets held before.

    ``late`` winners pass when the others are winners already. ``before_round(n)`` is called before
    the n-th round of each part of the story.
    """

    money: LiedTo
    winners: dict[int, list[Wallet]]
    late: list[tuple[int, Wallet]] = field(default_factory=list[tuple[int, Wallet]])
    before_round: Callable[[int], None] = field(default=lambda _number: None)
    since_block: int = 0
    balances: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        deployed = self.money.world.deployment
        self.since_block = self.money.client.node.block_number()
        self.balances = {
            wallet: self.money.client.balance(wallet)
            for wallet in (deployed.worker_address, deployed.finalizer_address)
        }

    @classmethod
    def of_one(cls, money: LiedTo) -> Story:
        """A threshold challenge that Bob has passed."""
        challenge = money.challenge([ALICE, BOB])
        money.passes(challenge, BOB)
        return cls(money, {challenge: [BOB]})

    @classmethod
    def of_two(cls, money: LiedTo) -> Story:
        """One that Bob has passed and Carol will pass, and a competition of four that two win."""
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
        winners = {threshold: [BOB, CAROL], competition: [BOB, CAROL]}
        return cls(money, winners, late=[(threshold, CAROL)])

    # ── its parts ───────────────────────────────────────────────────────────────────────

    def tell(self, *, in_parts: bool = False) -> None:
        """Play it to the end, however often a step fails; ``in_parts``: only the step it needs."""
        money = self.money
        request, settle, finalize = _PARTS if in_parts else (EVERY_STEP,) * 3
        early = [
            (challenge, wallet)
            for challenge, wallets in self.winners.items()
            for wallet in wallets
            if (challenge, wallet) not in self.late
        ]
        self.until("every request is made", self._requested, request)
        self.until("the first winners are bound", lambda: self._bound(early), settle)
        money.network.run_until_idle()
        money.follow()
        self.until("the first winners are marked", lambda: self._won(early), settle)
        for challenge, wallet in self.late:
            money.passes(challenge, wallet)
        self.until("the late winners are marked", lambda: self._won(self.late), settle)
        for challenge in self.winners:
            money.to_deadline(challenge)
        self.until("every challenge is finalized", self._finalized, finalize)
        self.end()

    def end(self) -> None:
        """The truth from here on, until nobody would do anything any more."""
        self.money.node.tell_the_truth()
        self.before_round = lambda _number: None
        money = self.money
        self.until("nothing is left to do", lambda: money.idle() and not in_flight(money))

    def until(self, what: str, so: Callable[[], bool], steps: Sequence[Step] = EVERY_STEP) -> None:
        """Rounds until it is ``so``. Raises ``Stuck``."""
        for number in range(ROUNDS):
            if so():
                return
            self.before_round(number)
            self.money.one_round(steps)
        raise Stuck(
            f"after {ROUNDS} rounds not: {what}; {dict(self.money.node.counts)}; "
            f"{intents(self.money)}; {self.money.failed[-3:]}"
        )

    def _requested(self) -> bool:
        query = "select from public.aivm_jobs where status not in ('queued', 'processing')"
        return len(builders.rows(self.money.engine, query)) == len(self.winners)

    def _bound(self, wallets: Sequence[tuple[int, Wallet]]) -> bool:
        return all(self.money.client.is_bound(one, wallet.address) for one, wallet in wallets)

    def _won(self, wallets: Sequence[tuple[int, Wallet]]) -> bool:
        return all(self.money.client.is_winner(one, wallet.address) for one, wallet in wallets)

    def _finalized(self) -> bool:
        return all(self.money.client.challenge(one).status == FINALIZED for one in self.winners)

    # ── the oracle ──────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Every effect once, the right winners, every coin accounted for, the rows true."""
        looks = *self._effects(), *self._wallets(), *self._rows()
        wrong = [f"{what}: {found}, not {right}" for what, found, right in looks if found != right]
        if wrong:
            raise AssertionError("\n".join([*wrong, *intents(self.money)]))

    def _effects(self) -> Iterator[Look]:
        money, worker = self.money, self.money.world.deployment.worker_address
        requests = money.events("aivm_inference", "InferenceRequestedV2")
        made = [one.args["requester"].lower() for one in requests]
        yield "requests", made, [worker] * len(self.winners)
        for challenge, wallets in self.winners.items():
            won = money.winners(challenge, EVERYBODY)
            yield f"winners of {challenge}", won, [one.address for one in wallets]
        marked = Counter(
            (one.args["id"], one.args["participant"].lower())
            for one in money.events("challengepay", "WinnerMarked")
        )
        paid = sum(len(wallets) for wallets in self.winners.values())
        yield "WinnerMarked", sorted(marked.values()), [1] * paid
        finalized = [one.args["id"] for one in money.events("challengepay", "Finalized")]
        yield "Finalized", sorted(finalized), sorted(self.winners)

    def _wallets(self) -> Iterator[Look]:
        money, deployed = self.money, self.money.world.deployment
        for wallet in (deployed.worker, deployed.finalizer):
            sent = sent_by(money, wallet, self.since_block)
            on_chain = {one.hash: one.nonce for one in sent}
            mined = {
                row["hash"]: row["nonce"]
                for row in money.world.rows(
                    "select hash, nonce from pipeline.transactions"
                    " where signer = :wallet and receipt_status in (0, 1)",
                    wallet=wallet.address,
                )
            }
            yield "on chain only", on_chain.items() - mined.items(), set[Any]()
            yield "in the table only", mined.items() - on_chain.items(), set[Any]()
            nonces = [one.nonce for one in sent]
            yield "nonces", nonces, list(range(nonces[0], nonces[0] + len(nonces)))
            spent = sum(one.fee_wei + (one.value_wei if one.succeeded else 0) for one in sent)
            left = self.balances[wallet.address] - spent
            yield "the wallet", money.client.balance(wallet.address), left

    def _rows(self) -> Iterator[Look]:
        money = self.money
        yield "in flight", in_flight(money), []
        for challenge, wallets in self.winners.items():
            job, proof = money.job(challenge), money.proof(challenge)
            (request,) = money.world.rows(
                "select * from pipeline.inference_requests where requester = :worker"
                " and task_id = :task",
                worker=money.world.deployment.worker_address,
                task=job["task_id"],
            )
            yield "the job", (job["status"], job["last_error"]), ("done", None)
            expected = {
                "taskBinding": {
                    "requestId": str(request["request_id"]),
                    "taskId": job["task_id"],
                    "schemaVersion": 1,
                },
                "requestTxHash": request["requested_tx"],
                "verificationStatus": "finalized",
                "proofsSubmitted": len(wallets),
                "finalizationAttempted": True,
                "finalizationSuccess": True,
                "lastFinalizationError": None,
            }
            for key, right in expected.items():
                yield f"{key} of {challenge}", proof.get(key, "missing"), right
            for name in ("bindTxHash", "submitProofTxHash", "finalizeTxHash"):
                found = proof.get(name) or "0x" + "00" * 32
                receipt = money.client.node.call("eth_getTransactionReceipt", found)
                yield f"{name} {found}", receipt and receipt["status"], "0x1"


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
