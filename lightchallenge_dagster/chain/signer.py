"""A wallet that signs, and never shows its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from lightchallenge_dagster.errors import PermanentError

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction: its ``hash`` and the ``raw`` bytes to broadcast, both 0x-hex."""

    hash: str
    raw: str


class Signer:
    """Signs transactions as ``address`` (lowercase).

    The private key is in no attribute with a name that prints, in no ``repr`` and in no exception,
    and the object refuses to be pickled. Raises ``PermanentError`` for a text that is no key;
    ``variable`` names the setting it came from.
    """

    __slots__ = ("_account", "address")

    def __init__(self, private_key: str, *, variable: str = "the private key") -> None:
        from eth_account import Account

        account: LocalAccount | None = None
        try:
            account = Account.from_key(private_key.strip())
        except Exception:  # noqa: BLE001 — the library's message may hold the key, so none of it leaves
            account = None
        if account is None:
            raise PermanentError(f"{variable} is not a private key: 32 bytes of 0x-hex expected")
        self._account = account
        self.address: str = account.address.lower()

    def sign(self, transaction: Mapping[str, Any]) -> Signed:
        """Sign a transaction given with integer quantities (``nonce``, ``gas``, fees, ``value``).

        ``to`` may be lowercase. Raises ``TypeError`` or ``ValueError`` for an incomplete one.
        """
        from eth_utils.address import to_checksum_address

        signed = self._account.sign_transaction(
            {**transaction, "to": to_checksum_address(transaction["to"])}
        )
        return Signed(
            hash="0x" + bytes(signed.hash).hex(), raw="0x" + bytes(signed.raw_transaction).hex()
        )

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Signer is not pickled: its key must not travel")
