"""The node and the contracts as a resource."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from lightchallenge_dagster.settings import SettingsError, rpc_urls

if TYPE_CHECKING:
    from lightchallenge_dagster.chain.contracts import Addresses, Contracts
    from lightchallenge_dagster.chain.reader import ChainReader
    from lightchallenge_dagster.chain.rpc import Rpc
    from lightchallenge_dagster.steps.index import IndexPolicy

_TIMEOUT_S, _HASTY_TIMEOUT_S = 20.0, 5.0
_PATIENCE_S, _HASTY_PATIENCE_S = 60.0, 1.0


class ChainResource(ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """JSON-RPC behind ``LCAI_RPC`` and the addresses of the deployed contracts."""

    rpc_url: str | None = None
    chain_id: int = 504
    challengepay: str | None = None
    treasury: str | None = None
    aivm_inference: str | None = None
    task_registry: str | None = None
    poi_verifier: str | None = None
    achievement: str | None = None
    metadata_registry: str | None = None
    legacy_challengepay: str = ""
    start_block: int = 0
    confirmation_blocks: int = 12
    max_block_range: int = 2000
    verify_behind_blocks: int = 64
    seed_lookback: int = 50_000

    def rpc(self, *, hasty: bool = False) -> Rpc:
        """The endpoints of ``LCAI_RPC``; one that is not on ``chain_id`` will not be believed.

        ``hasty`` is for a sensor's tick, which had better fail than wait: the next one comes soon.
        Raises ``SettingsError`` when none is set or the list is not one.
        """
        from lightchallenge_dagster.chain.rpc import Rpc

        if not self.rpc_url:
            raise SettingsError("LCAI_RPC is not set; see docs/configuration.md")
        return Rpc(
            rpc_urls(self.rpc_url),
            timeout_s=_HASTY_TIMEOUT_S if hasty else _TIMEOUT_S,
            patience_s=_HASTY_PATIENCE_S if hasty else _PATIENCE_S,
            chain_id=self.chain_id,
            max_block_range=self.max_block_range,
        )

    def reader(self, *, hasty: bool = False) -> ChainReader:
        """Blocks and logs; ``hasty`` as for ``rpc``."""
        from lightchallenge_dagster.chain.reader import ChainReader

        return ChainReader(self.rpc(hasty=hasty))

    def now_ts(self) -> int:
        """Chain time: the newest block's timestamp. Contracts compare against it, so we do."""
        return self.reader().head().timestamp

    def now(self) -> datetime:
        """``now_ts`` as an instant."""
        return datetime.fromtimestamp(self.now_ts(), UTC)

    def addresses(self) -> Addresses:
        """Raises ``SettingsError`` naming the first contract whose address is not set."""
        from lightchallenge_dagster.chain.contracts import Addresses

        return Addresses(
            challengepay=self._need(self.challengepay, "CHALLENGEPAY_ADDRESS"),
            treasury=self._need(self.treasury, "TREASURY_ADDRESS"),
            aivm_inference=self._need(self.aivm_inference, "AIVM_INFERENCE_V2_ADDRESS"),
            task_registry=self._need(self.task_registry, "AIVM_TASK_REGISTRY_ADDRESS"),
            poi_verifier=self.poi_verifier,
            achievement=self.achievement,
            metadata_registry=self.metadata_registry,
            legacy_challengepay=self._legacy(),
        )

    def contracts(self, rpc: Rpc | None = None) -> Contracts:
        """Typed views of the contracts, through ``rpc`` or endpoints of its own.

        Whoever reads logs and contracts gives the reader's: an endpoint that has lost the past, or
        never got so far, is left for both.
        """
        from lightchallenge_dagster.chain.contracts import Contracts

        return Contracts(rpc or self.rpc(), self.addresses())

    def index_policy(self) -> IndexPolicy:
        """What to index: every configured contract by its role."""
        from lightchallenge_dagster.steps.index import IndexPolicy

        addresses = self.addresses()
        roles = {
            "challengepay": addresses.challengepay,
            "treasury": addresses.treasury,
            "aivm_inference": addresses.aivm_inference,
            "task_registry": addresses.task_registry,
            "achievement": self.achievement,
            "metadata_registry": self.metadata_registry,
        }
        roles |= {f"legacy_challengepay_{n}": one for n, one in enumerate(self._legacy(), start=1)}
        return IndexPolicy(
            chain_id=self.chain_id,
            addresses={role: address for role, address in roles.items() if address},
            confirmations=self.confirmation_blocks,
            max_block_range=self.max_block_range,
            start_block=self.start_block,
        )

    def _legacy(self) -> tuple[str, ...]:
        return tuple(part for part in self.legacy_challengepay.split(",") if part)

    @staticmethod
    def _need(value: str | None, variable: str) -> str:
        if not value:
            raise SettingsError(f"{variable} is not set; see docs/configuration.md")
        return value
