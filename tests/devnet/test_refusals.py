"""Every named error of every contract: what raises it, one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lightchallenge_dagster.devnet import abi, wallets
from lightchallenge_dagster.devnet.client import ZERO_ADDRESS, ZERO_HASH, Role
from lightchallenge_dagster.devnet.compile import CONTRACTS as ALL_CONTRACTS
from lightchallenge_dagster.devnet.deploy import CONTRACTS
from lightchallenge_dagster.devnet.errors import ContractRefused
from tests.devnet.world import ETHER, World

ONE = "0x" + "01" * 32
TWO = "0x" + "02" * 32
GIANT_S = "0x" + "11" * 32 + "ff" * 32 + "1b"


@dataclass(frozen=True)
class Case:
    contract: str
    error: str
    sentence: str
    attempt: Callable[[World], object]


CASES: list[Case] = []


def refuses(
    role: Role, error: str, sentence: str
) -> Callable[[Callable[[World], object]], Callable[[World], object]]:
    def note(attempt: Callable[[World], object]) -> Callable[[World], object]:
        CASES.append(Case(CONTRACTS[role], error, sentence, attempt))
        return attempt

    return note


def pay(error: str, sentence: str, attempt: Callable[[World], object]) -> None:
    refuses("challengepay", error, sentence)(attempt)


def as_admin(world: World, function: str, *args: object) -> object:
    return world.client.send(world.admin, "challengepay", function, *args)


def prove_nothing(world: World, challenge_id: int, participant: str | None = None) -> object:
    subject = participant or world.bob.address
    return world.client.submit_proof(world.finalizer, challenge_id, subject, "0x")


# ── ChallengePay: creating ──────────────────────────────────────────────────────────────

pay("ZeroAddress", "a challenge without a verifier", lambda w: w.challenge(verifier=ZERO_ADDRESS))
pay(
    "ZeroAddress",
    "no address as dispatcher",
    lambda w: as_admin(w, "setDispatcher", ZERO_ADDRESS, True),
)
pay(
    "ZeroAddress",
    "no address as token",
    lambda w: as_admin(w, "setTokenAllowed", ZERO_ADDRESS, True),
)
pay(
    "ZeroAddress", "no address for the protocol", lambda w: as_admin(w, "setProtocol", ZERO_ADDRESS)
)
pay("ZeroAddress", "no address as next admin", lambda w: as_admin(w, "transferAdmin", ZERO_ADDRESS))
pay("InvalidBounds", "a challenge that lasts no time", lambda w: w.challenge(duration_s=0))
pay("AmountZero", "a challenge without a stake", lambda w: w.challenge(stake=0))
pay("WrongMsgValue", "another value than the stake", lambda w: w.challenge(value=ETHER - 1))
pay("WrongMsgValue", "native coins for a stake in tokens", lambda w: w.token_challenge(value=1))
pay(
    "TokenNotAllowed",
    "a token that the admin has not allowed",
    lambda w: w.challenge(token=w.deployment.treasury),
)
pay("StartTooSoon", "a start that is not in the future", lambda w: w.challenge(starts_in_s=0))
pay("LeadTimeOutOfBounds", "a start within the minute", lambda w: w.challenge(starts_in_s=30))
pay(
    "LeadTimeOutOfBounds",
    "a start in more than a year",
    lambda w: w.challenge(starts_in_s=366 * 24 * 3600),
)
pay("DeadlineRequired", "no proof deadline", lambda w: w.challenge(proof_deadline_ts=0))
pay(
    "ProofDeadlineBeforeEnd",
    "a proof deadline before the end",
    lambda w: w.challenge(proof_window_s=-1),
)
pay(
    "JoinClosesAfterStart",
    "joining that closes after the start",
    lambda w: w.challenge(start_ts=w.client.now() + 100, join_closes_ts=w.client.now() + 101),
)


@refuses("challengepay", "ExternalIdAlreadyUsed", "an external id that was used before")
def _(world: World) -> object:
    world.challenge(external_id=ONE)
    return world.challenge(external_id=ONE)


# ── ChallengePay: joining ───────────────────────────────────────────────────────────────

pay("AmountZero", "joining with nothing", lambda w: w.client.join(w.carol, w.challenge(), 0))
pay(
    "WrongMsgValue",
    "native coins into a challenge in tokens",
    lambda w: w.client.join(w.bob, w.token_challenge()),
)
pay(
    "TokenNotAllowed",
    "tokens into a challenge in native coins",
    lambda w: w.client.join_erc20(w.bob, w.challenge(), 1),
)
pay(
    "JoinWindowClosed", "joining once it has started", lambda w: w.client.join(w.carol, w.started())
)
pay(
    "MaxParticipantsReached",
    "one wallet more than it takes, the creator counted",
    lambda w: w.client.join(w.carol, w.challenge(max_participants=2)),
)


@refuses("challengepay", "TokenNotAllowed", "a token that does not transfer")
def _(world: World) -> object:
    challenge_id = world.token_challenge()
    world.client.send(world.bob, "token", "refuse", True)
    return world.client.join_erc20(world.bob, challenge_id, 1)


@refuses("challengepay", "ChallengePaused", "joining what is paused")
def _(world: World) -> object:
    challenge_id = world.challenge()
    world.client.pause(challenge_id)
    return world.client.join(world.carol, challenge_id)


@refuses("challengepay", "NotActive", "joining what is canceled")
def _(world: World) -> object:
    challenge_id = world.challenge()
    world.client.cancel(world.alice, challenge_id)
    return world.client.join(world.carol, challenge_id)


# ── ChallengePay: proofs ────────────────────────────────────────────────────────────────


@refuses("challengepay", "NotAdmin", "another's proof from who is no dispatcher")
def _(world: World) -> object:
    return world.client.submit_proof(world.bob, world.started(), world.bob.address, "0x")


@refuses("challengepay", "NotAdmin", "a batch from who is no dispatcher")
def _(world: World) -> object:
    return world.client.submit_proofs(world.bob, world.started(), {world.bob.address: "0x"})


@refuses("challengepay", "InvalidBounds", "a batch with another number of proofs than wallets")
def _(world: World) -> object:
    return world.client.send(
        world.finalizer,
        "challengepay",
        "submitProofForBatch",
        world.started(),
        [world.bob.address],
        [],
    )


pay("ProofNotOpen", "a proof before the start", lambda w: prove_nothing(w, w.challenge()))
pay(
    "NotEligible",
    "a proof for who staked nothing",
    lambda w: prove_nothing(w, w.started(), w.carol.address),
)
pay(
    "NotEligible",
    "their own proof from who staked nothing",
    lambda w: w.client.submit_my_proof(w.carol, w.started(), "0x"),
)
pay("ProofWindowClosed", "a proof for an id that was never created", lambda w: prove_nothing(w, 99))


@refuses("challengepay", "ProofWindowClosed", "a proof after its deadline")
def _(world: World) -> object:
    challenge_id = world.started()
    world.client.travel_to(world.client.challenge(challenge_id).proof_deadline_ts + 1)
    return prove_nothing(world, challenge_id)


@refuses("challengepay", "ChallengePaused", "a proof while it is paused")
def _(world: World) -> object:
    challenge_id = world.started()
    world.client.pause(challenge_id)
    return prove_nothing(world, challenge_id)


@refuses("challengepay", "ChallengePaused", "a proof in what is canceled")
def _(world: World) -> object:
    challenge_id = world.started()
    world.client.cancel(world.alice, challenge_id)
    return prove_nothing(world, challenge_id)


pay("NotActive", "a proof in what is finalized", lambda w: prove_nothing(w, w.finished()))


@refuses("challengepay", "AlreadyWinner", "a second proof that verifies")
def _(world: World) -> object:
    challenge_id = world.started()
    world.win(challenge_id, world.bob)
    proof = world.good_proof(challenge_id, world.bob)
    return world.client.submit_proof(world.finalizer, challenge_id, world.bob.address, proof)


# ── ChallengePay: ends and claims ───────────────────────────────────────────────────────

pay("BeforeDeadline", "finalizing what still runs", lambda w: w.client.finalize(w.bob, w.started()))
pay("AlreadyFinalized", "finalizing twice", lambda w: w.client.finalize(w.bob, w.finished()))
pay(
    "NotCreatorOrAdmin",
    "canceling another's challenge",
    lambda w: w.client.cancel(w.bob, w.challenge()),
)
pay(
    "AlreadyFinalized",
    "canceling what is finalized",
    lambda w: w.client.cancel(w.alice, w.finished()),
)


@refuses("challengepay", "AlreadyCanceled", "canceling twice")
def _(world: World) -> object:
    challenge_id = world.challenge()
    world.client.cancel(world.alice, challenge_id)
    return world.client.cancel(world.admin, challenge_id)


@refuses("challengepay", "AlreadyCanceled", "finalizing what is canceled")
def _(world: World) -> object:
    challenge_id = world.challenge()
    world.client.cancel(world.alice, challenge_id)
    return world.finish(challenge_id)


@refuses("challengepay", "AlreadyWinner", "canceling once somebody has won")
def _(world: World) -> object:
    challenge_id = world.started()
    world.win(challenge_id, world.bob)
    return world.client.cancel(world.alice, challenge_id)


for function in ("claimWinner", "claimLoser"):
    pay(
        "ChallengeNotFinalized",
        f"{function} before it is finalized",
        lambda w, function=function: w.client.send(w.bob, "challengepay", function, w.started()),
    )
pay(
    "ChallengeNotFinalized",
    "distributing before it is finalized",
    lambda w: w.client.auto_distribute(w.bob, w.started(), []),
)
pay(
    "NotEligible",
    "a loser claiming a win",
    lambda w: w.client.claim_winner(w.alice, w.finished(w.bob)),
)
pay(
    "NotEligible",
    "a winner claiming cashback",
    lambda w: w.client.claim_loser(w.bob, w.finished(w.bob)),
)
pay("NotEligible", "cashback where nobody won", lambda w: w.client.claim_loser(w.bob, w.finished()))
pay(
    "NotEligible",
    "a refund of what is not canceled",
    lambda w: w.client.claim_refund(w.bob, w.challenge()),
)
pay(
    "NotEligible",
    "refunding all of what is not canceled",
    lambda w: w.client.auto_refund(w.bob, w.challenge(), [w.bob.address]),
)
pay(
    "NotEligible",
    "distributing a win to a loser",
    lambda w: w.client.auto_distribute(w.bob, w.finished(w.bob), [w.alice.address]),
)
pay(
    "NotEligible",
    "distributing cashback to a winner",
    lambda w: w.client.auto_distribute(w.bob, w.finished(w.bob), [], [w.bob.address]),
)


@refuses("challengepay", "NotEligible", "cashback where the fees at creation had none")
def _(world: World) -> object:
    as_admin(world, "setFeeConfig", (500, 500, 0, 0))
    challenge_id = world.challenge()
    as_admin(world, "setFeeConfig", (500, 500, 0, 1000))
    world.win(challenge_id, world.bob)
    world.finish(challenge_id)
    return world.client.claim_loser(world.alice, challenge_id)


@refuses("challengepay", "NotEligible", "claiming a win twice")
def _(world: World) -> object:
    challenge_id = world.finished(world.bob)
    world.client.claim_winner(world.bob, challenge_id)
    return world.client.claim_winner(world.bob, challenge_id)


@refuses("challengepay", "NotEligible", "claiming cashback twice")
def _(world: World) -> object:
    challenge_id = world.finished(world.bob)
    world.client.claim_loser(world.alice, challenge_id)
    return world.client.claim_loser(world.alice, challenge_id)


@refuses("challengepay", "NotEligible", "claiming a refund twice")
def _(world: World) -> object:
    challenge_id = world.challenge()
    world.client.cancel(world.alice, challenge_id)
    world.client.claim_refund(world.bob, challenge_id)
    return world.client.claim_refund(world.bob, challenge_id)


@refuses("challengepay", "NotEligible", "refunding who staked nothing")
def _(world: World) -> object:
    challenge_id = world.challenge()
    world.client.cancel(world.alice, challenge_id)
    return world.client.auto_refund(world.bob, challenge_id, [world.carol.address])


# ── ChallengePay: the admin ─────────────────────────────────────────────────────────────

ADMIN_ONLY: dict[str, tuple[object, ...]] = {
    "setDispatcher": (ONE[:42], True),
    "setTokenAllowed": (ONE[:42], True),
    "setProtocol": (ONE[:42],),
    "pauseChallenge": (2, True),
    "pauseAll": (True,),
    "setVerificationConfig": (2, ONE[:42], 1),
    "setFeeConfig": ((0, 0, 0, 0),),
    "setFeeCaps": (0, 0),
    "setLeadTimeBounds": (1, 2),
    "transferAdmin": (ONE[:42],),
}
for function, arguments in ADMIN_ONLY.items():
    pay(
        "NotAdmin",
        f"{function} from who is not the admin",
        lambda w, function=function, arguments=arguments: w.client.send(
            w.worker, "challengepay", function, *arguments
        ),
    )
pay(
    "InvalidBounds",
    "a smallest lead time above the greatest",
    lambda w: as_admin(w, "setLeadTimeBounds", 2, 1),
)
pay(
    "InvalidBounds",
    "fee parts that do not add up",
    lambda w: as_admin(w, "setFeeConfig", (500, 300, 100, 0)),
)
pay(
    "InvalidBounds",
    "a fee above all",
    lambda w: as_admin(w, "setFeeConfig", (10_001, 10_001, 0, 0)),
)
pay(
    "InvalidBounds",
    "more cashback than all",
    lambda w: as_admin(w, "setFeeConfig", (0, 0, 0, 10_001)),
)
pay(
    "InvalidBounds",
    "a cap below the present fees",
    lambda w: as_admin(w, "setFeeCaps", 499, 10_000),
)
pay(
    "NotPendingAdmin",
    "taking an admin's place unasked",
    lambda w: w.client.send(w.bob, "challengepay", "acceptAdmin"),
)


@refuses("challengepay", "TightenOnlyViolation", "a fee cap raised after it was lowered")
def _(world: World) -> object:
    as_admin(world, "setFeeCaps", 1000, 2000)
    return as_admin(world, "setFeeCaps", 1001, 2000)


@refuses("challengepay", "TightenOnlyViolation", "a cashback cap raised after it was lowered")
def _(world: World) -> object:
    as_admin(world, "setFeeCaps", 1000, 2000)
    return as_admin(world, "setFeeCaps", 1000, 2001)


@refuses("challengepay", "NotAdmin", "the old admin after a handover")
def _(world: World) -> object:
    as_admin(world, "transferAdmin", world.bob.address)
    world.client.send(world.bob, "challengepay", "acceptAdmin")
    return as_admin(world, "pauseAll", True)


def configure(world: World, challenge_id: int, verifier: str, deadline: int) -> object:
    return as_admin(world, "setVerificationConfig", challenge_id, verifier, deadline)


pay(
    "NotActive",
    "another deadline for what is finalized",
    lambda w: configure(w, w.finished(), ONE[:42], 2**40),
)
pay(
    "NotActive",
    "another deadline for an id never created",
    lambda w: configure(w, 99, ONE[:42], 2**40),
)
pay(
    "ZeroAddress",
    "no verifier in place of one",
    lambda w: configure(w, w.challenge(), ZERO_ADDRESS, 2**40),
)
pay(
    "DeadlineRequired",
    "no deadline in place of one",
    lambda w: configure(w, w.challenge(), ONE[:42], 0),
)
pay(
    "ProofDeadlineBeforeEnd",
    "a deadline moved before the end",
    lambda w: configure(w, w.challenge(), ONE[:42], 1),
)

WHILE_ALL_IS_PAUSED: dict[str, Callable[[World, int], object]] = {
    "creating": lambda w, _: w.challenge(),
    "joining": lambda w, i: w.client.join(w.bob, i),
    "joining with tokens": lambda w, i: w.client.join_erc20(w.bob, i, 1),
    "canceling": lambda w, i: w.client.cancel(w.alice, i),
    "a proof": prove_nothing,
    "one's own proof": lambda w, i: w.client.submit_my_proof(w.bob, i, "0x"),
    "a batch of proofs": lambda w, i: w.client.submit_proofs(w.finalizer, i, {}),
    "finalizing": lambda w, i: w.client.finalize(w.bob, i),
    "claiming a win": lambda w, i: w.client.claim_winner(w.bob, i),
    "claiming cashback": lambda w, i: w.client.claim_loser(w.bob, i),
    "claiming a refund": lambda w, i: w.client.claim_refund(w.bob, i),
    "distributing": lambda w, i: w.client.auto_distribute(w.bob, i, []),
    "refunding": lambda w, i: w.client.auto_refund(w.bob, i, []),
}


def paused(act: Callable[[World, int], object]) -> Callable[[World], object]:
    def attempt(world: World) -> object:
        challenge_id = world.challenge()
        world.client.pause_all()
        return act(world, challenge_id)

    return attempt


for what, act in WHILE_ALL_IS_PAUSED.items():
    pay("GlobalPausedError", f"{what} while all is paused", paused(act))


# ── Treasury ────────────────────────────────────────────────────────────────────────────


def operate(world: World, function: str, *args: object, value: int = 0) -> object:
    """As the operator, which the admin makes itself."""
    role = world.client.view("treasury", "OPERATOR_ROLE")
    world.client.send(world.admin, "treasury", "grantRole", role, world.admin.address)
    return world.client.send(world.admin, "treasury", function, *args, value=value)


def pull(world: World, *args: object) -> object:
    return world.client.send(world.bob, "treasury", "claimETH", *args)


def hold(error: str, sentence: str, attempt: Callable[[World], object]) -> None:
    refuses("treasury", error, sentence)(attempt)


hold("BadParams", "a claim of nothing", lambda w: pull(w, 2, 0))
hold(
    "BadParams",
    "a claim to no address",
    lambda w: w.client.send(w.bob, "treasury", "claimETHTo", 2, ZERO_ADDRESS, 1),
)
hold(
    "BadParams",
    "a claim of no token",
    lambda w: w.client.send(w.bob, "treasury", "claimERC20", 2, ZERO_ADDRESS, 1),
)
hold("BadParams", "a deposit of nothing", lambda w: operate(w, "depositETH", 2))
hold("BadParams", "a grant to no address", lambda w: operate(w, "grantETH", 2, ZERO_ADDRESS, 1))
hold("BadParams", "a push of nothing", lambda w: operate(w, "pushETH", 2, w.bob.address, 0))
hold("BadParams", "a credit of no token", lambda w: operate(w, "creditERC20", 2, ZERO_ADDRESS, 1))
hold(
    "BadParams",
    "a grant of no token",
    lambda w: operate(w, "grantERC20", 2, ZERO_ADDRESS, w.bob.address, 1),
)
hold(
    "BadParams",
    "a push of no token",
    lambda w: operate(w, "pushERC20", 2, ZERO_ADDRESS, w.bob.address, 1),
)
hold("AllowanceTooLow", "a claim of what was not granted", lambda w: pull(w, w.challenge(), 1))
hold(
    "AllowanceTooLow",
    "a claim of tokens that were not granted",
    lambda w: w.client.send(w.bob, "treasury", "claimERC20", 2, w.deployment.token, 1),
)
hold(
    "AccessControlUnauthorizedAccount",
    "a grant by who is no operator",
    lambda w: w.client.send(w.bob, "treasury", "grantETH", 2, w.bob.address, 1),
)
hold(
    "AccessControlUnauthorizedAccount",
    "a role given by who is not the admin",
    lambda w: w.client.send(w.bob, "treasury", "grantRole", ZERO_HASH, w.bob.address),
)


@refuses("treasury", "InsufficientBucketBalance", "a claim of more than the bucket holds")
def _(world: World) -> object:
    operate(world, "grantETH", 99, world.bob.address, 1)
    return pull(world, 99, 1)


@refuses("treasury", "InsufficientTreasuryBalance", "a claim of more than the treasury holds")
def _(world: World) -> object:
    challenge_id = world.finished(world.bob)
    world.client.claim_winner(world.bob, challenge_id)
    world.client.node.call("anvil_setBalance", world.deployment.treasury, "0x0")
    return world.client.claim_eth(world.bob, challenge_id)


@refuses("treasury", "InsufficientBucketBalance", "tokens that the bucket does not hold")
def _(world: World) -> object:
    operate(world, "grantERC20", 99, world.deployment.token, world.bob.address, 1)
    return world.client.send(world.bob, "treasury", "claimERC20", 99, world.deployment.token, 1)


def granted_tokens(world: World) -> int:
    challenge_id = world.token_challenge()
    operate(world, "grantERC20", challenge_id, world.deployment.token, world.bob.address, ETHER)
    return challenge_id


@refuses("treasury", "InsufficientTreasuryBalance", "tokens that the treasury has lost")
def _(world: World) -> object:
    challenge_id = granted_tokens(world)
    world.client.send(world.bob, "token", "burn", world.deployment.treasury, 1)
    return world.client.send(
        world.bob, "treasury", "claimERC20", challenge_id, world.deployment.token, ETHER
    )


@refuses("treasury", "TransferFailed", "a token that does not transfer")
def _(world: World) -> object:
    challenge_id = granted_tokens(world)
    world.client.send(world.bob, "token", "refuse", True)
    return world.client.send(
        world.bob, "treasury", "claimERC20", challenge_id, world.deployment.token, ETHER
    )


@refuses("treasury", "TransferFailed", "a recipient that takes no coins")
def _(world: World) -> object:
    challenge_id = world.finished(world.bob)
    world.client.claim_winner(world.bob, challenge_id)
    return world.client.claim_eth(world.bob, challenge_id, to=world.deployment.metadata_registry)


# ── AIVMInferenceV2 ─────────────────────────────────────────────────────────────────────


def infer(error: str, sentence: str, attempt: Callable[[World], object]) -> None:
    refuses("aivm_inference", error, sentence)(attempt)


def ask(world: World, *, value: int = 10**15, **changes: object) -> object:
    fields: dict[str, object] = {
        "model": "m",
        "promptHash": ONE,
        "promptId": ONE,
        "modelDigest": ONE,
        "detConfigHash": ONE,
    }
    arguments = (fields | changes).values()
    return world.client.send(
        world.worker, "aivm_inference", "requestInferenceV2", *arguments, value=value
    )


def owner_sets(world: World, function: str, *args: object) -> object:
    return world.client.send(world.admin, "aivm_inference", function, *args)


def commit(world: World, request_id: int, commitment: str = ONE) -> object:
    worker = wallets.network_worker()
    world.client.send(worker, "aivm_inference", "depositBond", value=ETHER)
    return world.client.send(worker, "aivm_inference", "commitInference", request_id, commitment)


def give_up(world: World, function: str, request_id: int) -> object:
    return world.client.send(world.worker, "aivm_inference", function, request_id)


def validator(number: int) -> wallets.Wallet:
    return wallets.validators()[number]


infer("InvalidParams", "a request without a model", lambda w: ask(w, model=""))
for hash_name in ("promptHash", "promptId", "modelDigest", "detConfigHash"):
    infer(
        "InvalidParams",
        f"a request without {hash_name}",
        lambda w, hash_name=hash_name: ask(w, **{hash_name: ZERO_HASH}),
    )
infer("InsufficientFee", "a request below the fee", lambda w: ask(w, value=10**15 - 1))
infer("InvalidParams", "an empty commitment", lambda w: commit(w, w.requested(), ZERO_HASH))
infer(
    "InvalidParams", "another response than committed", lambda w: w.reveal(w.committed(), "other")
)
infer(
    "InvalidParams",
    "an attestation of nothing",
    lambda w: w.attest(w.revealed(), validator(0), result_hash=ZERO_HASH),
)
infer(
    "InvalidParams",
    "no address as validator",
    lambda w: owner_sets(w, "setValidator", ZERO_ADDRESS, True),
)
infer("InvalidParams", "a quorum of none", lambda w: owner_sets(w, "setPoiQuorum", 0))
infer("InvalidParams", "no time to commit", lambda w: owner_sets(w, "setTimeouts", 0, 1, 1))
infer("InvalidParams", "a fee part above all", lambda w: owner_sets(w, "setFees", 1, 10_001))
OWNER_ONLY: dict[str, tuple[object, ...]] = {
    "setValidator": (ONE[:42], True),
    "setPoiQuorum": (1,),
    "setTimeouts": (1, 1, 1),
    "setFees": (1, 1),
    "setMinWorkerBond": (1,),
    "setMaxPendingPerRequester": (1,),
}
for function, arguments in OWNER_ONLY.items():
    infer(
        "NotOwner",
        f"{function} from who is not the owner",
        lambda w, function=function, arguments=arguments: w.client.send(
            w.worker, "aivm_inference", function, *arguments
        ),
    )


@refuses("aivm_inference", "TooManyPending", "one open request above the limit")
def _(world: World) -> object:
    owner_sets(world, "setMaxPendingPerRequester", 1)
    world.requested()
    return world.requested()


infer(
    "InsufficientBond",
    "a commitment without a bond",
    lambda w: w.client.send(w.bob, "aivm_inference", "commitInference", w.requested(), ONE),
)


@refuses("aivm_inference", "InsufficientBond", "a bond taken back while a commitment is open")
def _(world: World) -> object:
    world.committed(by=world.bob)
    return world.client.send(world.bob, "aivm_inference", "withdrawBond", ETHER)


infer("WrongStatus", "a second commitment", lambda w: commit(w, w.committed()))
infer("WrongStatus", "revealing what was not committed", lambda w: w.reveal(w.requested(), "x"))
infer(
    "WrongStatus",
    "attesting what nobody committed to",
    lambda w: w.attest(w.requested(), validator(0), result_hash=ONE),
)
infer(
    "WrongStatus",
    "canceling what is committed",
    lambda w: give_up(w, "cancelExpired", w.committed()),
)
infer(
    "WrongStatus", "giving up what was never requested", lambda w: give_up(w, "cancelExpired", 99)
)
infer(
    "NotWorker", "revealing another's commitment", lambda w: w.reveal(w.committed(), "x", by=w.bob)
)


@refuses("aivm_inference", "DeadlinePassed", "a commitment after ten minutes")
def _(world: World) -> object:
    request_id = world.requested()
    world.client.travel(601)
    return commit(world, request_id)


@refuses("aivm_inference", "DeadlinePassed", "a reveal after twenty minutes")
def _(world: World) -> object:
    request_id = world.committed()
    world.client.travel(1201)
    return world.reveal(request_id, "x")


@refuses("aivm_inference", "DeadlinePassed", "an attestation after an hour")
def _(world: World) -> object:
    request_id = world.revealed()
    world.client.travel(3601)
    return world.attest(request_id, validator(0))


STAGES: dict[str, Callable[[World], int]] = {
    "cancelExpired": lambda w: w.requested(),
    "timeoutReveal": lambda w: w.committed(),
    "reclaimAfterFinalizeTimeout": lambda w: w.revealed(),
}
for function, stage in STAGES.items():
    infer(
        "DeadlineNotReached",
        f"{function} in good time",
        lambda w, function=function, stage=stage: give_up(w, function, stage(w)),
    )
    infer(
        "NotRequester",
        f"{function} by another than the requester",
        lambda w, function=function, stage=stage: w.client.send(
            w.bob, "aivm_inference", function, stage(w)
        ),
    )
    infer(
        "AlreadyFinalized",
        f"{function} of what is final",
        lambda w, function=function: give_up(w, function, w.request(w.challenge())),
    )


@refuses("aivm_inference", "AlreadyFinalized", "an attestation of what is final")
def _(world: World) -> object:
    return world.attest(world.request(world.challenge()), validator(2))


infer(
    "InvalidSignature",
    "a signature that is none",
    lambda w: w.attest(w.revealed(), validator(0), signature="0x0102"),
)
infer(
    "InvalidSignature",
    "a signature in its second form",
    lambda w: w.attest(w.revealed(), validator(0), signature=GIANT_S),
)
infer(
    "InvalidSignature",
    "a signature of nobody's",
    lambda w: w.attest(w.revealed(), validator(0), signature="0x" + "00" * 65),
)
infer(
    "NotActiveValidator",
    "a signature of who is no validator",
    lambda w: w.attest(w.revealed(), w.bob),
)


@refuses("aivm_inference", "NotActiveValidator", "a validator's signature over something else")
def _(world: World) -> object:
    request_id = world.revealed()
    other = world.signature(request_id, validator(0), ONE)
    return world.attest(request_id, validator(0), signature=other)


@refuses("aivm_inference", "InvalidSignature", "a validator's second signature")
def _(world: World) -> object:
    request_id = world.revealed()
    world.attest(request_id, validator(0))
    return world.attest(request_id, validator(0))


@refuses("aivm_inference", "ConflictingPoIResult", "another result than attested before")
def _(world: World) -> object:
    request_id = world.revealed()
    world.attest(request_id, validator(0))
    return world.attest(request_id, validator(1), result_hash=ONE)


def disputed(world: World) -> int:
    """Revealed, with a quorum for something else."""
    request_id = world.revealed()
    world.attest(request_id, validator(0), result_hash=ONE)
    world.attest(request_id, validator(1), result_hash=ONE)
    return request_id


infer(
    "Disputed", "an attestation of what is disputed", lambda w: w.attest(disputed(w), validator(2))
)
infer("Disputed", "a commitment to what is disputed", lambda w: commit(w, disputed(w)))
infer("Disputed", "a reveal of what is disputed", lambda w: w.reveal(disputed(w), "x"))
infer(
    "NotRequester",
    "another taking the fee of what is disputed",
    lambda w: w.client.send(w.bob, "aivm_inference", "reclaimAfterFinalizeTimeout", disputed(w)),
)


# ── ChallengeTaskRegistry ───────────────────────────────────────────────────────────────


def record(world: World, *, by: wallets.Wallet | None = None, **changes: object) -> object:
    fields: dict[str, object] = {
        "challengeId": 2,
        "subject": world.bob.address,
        "requestId": 1,
        "taskId": ONE,
        "modelDigest": ONE,
        "paramsHash": ZERO_HASH,
        "benchmarkHash": ZERO_HASH,
        "schemaVersion": 1,
    }
    arguments = (fields | changes).values()
    return world.client.send(by or world.worker, "task_registry", "recordBinding", *arguments)


def bind(error: str, sentence: str, attempt: Callable[[World], object]) -> None:
    refuses("task_registry", error, sentence)(attempt)


bind("NotAuthorized", "a binding by who is no dispatcher", lambda w: record(w, by=w.bob))
bind(
    "NotAuthorized",
    "clearing a binding by who is no dispatcher",
    lambda w: w.client.send(w.bob, "task_registry", "clearBinding", 2, w.bob.address),
)
bind(
    "NotAuthorized",
    "a dispatcher made by a dispatcher",
    lambda w: w.client.send(w.worker, "task_registry", "setDispatcher", w.bob.address, True),
)
bind("InvalidSubject", "a binding of no wallet", lambda w: record(w, subject=ZERO_ADDRESS))
bind("InvalidTask", "a binding to no task", lambda w: record(w, taskId=ZERO_HASH))
bind("InvalidRequestId", "a binding to no request", lambda w: record(w, requestId=0))
bind("InvalidModelDigest", "a binding without a model", lambda w: record(w, modelDigest=ZERO_HASH))
bind("InvalidSchemaVersion", "a binding without a schema", lambda w: record(w, schemaVersion=0))


# ── ChallengeAchievement ────────────────────────────────────────────────────────────────


def award(error: str, sentence: str, attempt: Callable[[World], object]) -> None:
    refuses("achievement", error, sentence)(attempt)


def token_acts(world: World, function: str, *args: object) -> object:
    return world.client.send(world.bob, "achievement", function, *args)


award(
    "ChallengeNotFinalized",
    "a completion of what still runs",
    lambda w: w.client.mint_achievement(w.bob, w.challenge(), "completion"),
)
award(
    "ChallengeNotFinalized",
    "a victory in what still runs",
    lambda w: w.client.mint_achievement(w.bob, w.challenge(), "victory"),
)
award(
    "NotEligible",
    "a completion for who staked nothing",
    lambda w: w.client.mint_achievement(w.carol, w.finished(), "completion"),
)
award(
    "NotEligible",
    "a victory for who has not won",
    lambda w: w.client.mint_achievement(w.alice, w.finished(w.bob), "victory"),
)
award(
    "NotAdmin",
    "an admin's mint by somebody else",
    lambda w: token_acts(w, "adminMint", w.bob.address, 2, 1),
)
award(
    "ZeroAddress", "a mint to no address", lambda w: w.client.admin_mint(ZERO_ADDRESS, 2, "victory")
)
award(
    "InvalidType",
    "a mint of neither kind",
    lambda w: w.client.send(w.admin, "achievement", "adminMint", w.bob.address, 2, 2),
)
award(
    "NonexistentToken",
    "asking for a token that is not there",
    lambda w: w.client.view("achievement", "ownerOf", 99),
)


@refuses("achievement", "AlreadyMinted", "the same achievement twice")
def _(world: World) -> object:
    challenge_id = world.finished(world.bob)
    world.client.mint_achievement(world.bob, challenge_id, "victory")
    return world.client.mint_achievement(world.bob, challenge_id, "victory")


TRANSFERS: dict[str, tuple[object, ...]] = {
    "approve": (ONE[:42], 1),
    "setApprovalForAll": (ONE[:42], True),
    "transferFrom": (ONE[:42], TWO[:42], 1),
    "safeTransferFrom(address,address,uint256)": (ONE[:42], TWO[:42], 1),
    "safeTransferFrom(address,address,uint256,bytes)": (ONE[:42], TWO[:42], 1, "0x"),
}
for function, arguments in TRANSFERS.items():
    award(
        "Soulbound",
        f"{function.partition('(')[0]} with {len(arguments)} arguments",
        lambda w, function=function, arguments=arguments: token_acts(w, function, *arguments),
    )


# ── MetadataRegistry, verifier, token ───────────────────────────────────────────────────


def publish(world: World, function: str, *args: object, by: wallets.Wallet | None = None) -> object:
    return world.client.send(
        by or world.deployment.metadata_owner,
        "metadata_registry",
        function,
        world.deployment.challengepay,
        2,
        *args,
    )


for function, arguments in {"ownerSet": ("u",), "ownerForceSet": ("u",), "ownerClear": ()}.items():
    refuses("metadata_registry", "NotOwner", f"{function} from who is not the owner")(
        lambda w, function=function, arguments=arguments: publish(w, function, *arguments, by=w.bob)
    )
refuses("metadata_registry", "EmptyUri", "an empty address")(lambda w: publish(w, "ownerSet", ""))
refuses("metadata_registry", "EmptyUri", "an empty correction")(
    lambda w: publish(w, "ownerForceSet", "")
)


@refuses("metadata_registry", "AlreadySet", "a second address")
def _(world: World) -> object:
    publish(world, "ownerSet", "one")
    return publish(world, "ownerSet", "two")


refuses("token", "InsufficientBalance", "more tokens than there are")(
    lambda w: w.client.send(w.bob, "token", "transfer", w.alice.address, 1)
)
refuses("token", "InsufficientBalance", "burning more tokens than there are")(
    lambda w: w.client.send(w.bob, "token", "burn", w.alice.address, 1)
)
refuses("token", "InsufficientAllowance", "tokens that were not approved")(
    lambda w: w.client.send(w.bob, "token", "transferFrom", w.alice.address, w.bob.address, 1)
)


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{c.contract} refuses {c.sentence} ({c.error})" for c in CASES]
)
def test_a_contract_refuses(case: Case, world: World) -> None:
    with pytest.raises(ContractRefused) as refusal:
        case.attempt(world)
    assert refusal.value.error == case.error


CREATIONS: list[tuple[str, tuple[object, ...], str]] = [
    ("ChallengePay", (ZERO_ADDRESS, ONE[:42], ONE[:42], (0, 0, 0, 0)), "ZeroAddress"),
    ("ChallengePay", (ONE[:42], ONE[:42], ONE[:42], (2, 1, 0, 0)), "InvalidBounds"),
    ("Treasury", (ZERO_ADDRESS,), "BadParams"),
    ("AIVMInferenceV2", (ZERO_ADDRESS,), "InvalidParams"),
    ("ChallengeTaskRegistry", (ZERO_ADDRESS,), "NotAuthorized"),
    ("ChallengePayAivmPoiVerifier", (ONE[:42], ZERO_ADDRESS), "ZeroAddress"),
    ("ChallengeAchievement", (ZERO_ADDRESS, ONE[:42]), "ZeroAddress"),
    ("MetadataRegistry", (ZERO_ADDRESS,), "NotOwner"),
]


@pytest.mark.parametrize(
    ("contract", "arguments", "error"), CREATIONS, ids=[f"{c} ({e})" for c, _, e in CREATIONS]
)
def test_a_contract_is_not_created_with_what_makes_no_sense(
    contract: str, arguments: tuple[object, ...], error: str, world: World
) -> None:
    assert world.creation_error(contract, *arguments) == error


def test_every_named_error_of_every_contract_is_tried_here() -> None:
    tried = {(case.contract, case.error) for case in CASES}
    tried |= {(contract, error) for contract, _, error in CREATIONS}
    declared = {
        (name, signature.partition("(")[0])
        for name in ALL_CONTRACTS
        for signature in abi.load(name).errors.values()
    }
    assert declared - tried == set()
