"""The wallets that sign, as a resource: the only place the private keys go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from lightchallenge_dagster.settings import SettingsError

if TYPE_CHECKING:
    from lightchallenge_dagster.chain.signer import Signer


class SignersResource(ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """``LCAI_WORKER_PK`` signs requests and bindings, ``LCAI_FINALIZE_PK`` (else the worker's)
    proofs and finalize, ``METADATA_REGISTRY_KEY`` metadata URIs and nothing else."""

    worker_key: str | None = None
    finalize_key: str | None = None
    metadata_key: str | None = None

    def worker(self) -> Signer:
        """Raises ``SettingsError`` when ``LCAI_WORKER_PK`` is not set."""
        from lightchallenge_dagster.chain.signer import Signer

        if not self.worker_key:
            raise SettingsError("LCAI_WORKER_PK is not set; see docs/configuration.md")
        return Signer(self.worker_key, variable="LCAI_WORKER_PK")

    def finalizer(self) -> Signer:
        """The worker where no key of its own is set."""
        from lightchallenge_dagster.chain.signer import Signer

        if not self.finalize_key:
            return self.worker()
        return Signer(self.finalize_key, variable="LCAI_FINALIZE_PK")

    def metadata(self) -> Signer:
        """Raises ``SettingsError`` when ``METADATA_REGISTRY_KEY`` is not set."""
        from lightchallenge_dagster.chain.signer import Signer

        if not self.metadata_key:
            raise SettingsError("METADATA_REGISTRY_KEY is not set; see docs/configuration.md")
        return Signer(self.metadata_key, variable="METADATA_REGISTRY_KEY")

    def wallets(self) -> dict[str, str]:
        """Role to address; the metadata wallet only where its key is set."""
        wallets = {"worker": self.worker().address, "finalizer": self.finalizer().address}
        return wallets | ({"metadata": self.metadata().address} if self.metadata_key else {})
