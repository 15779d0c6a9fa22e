"""Where evidence comes from, as a resource."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource

if TYPE_CHECKING:
    from collections.abc import Mapping


class EvidenceSources(ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """Provider APIs (``OPENDOTA_BASE``) and the upload folder (``EVIDENCE_INBOX``)."""

    opendota_base: str = "https://api.opendota.com/api"
    inbox: str = "inbox"
    lookback_days: int = 90

    def clients(self) -> Mapping[str, Any]:
        """A client per provider that can be collected."""
        from lightchallenge_dagster.providers.opendota import OpenDota

        return {"opendota": OpenDota(self.opendota_base)}

    def inbox_path(self) -> Path:
        """The upload folder, absolute: sensors and runs may have different working folders."""
        return Path(self.inbox).expanduser().resolve()
