"""The devnet's wallets: keys that everybody knows, for chains that are thrown away.

anvil's ten funded accounts are shared out to the parts of a deployment; users' wallets come from
their names (``user("alice")``), so that a test or the demo reads as a story and repeats exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from eth_account import Account
from eth_utils.crypto import keccak

from lightchallenge_dagster.devnet.errors import DevnetError

ANVIL_MNEMONIC = "test test test test test test test test test test test junk"


@dataclass(frozen=True, slots=True)
class Wallet:
    """An address (lowercase) and the private key that signs for it (0x-hex)."""

    address: str
    key: str = field(repr=False)


def wallet_of(key: str) -> Wallet:
    """The wallet of a private key (0x-hex, 32 bytes)."""
    return Wallet(str(cast(Any, Account).from_key(key).address).lower(), key)


@cache
def anvil_account(index: int) -> Wallet:
    """anvil's account ``index``: 0 to 9 hold 10,000 native tokens each on a fresh node."""
    account = cast(Any, Account)
    account.enable_unaudited_hdwallet_features()
    signer = account.from_mnemonic(ANVIL_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    return Wallet(str(signer.address).lower(), "0x" + bytes(signer.key).hex())


@cache
def user(name: str) -> Wallet:
    """The wallet of the user ``name``; empty until somebody funds it."""
    return wallet_of("0x" + keccak(text=f"lightchallenge devnet user {name}").hex())


def admin() -> Wallet:
    """Deploys and administers every contract."""
    return anvil_account(0)


def worker() -> Wallet:
    """The pipeline's worker (``LCAI_WORKER_PK``): requests, bindings."""
    return anvil_account(1)


def finalizer() -> Wallet:
    """The pipeline's finalizer (``LCAI_FINALIZE_PK``): proofs, finalizations."""
    return anvil_account(2)


def network_worker() -> Wallet:
    """The inference network's worker: commits and reveals."""
    return anvil_account(3)


def validators() -> tuple[Wallet, ...]:
    """The inference network's validators: attest."""
    return tuple(anvil_account(index) for index in (4, 5, 6))


def metadata_owner() -> Wallet:
    """Owns the MetadataRegistry (``METADATA_REGISTRY_KEY``)."""
    return anvil_account(7)


def protocol() -> Wallet:
    """Takes the protocol's fees and forfeited stakes."""
    return anvil_account(8)


def known(address: str) -> Wallet:
    """The wallet of one of anvil's ten accounts by its address.

    Raises ``DevnetError`` for any other address: its key is not ours.
    """
    for index in range(10):
        if anvil_account(index).address == address.lower():
            return anvil_account(index)
    raise DevnetError(f"{address} is none of anvil's accounts; its key is not known here")
