"""Deploys the devnet's contracts and sets them up for one pipeline.

``python -m lightchallenge_dagster.devnet.deploy --rpc URL`` prints the lines of a ``.env``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from eth_utils.crypto import keccak

from lightchallenge_dagster.devnet import abi, wallets
from lightchallenge_dagster.devnet.errors import DevnetError
from lightchallenge_dagster.devnet.node import Node
from lightchallenge_dagster.devnet.wallets import Wallet
from lightchallenge_dagster.errors import LightChallengeError

CREATE_GAS = 6_000_000
CALL_GAS = 300_000
MAX_LEAD_S = 365 * 24 * 3600
DEFAULT_LEAD_S = 60
FUNDS_WEI = 10 * 10**18

# Deployment field -> contract. The order is that of deployment.
CONTRACTS: Mapping[str, str] = {
    "treasury": "Treasury",
    "challengepay": "ChallengePay",
    "aivm_inference": "AIVMInferenceV2",
    "task_registry": "ChallengeTaskRegistry",
    "poi_verifier": "ChallengePayAivmPoiVerifier",
    "achievement": "ChallengeAchievement",
    "metadata_registry": "MetadataRegistry",
    "token": "DevnetToken",
}


@dataclass(frozen=True, slots=True)
class Fees:
    """ChallengePay's fees, 1/10000; protocol's and creator's parts add up to ``forfeit_bps``."""

    forfeit_bps: int = 500
    protocol_bps: int = 300
    creator_bps: int = 200
    cashback_bps: int = 1000


DEFAULT_FEES = Fees()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where everything is (addresses lowercase) and who may do what.

    ``start_block`` is the first block that can hold a log of these contracts.
    """

    rpc_url: str = field(repr=False)
    chain_id: int
    start_block: int
    challengepay: str
    treasury: str
    aivm_inference: str
    task_registry: str
    poi_verifier: str
    achievement: str
    metadata_registry: str
    token: str
    worker_address: str
    finalizer_address: str
    metadata_owner_address: str
    protocol_address: str
    admin: Wallet

    @property
    def worker(self) -> Wallet:
        """The pipeline's worker with its key. Raises ``DevnetError`` when it is not anvil's."""
        return wallets.known(self.worker_address)

    @property
    def finalizer(self) -> Wallet:
        """The pipeline's finalizer with its key. Raises ``DevnetError`` when it is not anvil's."""
        return wallets.known(self.finalizer_address)

    @property
    def metadata_owner(self) -> Wallet:
        """The MetadataRegistry's owner with its key, likewise."""
        return wallets.known(self.metadata_owner_address)

    def env(self) -> dict[str, str]:
        """The pipeline's variables that name this deployment; no key and no RPC URL among them."""
        return {
            "LCAI_CHAIN_ID": str(self.chain_id),
            "START_BLOCK": str(self.start_block),
            "CHALLENGEPAY_ADDRESS": self.challengepay,
            "TREASURY_ADDRESS": self.treasury,
            "AIVM_INFERENCE_V2_ADDRESS": self.aivm_inference,
            "AIVM_TASK_REGISTRY_ADDRESS": self.task_registry,
            "CHALLENGEPAY_AIVM_POI_VERIFIER_ADDRESS": self.poi_verifier,
            "NEXT_PUBLIC_ACHIEVEMENT_ADDR": self.achievement,
            "METADATA_REGISTRY": self.metadata_registry,
        }

    def secret_env(self) -> dict[str, str]:
        """The variables that do hold the RPC URL and keys. Raises as ``worker``."""
        return {
            "LCAI_RPC": self.rpc_url,
            "LCAI_WORKER_PK": self.worker.key,
            "LCAI_FINALIZE_PK": self.finalizer.key,
            "METADATA_REGISTRY_KEY": self.metadata_owner.key,
        }


def deploy(
    rpc_url: str,
    *,
    admin_key: str | None = None,
    worker_address: str | None = None,
    finalizer_address: str | None = None,
    metadata_owner_address: str | None = None,
    protocol_address: str | None = None,
    min_lead_s: int = DEFAULT_LEAD_S,
    fees: Fees = DEFAULT_FEES,
    poi_quorum: int = 2,
    min_request_fee_wei: int = 10**15,
) -> Deployment:
    """Deploy and set up all contracts; returns once everything is mined.

    Whoever is not named is one of anvil's accounts (see ``wallets``). The worker and the finalizer
    become dispatchers of ChallengePay and of the ChallengeTaskRegistry; the network simulator's
    validators become active. Wallets that hold less than ``FUNDS_WEI`` are given that much by the
    admin. Every transaction is sent before the first receipt is waited for.

    Raises ``DevnetError`` when a transaction fails, ``NodeUnavailable`` when the node is away.
    """
    node = Node(rpc_url)
    admin = wallets.wallet_of(admin_key) if admin_key else wallets.admin()
    worker = (worker_address or wallets.worker().address).lower()
    finalizer = (finalizer_address or wallets.finalizer().address).lower()
    metadata_owner = (metadata_owner_address or wallets.metadata_owner().address).lower()
    protocol = (protocol_address or wallets.protocol().address).lower()
    validators = [one.address for one in wallets.validators()]

    nonce = node.nonce(admin.address)
    at = {
        role: _created_address(admin.address, nonce + number)
        for number, role in enumerate(CONTRACTS)
    }
    fee_tuple = (fees.forfeit_bps, fees.protocol_bps, fees.creator_bps, fees.cashback_bps)
    constructors: dict[str, tuple[object, ...]] = {
        "treasury": (admin.address,),
        "challengepay": (at["treasury"], admin.address, protocol, fee_tuple),
        "aivm_inference": (admin.address,),
        "task_registry": (admin.address,),
        "poi_verifier": (at["aivm_inference"], at["task_registry"]),
        "achievement": (at["challengepay"], admin.address),
        "metadata_registry": (metadata_owner,),
        "token": (),
    }
    operator_role = "0x" + keccak(text="OPERATOR_ROLE").hex()
    dispatchers = dict.fromkeys((worker, finalizer))
    calls: list[tuple[str, str, tuple[object, ...]]] = [
        ("treasury", "grantRole", (operator_role, at["challengepay"])),
        ("challengepay", "setTokenAllowed", (at["token"], True)),
        *(("challengepay", "setDispatcher", (one, True)) for one in dispatchers),
        *(("task_registry", "setDispatcher", (one, True)) for one in dispatchers),
        *(("aivm_inference", "setValidator", (one, True)) for one in validators),
        ("aivm_inference", "setPoiQuorum", (poi_quorum,)),
        ("aivm_inference", "setFees", (min_request_fee_wei, 500)),
    ]
    if min_lead_s != DEFAULT_LEAD_S:
        calls.append(("challengepay", "setLeadTimeBounds", (min_lead_s, MAX_LEAD_S)))

    # Each entry: what it is, to whom, the data, its gas limit, the wei it carries.
    plan: list[tuple[str, str | None, str, int, int]] = [
        (f"new {name}", None, abi.load(name).creation_code(*constructors[role]), CREATE_GAS, 0)
        for role, name in CONTRACTS.items()
    ]
    for role, function, args in calls:
        data = abi.load(CONTRACTS[role]).encode(function, *args)
        plan.append((f"{CONTRACTS[role]}.{function}", at[role], data, CALL_GAS, 0))
    funded = [worker, finalizer, metadata_owner, wallets.network_worker().address, *validators]
    for address in dict.fromkeys(funded):
        if address != admin.address and node.balance(address) < FUNDS_WEI:
            plan.append((f"funds for {address}", address, "0x", CALL_GAS, FUNDS_WEI))

    start_block = node.block_number() + 1
    prices = node.fees()
    hashes = [
        node.call(
            "eth_sendRawTransaction",
            node.sign(admin, to, data, nonce=nonce + number, gas=gas, fees=prices, value=value),
        )
        for number, (_, to, data, gas, value) in enumerate(plan)
    ]
    for (what, *_), receipt in zip(plan, node.receipts(hashes), strict=True):
        if int(receipt["status"], 16) != 1:
            raise DevnetError(f"{what} failed in transaction {receipt['transactionHash']}")
    return Deployment(
        rpc_url=rpc_url,
        chain_id=node.chain_id,
        start_block=start_block,
        **at,
        worker_address=worker,
        finalizer_address=finalizer,
        metadata_owner_address=metadata_owner,
        protocol_address=protocol,
        admin=admin,
    )


def _created_address(sender: str, nonce: int) -> str:
    """Where ``sender``'s transaction ``nonce`` creates: the hash of RLP([sender, nonce])."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    short = number if nonce and nonce < 0x80 else bytes([0x80 + len(number)]) + number
    payload = bytes([0x80 + 20]) + bytes.fromhex(sender[2:]) + short
    return "0x" + keccak(bytes([0xC0 + len(payload)]) + payload)[12:].hex()


def main(argv: list[str] | None = None) -> int:
    """The command: deploys, and prints the ``.env`` lines of what it deployed."""
    parser = argparse.ArgumentParser(
        description="Deploy the LightChallenge contracts on a local chain and print .env lines."
    )
    parser.add_argument("--rpc", required=True, help="the node's URL")
    parser.add_argument("--worker", help="address of the pipeline's worker (else anvil's 1)")
    parser.add_argument("--finalizer", help="address of the finalizer (else anvil's 2)")
    parser.add_argument("--min-lead", type=int, default=DEFAULT_LEAD_S, metavar="SECONDS")
    parser.add_argument("--poi-quorum", type=int, default=2, metavar="N")
    parser.add_argument(
        "--keys", action="store_true", help="also print LCAI_RPC and the devnet's private keys"
    )
    options = parser.parse_args(argv)
    try:
        deployment = deploy(
            options.rpc,
            worker_address=options.worker,
            finalizer_address=options.finalizer,
            min_lead_s=options.min_lead,
            poi_quorum=options.poi_quorum,
        )
        lines = deployment.env() | (deployment.secret_env() if options.keys else {})
    except LightChallengeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{name}={value}\n" for name, value in lines.items())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
