"""What users, the admin and a passer-by do on the devnet, as typed calls.

For tests and the demo: it knows only the chain. A call waits until it is mined and raises
``ContractRefused`` with the custom error's name when the contract refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lightchallenge_dagster.devnet import abi
from lightchallenge_dagster.devnet.abi import Event
from lightchallenge_dagster.devnet.deploy import CONTRACTS, Deployment
from lightchallenge_dagster.devnet.errors import ContractRefused, DevnetError
from lightchallenge_dagster.devnet.node import Node
from lightchallenge_dagster.devnet.wallets import Wallet

Role = Literal[
    "challengepay",
    "treasury",
    "aivm_inference",
    "task_registry",
    "poi_verifier",
    "achievement",
    "metadata_registry",
    "token",
]

ZERO_ADDRESS = "0x" + "00" * 20
ZERO_HASH = "0x" + "00" * 32
NATIVE, ERC20 = 0, 1
ACTIVE, FINALIZED, CANCELED = 0, 1, 2
NO_OUTCOME, SUCCESS, FAIL = 0, 1, 2
COMPLETION, VICTORY = 0, 1
PROOF_TYPE = (
    "uint16",
    "uint256",
    "bytes32",
    "uint256",
    "address",
    "bool",
    "uint256",
    "bytes32",
    "bytes32",
    "bytes32",
    "uint64",
    "bytes32",
    "bytes32",
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction and the events of our contracts in it, in order."""

    transaction_hash: str
    block_number: int
    gas_used: int
    events: tuple[Event, ...]

    def event(self, name: str) -> Event:
        """The only event ``name``. Raises ``DevnetError`` when there is none, or more."""
        found = [event for event in self.events if event.name == name]
        if len(found) != 1:
            raise DevnetError(f"{len(found)} events {name} in {self.transaction_hash}")
        return found[0]


@dataclass(frozen=True, slots=True)
class ChallengeOnChain:
    """``getChallenge``: wei, epoch seconds, lowercase addresses."""

    id: int
    kind: int
    status: int
    outcome: int
    creator: str
    currency: int
    token: str
    stake: int
    join_closes_ts: int
    start_ts: int
    duration: int
    max_participants: int
    pool: int
    participants_count: int
    verifier: str
    proof_deadline_ts: int
    winners_count: int
    winners_pool: int
    paused: bool
    canceled: bool
    payouts_done: bool

    @property
    def end_ts(self) -> int:
        return self.start_ts + self.duration


@dataclass(frozen=True, slots=True)
class RequestOnChain:
    """``AIVMInferenceV2.requests``; ``status`` 0 to 7 as the contract numbers them."""

    requester: str
    model: str
    model_digest: str
    det_config_hash: str
    prompt_hash: str
    prompt_id: str
    task_id: str
    fee: int
    created_at: int
    commit_deadline: int
    reveal_deadline: int
    finalize_deadline: int
    status: int
    worker: str
    commitment: str
    committed_at: int
    response_hash: str
    response: str
    revealed_at: int
    finalized_at: int


class Client:
    """Everything a person can do on one deployment. Not for several threads at once."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.node = Node(deployment.rpc_url)
        self._abis = {self.address(role): abi.load(name) for role, name in CONTRACTS.items()}

    # ── calls by name ───────────────────────────────────────────────────────────────────

    def address(self, role: Role | str) -> str:
        """The address of the contract in that role of the deployment."""
        if role not in CONTRACTS:
            raise DevnetError(f"no contract {role!r}; there are {', '.join(CONTRACTS)}")
        return str(getattr(self.deployment, role))

    def send(
        self, wallet: Wallet, role: Role, function: str, *args: object, value: int = 0
    ) -> Receipt:
        """Call ``function`` as ``wallet`` and wait until it is mined.

        Raises ``ContractRefused`` with the error's name.
        """
        to = self.address(role)
        data = self._abis[to].encode(function, *args)
        try:
            receipt = self.node.transact(wallet, to, data, value=value)
        except ContractRefused as refusal:
            raise ContractRefused(refusal.error, f"{CONTRACTS[role]}.{function}") from None
        return self._receipt(receipt)

    def view(self, role: Role, function: str, *args: object, block: int | str = "latest") -> Any:
        """Ask a view; one value, or a tuple of several. Raises ``ContractRefused``."""
        to = self.address(role)
        tag = block if isinstance(block, str) else hex(block)
        try:
            data = self.node.view(to, self._abis[to].encode(function, *args), block=tag)
        except ContractRefused as refusal:
            raise ContractRefused(refusal.error, f"{CONTRACTS[role]}.{function}") from None
        return self._abis[to].decode(function, data)

    def events(
        self, *roles: Role, from_block: int | None = None, name: str | None = None
    ) -> list[Event]:
        """Events of these contracts (of all, when none is named) so far, in order."""
        answer = self.node.call(
            "eth_getLogs",
            {
                "address": [self.address(role) for role in roles or CONTRACTS],
                "fromBlock": hex(self.deployment.start_block if from_block is None else from_block),
                "toBlock": "latest",
            },
        )
        return [event for event in self._decoded(answer) if name is None or event.name == name]

    def _receipt(self, receipt: Mapping[str, Any]) -> Receipt:
        return Receipt(
            str(receipt["transactionHash"]),
            int(receipt["blockNumber"], 16),
            int(receipt["gasUsed"], 16),
            tuple(self._decoded(receipt["logs"])),
        )

    def _decoded(self, logs: Iterable[Mapping[str, Any]]) -> list[Event]:
        known = [(self._abis.get(str(log["address"]).lower()), log) for log in logs]
        events = [contract.decode_log(log) for contract, log in known if contract is not None]
        return [event for event in events if event is not None]

    # ── time and money ──────────────────────────────────────────────────────────────────

    def now(self) -> int:
        """Chain time, epoch seconds."""
        return self.node.now()

    def travel_to(self, timestamp: int) -> None:
        """Mine a block at ``timestamp``, if that lies ahead (anvil only)."""
        if timestamp > self.now():
            self.node.call("evm_setNextBlockTimestamp", hex(timestamp))
            self.node.call("evm_mine")

    def travel(self, seconds: int) -> None:
        """Mine a block ``seconds`` ahead of chain time (anvil only)."""
        self.travel_to(self.now() + seconds)

    def fund(self, *recipients: Wallet, wei: int = 100 * 10**18) -> None:
        """Bring these wallets up to ``wei`` native coins, from the admin's."""
        for wallet in recipients:
            missing = wei - self.node.balance(wallet.address)
            if missing > 0:
                self.node.transact(self.deployment.admin, wallet.address, "0x", value=missing)

    # ── challenges ──────────────────────────────────────────────────────────────────────

    def create_challenge(
        self,
        creator: Wallet,
        *,
        stake: int = 10**18,
        start_ts: int | None = None,
        starts_in_s: int = 120,
        duration_s: int = 3600,
        proof_window_s: int = 3600,
        proof_deadline_ts: int | None = None,
        join_closes_ts: int = 0,
        max_participants: int = 0,
        kind: int = 0,
        token: str | None = None,
        verifier: str | None = None,
        external_id: str = ZERO_HASH,
        value: int | None = None,
    ) -> int:
        """Create a challenge with ``stake`` wei of the creator's; its id.

        It starts at ``start_ts``, else ``starts_in_s`` after the latest block, and takes proofs
        until ``proof_deadline_ts``, else ``proof_window_s`` after its end. With ``token`` the
        stake is that ERC-20's. ``value`` overrides the wei that are sent.
        """
        start = self.now() + starts_in_s if start_ts is None else start_ts
        deadline = start + duration_s + proof_window_s
        params = (
            kind,
            NATIVE if token is None else ERC20,
            token or ZERO_ADDRESS,
            stake,
            join_closes_ts,
            start,
            duration_s,
            max_participants,
            verifier or self.deployment.poi_verifier,
            deadline if proof_deadline_ts is None else proof_deadline_ts,
            external_id,
        )
        sent = (stake if token is None else 0) if value is None else value
        receipt = self.send(creator, "challengepay", "createChallenge", params, value=sent)
        return int(receipt.event("ChallengeCreated").args["id"])

    def join(self, user: Wallet, challenge_id: int, wei: int = 10**18) -> Receipt:
        """Stake ``wei`` native coins."""
        return self.send(user, "challengepay", "joinChallengeNative", challenge_id, value=wei)

    def join_erc20(self, user: Wallet, challenge_id: int, amount: int) -> Receipt:
        """Stake ``amount`` of the challenge's token, approved before."""
        return self.send(user, "challengepay", "joinChallengeERC20", challenge_id, amount)

    def mint_tokens(self, user: Wallet, amount: int) -> None:
        """Give ``user`` devnet tokens and let ChallengePay take them."""
        self.send(user, "token", "mint", user.address, amount)
        self.send(user, "token", "approve", self.deployment.challengepay, amount)

    def cancel(self, who: Wallet, challenge_id: int) -> Receipt:
        return self.send(who, "challengepay", "cancelChallenge", challenge_id)

    def finalize(self, who: Wallet, challenge_id: int) -> Receipt:
        return self.send(who, "challengepay", "finalize", challenge_id)

    def submit_proof(
        self, dispatcher: Wallet, challenge_id: int, participant: str, proof: str
    ) -> Receipt:
        return self.send(
            dispatcher, "challengepay", "submitProofFor", challenge_id, participant, proof
        )

    def submit_my_proof(self, user: Wallet, challenge_id: int, proof: str) -> Receipt:
        return self.send(user, "challengepay", "submitMyProof", challenge_id, proof)

    def submit_proofs(
        self, dispatcher: Wallet, challenge_id: int, proofs: Mapping[str, str]
    ) -> Receipt:
        """One ``submitProofForBatch``: participant -> proof."""
        return self.send(
            dispatcher,
            "challengepay",
            "submitProofForBatch",
            challenge_id,
            list(proofs),
            list(proofs.values()),
        )

    def pause(self, challenge_id: int, paused: bool = True) -> Receipt:
        return self.send(
            self.deployment.admin, "challengepay", "pauseChallenge", challenge_id, paused
        )

    def pause_all(self, paused: bool = True) -> Receipt:
        return self.send(self.deployment.admin, "challengepay", "pauseAll", paused)

    def move_proof_deadline(self, challenge_id: int, proof_deadline_ts: int) -> Receipt:
        """The admin's rescue: the same verifier, another deadline."""
        return self.send(
            self.deployment.admin,
            "challengepay",
            "setVerificationConfig",
            challenge_id,
            self.challenge(challenge_id).verifier,
            proof_deadline_ts,
        )

    # ── money back ──────────────────────────────────────────────────────────────────────

    def claim_winner(self, user: Wallet, challenge_id: int) -> int:
        """Grant the winner's payout in the Treasury; wei."""
        receipt = self.send(user, "challengepay", "claimWinner", challenge_id)
        return int(receipt.event("WinnerClaimed").args["amount"])

    def claim_loser(self, user: Wallet, challenge_id: int) -> int:
        """Grant the loser's cashback in the Treasury; wei."""
        receipt = self.send(user, "challengepay", "claimLoser", challenge_id)
        return int(receipt.event("LoserClaimed").args["amount"])

    def claim_refund(self, user: Wallet, challenge_id: int) -> int:
        """Grant a canceled challenge's stake in the Treasury; wei."""
        receipt = self.send(user, "challengepay", "claimRefund", challenge_id)
        return int(receipt.event("RefundClaimed").args["amount"])

    def claim_eth(
        self, user: Wallet, challenge_id: int, wei: int | None = None, *, to: str | None = None
    ) -> int:
        """Pull ``wei`` (all that is granted, when None) from the Treasury; what was pulled."""
        amount = self.eth_allowance(challenge_id, user.address) if wei is None else wei
        if to is None:
            self.send(user, "treasury", "claimETH", challenge_id, amount)
        else:
            self.send(user, "treasury", "claimETHTo", challenge_id, to, amount)
        return amount

    def auto_distribute(
        self,
        who: Wallet,
        challenge_id: int,
        winners: Sequence[str],
        losers: Sequence[str] = (),
    ) -> Receipt:
        return self.send(
            who, "challengepay", "autoDistribute", challenge_id, list(winners), list(losers)
        )

    def auto_refund(self, who: Wallet, challenge_id: int, participants: Sequence[str]) -> Receipt:
        return self.send(who, "challengepay", "autoRefund", challenge_id, list(participants))

    # ── achievements ────────────────────────────────────────────────────────────────────

    def mint_achievement(
        self, user: Wallet, challenge_id: int, kind: Literal["completion", "victory"]
    ) -> int:
        """Mint for oneself, after finalization; the token's id."""
        function = {"completion": "mintCompletion", "victory": "mintVictory"}[kind]
        receipt = self.send(user, "achievement", function, challenge_id)
        return int(receipt.event("AchievementMinted").args["tokenId"])

    def admin_mint(self, to: str, challenge_id: int, kind: Literal["completion", "victory"]) -> int:
        """Mint as the admin, without any condition; the token's id."""
        number = VICTORY if kind == "victory" else COMPLETION
        receipt = self.send(
            self.deployment.admin, "achievement", "adminMint", to, challenge_id, number
        )
        return int(receipt.event("AdminMinted").args["tokenId"])

    # ── inference, bindings, proofs (what the pipeline does; here for tests) ─────────────

    def request_inference(
        self,
        requester: Wallet,
        challenge_id: int,
        subject: str,
        *,
        model: str = "devnet.model@1",
        model_digest: str = "0x" + "11" * 32,
        params_hash: str = "0x" + "22" * 32,
        fee: int = 10**15,
    ) -> int:
        """Request the inference for a challenge, with the prompt id that names it; request id."""
        receipt = self.send(
            requester,
            "aivm_inference",
            "requestInferenceV2",
            model,
            "0x" + "33" * 32,
            abi.prompt_id(challenge_id, subject),
            model_digest,
            params_hash,
            value=fee,
        )
        return int(receipt.event("InferenceRequestedV2").args["requestId"])

    def bind(
        self,
        dispatcher: Wallet,
        challenge_id: int,
        subject: str,
        request_id: int,
        *,
        benchmark_hash: str = ZERO_HASH,
    ) -> Receipt:
        """Bind a subject to a request, as the request itself says."""
        request = self.request(request_id)
        return self.send(
            dispatcher,
            "task_registry",
            "recordBinding",
            challenge_id,
            subject,
            request_id,
            request.task_id,
            request.model_digest,
            request.det_config_hash,
            benchmark_hash,
            1,
        )

    def proof(
        self,
        challenge_id: int,
        subject: str,
        request_id: int,
        *,
        score: int = 0,
        benchmark_hash: str = ZERO_HASH,
        evaluated_at: int = 0,
    ) -> str:
        """The proof that holds once the request is final and the subject is bound (0x-hex)."""
        request = self.request(request_id)
        return abi.encode_values(
            PROOF_TYPE,
            (
                1,
                request_id,
                request.task_id,
                challenge_id,
                subject,
                True,
                score,
                ZERO_HASH,
                benchmark_hash,
                ZERO_HASH,
                evaluated_at,
                request.model_digest,
                request.det_config_hash,
            ),
        )

    # ── views ───────────────────────────────────────────────────────────────────────────

    def challenge(self, challenge_id: int) -> ChallengeOnChain:
        """An id that was never created reads as all zero."""
        return ChallengeOnChain(*self.view("challengepay", "getChallenge", challenge_id))

    def request(self, request_id: int) -> RequestOnChain:
        """An id that was never requested reads as all zero and empty."""
        return RequestOnChain(*self.view("aivm_inference", "requests", request_id))

    def contribution(self, challenge_id: int, address: str) -> int:
        """Staked wei of ``address``."""
        return int(self.view("challengepay", "contribOf", challenge_id, address))

    def is_winner(self, challenge_id: int, address: str) -> bool:
        return bool(self.view("challengepay", "isWinner", challenge_id, address))

    def is_bound(self, challenge_id: int, address: str) -> bool:
        return bool(self.view("task_registry", "getBinding", challenge_id, address)[6])

    def verifies(self, challenge_id: int, subject: str, proof: str) -> bool:
        """What the PoI verifier says of a proof."""
        return bool(self.view("poi_verifier", "verify", challenge_id, subject, proof))

    def eth_allowance(self, challenge_id: int, address: str) -> int:
        """Wei that ``address`` may pull from the challenge's bucket."""
        return int(self.view("treasury", "ethAllowanceOf", challenge_id, address))

    def balance(self, address: str) -> int:
        """Native coins, wei."""
        return self.node.balance(address)
