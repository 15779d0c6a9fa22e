"""What can go wrong between us and a node: it said no, or it gave no answer to believe."""

from __future__ import annotations

from typing import Any

from lightchallenge_dagster.errors import LightChallengeError, TransientError

CALLS = "calls"
"""The count of HTTP requests; every other count is one of failures, by kind."""

UNREACHABLE = "unreachable"
"""No connection: refused, unknown host, or not made in time."""
TIMEOUT = "timeout"
"""Connected, and no (whole) answer in time."""
RATE_LIMITED = "rate_limited"
"""HTTP 429, or an error that means it."""
HTTP_ERROR = "http_error"
"""Any other HTTP status that is not an answer, redirections and a gateway's timeouts too."""
CUT = "cut"
"""The connection ended before the answer did."""
TRUNCATED = "truncated"
"""A whole HTTP answer whose JSON ends too early."""
NOT_JSON = "not_json"
"""HTTP 200 with something else: mostly a page of a proxy."""
WRONG_ID = "wrong_id"
"""An answer to another call."""
OVERSIZED = "oversized"
"""More bytes than we take, or HTTP 413."""
BAD_ANSWER = "bad_answer"
"""JSON that is not JSON-RPC, or that contradicts itself."""
WRONG_CHAIN = "wrong_chain"
"""The endpoint follows another chain than LCAI_CHAIN_ID."""
NO_STATE = "no_state"
"""It has thrown away what contracts held at the block: an answer, not a failure, but no use."""
RANGE_REFUSED = "range_refused"
"""``eth_getLogs`` refused for its range or its result: an answer, not a failure."""


class RpcError(LightChallengeError):
    """The node answered with an error: ``code``, ``message`` and ``data`` as it sent them.

    URLs and their parts are scrubbed from the message. ``data`` is a contract's revert data for
    ``eth_call`` and ``eth_estimateGas``.
    """

    def __init__(self, method: str, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{method}: {message} (code {code})")
        self.method = method
        self.code = code
        self.message = message
        self.data = data


class RpcUnavailable(TransientError):
    """The node could not be reached, refused for now, or its answer was not JSON-RPC.

    ``kind`` is the name it is counted by. ``sent`` is False only when it is certain that nothing
    of the request has left. ``wait_s`` is how long the node asked us to stay away.
    """

    def __init__(
        self, message: str, *, kind: str = BAD_ANSWER, sent: bool = True, wait_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.sent = sent
        self.wait_s = wait_s


class RpcTimeout(RpcUnavailable):
    """No answer in time. For a range of logs it can mean that the range is too large."""

    def __init__(self, message: str, *, kind: str = TIMEOUT, wait_s: float = 0.0) -> None:
        super().__init__(message, kind=kind, wait_s=wait_s)


class RpcTooLarge(RpcUnavailable):
    """The answer is larger than we take or the node gives. For logs: ask for a smaller range."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind=OVERSIZED)
