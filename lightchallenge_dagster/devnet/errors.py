"""What can go wrong on the devnet."""

from __future__ import annotations

from lightchallenge_dagster.errors import LightChallengeError, TransientError


class DevnetError(LightChallengeError):
    """The devnet was used in a way that cannot work."""


class NodeUnavailable(DevnetError, TransientError):
    """The node did not answer; the same call may go through later."""


class NodeRefused(DevnetError):
    """The node answered with a JSON-RPC error.

    ``code`` and ``data`` are the node's; ``data`` is the revert data (0x-hex) or None.
    """

    def __init__(self, method: str, code: int, message: str, data: str | None) -> None:
        super().__init__(f"{method}: {message}")
        self.code = code
        self.data = data


class ContractRefused(DevnetError):
    """A contract reverted. ``error`` is the custom error's name, or ``reverted`` without one."""

    def __init__(self, error: str, call: str) -> None:
        super().__init__(f"{call} was refused: {error}")
        self.error = error
