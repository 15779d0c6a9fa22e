"""Arranging challenges on the devnet: who stakes, who wins, what time it is."""

from __future__ import annotations

from typing import Any

from lightchallenge_dagster.devnet import abi, wallets
from lightchallenge_dagster.devnet.client import Client, Receipt, Role
from lightchallenge_dagster.devnet.deploy import CONTRACTS, Deployment
from lightchallenge_dagster.devnet.errors import ContractRefused, NodeRefused
from lightchallenge_dagster.devnet.network import Network, response_for, sign_attestation
from lightchallenge_dagster.devnet.wallets import Wallet

ETHER = 10**18
GAS = 1_500_000


class World:
    """A deployment with funded users, the pipeline's two wallets and the inference network."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.client = Client(deployment)
        self.network = Network.of(deployment)
        self.admin = deployment.admin
        self.worker = deployment.worker
        self.finalizer = deployment.finalizer
        self.alice = wallets.user("alice")
        self.bob = wallets.user("bob")
        self.carol = wallets.user("carol")
        self.dave = wallets.user("dave")
        self.stranger = wallets.user("a stranger")
        self._requests: dict[int, int] = {}
        people = (self.alice, self.bob, self.carol, self.dave, self.stranger)
        self.client.node.batch(
            [("anvil_setBalance", [one.address, hex(100 * ETHER)]) for one in people]
        )

    # ── challenges ──────────────────────────────────────────────────────────────────────

    def challenge(self, stakes: dict[str, int] | None = None, **options: Any) -> int:
        """Alice's challenge, with Bob staking as much as she does unless ``stakes`` says else."""
        challenge_id = self.client.create_challenge(self.alice, **options)
        wanted = {"bob": options.get("stake", ETHER)} if stakes is None else stakes
        for name, wei in wanted.items():
            self.client.join(wallets.user(name), challenge_id, wei)
        return challenge_id

    def started(self, **options: Any) -> int:
        """A challenge whose proof window is open."""
        challenge_id = self.challenge(**options)
        self.client.travel_to(self.client.challenge(challenge_id).start_ts)
        return challenge_id

    def request(self, challenge_id: int) -> int:
        """The finalized inference of a challenge; one serves all its winners."""
        if challenge_id not in self._requests:
            request_id = self.client.request_inference(
                self.worker, challenge_id, self.alice.address
            )
            self.network.run_until_idle()
            self._requests[challenge_id] = request_id
        return self._requests[challenge_id]

    def good_proof(self, challenge_id: int, winner: Wallet) -> str:
        """A proof that verifies: the inference is final and the wallet is bound."""
        request_id = self.request(challenge_id)
        self.client.bind(self.worker, challenge_id, winner.address, request_id)
        return self.client.proof(challenge_id, winner.address, request_id)

    def win(self, challenge_id: int, *winners: Wallet) -> None:
        """Make these wallets winners, in a challenge that has started or will now."""
        self.client.travel_to(self.client.challenge(challenge_id).start_ts)
        for winner in winners:
            proof = self.good_proof(challenge_id, winner)
            self.client.submit_proof(self.finalizer, challenge_id, winner.address, proof)

    def finish(self, challenge_id: int) -> Receipt:
        """Let time pass until anyone may finalize, and a stranger does."""
        self.client.travel_to(self.client.challenge(challenge_id).proof_deadline_ts)
        return self.client.finalize(self.stranger, challenge_id)

    def finished(self, *winners: Wallet, **options: Any) -> int:
        """A finalized challenge with these winners."""
        challenge_id = self.challenge(**options)
        self.win(challenge_id, *winners)
        self.finish(challenge_id)
        return challenge_id

    def token_challenge(self, **options: Any) -> int:
        """Alice's challenge in devnet tokens; Bob holds tokens too."""
        for one in (self.alice, self.bob):
            self.client.mint_tokens(one, 10 * ETHER)
        return self.client.create_challenge(self.alice, token=self.deployment.token, **options)

    # ── inference, by hand ──────────────────────────────────────────────────────────────

    def requested(self, challenge_id: int = 2) -> int:
        """A request that nobody has taken up; its challenge need not exist."""
        return self.client.request_inference(self.worker, challenge_id, self.alice.address)

    def committed(self, challenge_id: int = 2, by: Wallet | None = None) -> int:
        """A request with the commitment of ``by`` (else the network's worker)."""
        worker = by or wallets.network_worker()
        request_id = self.requested(challenge_id)
        self.client.send(worker, "aivm_inference", "depositBond", value=ETHER)
        self.client.send(
            worker,
            "aivm_inference",
            "commitInference",
            request_id,
            self.commitment(request_id, worker, response_for(challenge_id)),
        )
        return request_id

    def revealed(self, challenge_id: int = 2) -> int:
        request_id = self.committed(challenge_id)
        self.reveal(request_id, response_for(challenge_id))
        return request_id

    def reveal(self, request_id: int, response: str, by: Wallet | None = None) -> Receipt:
        return self.client.send(
            by or wallets.network_worker(),
            "aivm_inference",
            "revealInference",
            request_id,
            self.secret(request_id),
            response,
        )

    def secret(self, request_id: int) -> str:
        return "0x" + request_id.to_bytes(32, "big").hex()

    def commitment(self, request_id: int, worker: Wallet, response: str) -> str:
        from eth_utils.crypto import keccak

        packed = (
            request_id.to_bytes(32, "big")
            + bytes.fromhex(worker.address[2:])
            + bytes.fromhex(self.secret(request_id)[2:])
            + keccak(text=response)
        )
        return "0x" + keccak(packed).hex()

    def signature(self, request_id: int, validator: Wallet, result_hash: str, slot: int = 7) -> str:
        message = {
            "taskId": bytes.fromhex(self.client.request(request_id).task_id[2:]),
            "resultHash": bytes.fromhex(result_hash[2:]),
            "transcriptHash": b"\x05" * 32,
            "slot": slot,
        }
        node = self.client.node
        return sign_attestation(validator, node.chain_id, self.deployment.aivm_inference, message)

    def attest(
        self,
        request_id: int,
        validator: Wallet,
        *,
        result_hash: str | None = None,
        signature: str | None = None,
    ) -> Receipt:
        """Hand in an attestation of what was revealed, unless said otherwise."""
        request = self.client.request(request_id)
        result = result_hash or request.response_hash
        return self.client.send(
            self.stranger,
            "aivm_inference",
            "submitPoIAttestation",
            request.task_id,
            result,
            "0x" + "05" * 32,
            7,
            signature or self.signature(request_id, validator, result),
        )

    # ── refusals and exact times ────────────────────────────────────────────────────────

    def outcome_at(
        self,
        timestamp: int,
        wallet: Wallet,
        role: Role,
        function: str,
        *args: object,
        value: int = 0,
    ) -> str:
        """Mine one call in a block of exactly this time; ``ok``, or the error's name."""
        node = self.client.node
        to = self.client.address(role)
        data = abi.load(CONTRACTS[role]).encode(function, *args)
        raw = node.sign(
            wallet,
            to,
            data,
            nonce=node.nonce(wallet.address),
            gas=GAS,
            fees=node.fees(),
            value=value,
        )
        node.call("evm_setNextBlockTimestamp", hex(timestamp))
        receipt = node.receipts([node.call("eth_sendRawTransaction", raw)])[0]
        if int(receipt["status"], 16) == 1:
            return "ok"
        try:
            node.view(to, data, sender=wallet.address, value=value, block=receipt["blockNumber"])
        except ContractRefused as refusal:
            return refusal.error
        raise AssertionError("refused when mined, not when asked again")

    def creation_error(self, contract: str, *args: object) -> str:
        """Why the contract cannot be created with these arguments."""
        data = abi.load(contract).creation_code(*args)
        try:
            self.client.node.call("eth_call", {"data": data}, "latest")
        except NodeRefused as refusal:
            return abi.error_name(refusal.data)
        return "ok"
