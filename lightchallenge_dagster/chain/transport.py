"""One HTTP POST to a node: its status and the whole body, or what went wrong, by kind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from lightchallenge_dagster.chain.failures import (
    CUT,
    NOT_JSON,
    UNREACHABLE,
    RpcTimeout,
    RpcTooLarge,
    RpcUnavailable,
)
from lightchallenge_dagster.chain.pacing import http_date, retry_after_s

MAX_ANSWER_BYTES = 128 * 2**20
CONNECT_S = 5.0
ANSWER_TIMEOUTS = 3
"""The whole answer may take this many times as long as each read of it."""

_CHUNK = 65536
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``retry_after_s`` is 0 unless the node asked us to wait."""

    status: int
    body: bytes
    retry_after_s: float


class Transport:
    """Connections to the endpoints of one ``Rpc``.

    ``timeout_s`` bounds the wait for each piece of an answer, ``ANSWER_TIMEOUTS`` times that the
    whole of it, ``max_bytes`` its size after decompression.
    """

    def __init__(self, timeout_s: float, max_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._session = requests.Session()
        # Never repeated below us: what is sent twice is decided in one place.
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=0))
        # Proxies and certificates of the environment are asked for once for each endpoint: asking
        # at every request takes as long as a near node's answer. A .netrc is not looked at.
        self._environment = requests.Session()
        self._session.trust_env = False
        self._routes: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def post(self, url: str, body: bytes, label: str, who: str) -> Reply:
        """Send ``body`` and read the answer.

        Raises ``RpcUnavailable`` of kind *unreachable*, *cut* or *not_json* (broken compression),
        ``RpcTimeout`` or ``RpcTooLarge``. ``label`` and ``who`` name the call and the endpoint.
        """
        connect = min(CONNECT_S, self._timeout_s)
        # The libraries' messages hold the host and the path, and a path can be a key: neither
        # their text nor the cause may travel on.
        try:
            with self._session.post(
                url,
                data=body,
                headers=_HEADERS,
                timeout=(connect, self._timeout_s),
                allow_redirects=False,
                **self._route(url),
            ) as response:
                return Reply(
                    response.status_code, self._read(response, label, who), _wait_s(response)
                )
        except requests.ConnectTimeout:
            raise RpcUnavailable(
                f"{label}: {who} cannot be reached (no connection in {connect:g} s);"
                " check LCAI_RPC",
                kind=UNREACHABLE,
                sent=False,
            ) from None
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            raise RpcTimeout(f"{label}: {who} gave no answer in {self._timeout_s:g} s") from None
        except urllib3.exceptions.DecodeError:
            raise RpcUnavailable(
                f"{label}: {who} sent an answer whose compression is broken", kind=NOT_JSON
            ) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise self._broken(error, label, who) from None

    def _route(self, url: str) -> dict[str, Any]:
        """How ``url`` is reached, by the environment: proxies and certificates."""
        if url not in self._routes:
            self._routes[url] = dict(
                self._environment.merge_environment_settings(url, {}, True, None, None)
            )
        return self._routes[url]

    def _read(self, response: requests.Response, label: str, who: str) -> bytes:
        until = time.monotonic() + ANSWER_TIMEOUTS * self._timeout_s
        chunks: list[bytes] = []
        size = 0
        # Whatever has arrived, not a full buffer: the limits have to be looked at in between.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > self._max_bytes:
                raise RpcTooLarge(
                    f"{label}: {who} sent more than {self._max_bytes} bytes; ask for less"
                )
            # The connection's own time limit is for each read: a trickle would never end.
            if time.monotonic() > until:
                limit = ANSWER_TIMEOUTS * self._timeout_s
                raise RpcTimeout(f"{label}: {who} gave no answer in {limit:g} s (a trickle of it)")
            chunks.append(chunk)
        return b"".join(chunks)

    @staticmethod
    def _broken(error: Exception, label: str, who: str) -> RpcUnavailable:
        name = type(error).__name__
        reason = getattr(error.args[0], "reason", None) if error.args else None
        if isinstance(reason, urllib3.exceptions.NewConnectionError):
            return RpcUnavailable(
                f"{label}: {who} cannot be reached ({name}); check LCAI_RPC",
                kind=UNREACHABLE,
                sent=False,
            )
        lost = isinstance(
            error, requests.exceptions.ChunkedEncodingError | urllib3.exceptions.HTTPError
        ) or (error.args and isinstance(error.args[0], urllib3.exceptions.ProtocolError))
        if lost:
            return RpcUnavailable(f"{label}: {who} cut the connection ({name})", kind=CUT)
        return RpcUnavailable(
            f"{label}: {who} cannot be reached ({name}); check LCAI_RPC", kind=UNREACHABLE
        )


def _wait_s(response: requests.Response) -> float:
    if response.status_code not in {429, 503}:
        return 0.0
    headers = response.headers
    now = http_date(headers.get("Date")) or datetime.now(UTC)
    return retry_after_s(headers.get("Retry-After"), now)
