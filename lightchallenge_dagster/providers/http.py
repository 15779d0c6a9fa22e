"""Asking a provider's JSON API: time limits, a bounded number of retries, bounded answers."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.providers import bounded_json
from lightchallenge_dagster.providers.errors import (
    ProviderLimitedError,
    ProviderMisreadError,
    ProviderRefusedError,
    ProviderUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RETRIED = (429, 500, 502, 503, 504)
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_ANSWER_S = 120.0


class JsonApi:
    """GET requests to one provider.

    Connection errors, 429 and 5xx are tried again ``retries`` times, after waits that double from
    ``backoff_s`` with as much jitter, up to ``max_wait_s``; a ``Retry-After`` is honoured up to
    that bound too. ``per_minute`` keeps this client under the provider's limit, by waiting.
    Messages name the host and the path, never the query, credentials or headers.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: tuple[float, float] = (5.0, 20.0),
        answer_s: float = _MAX_ANSWER_S,
        retries: int = 4,
        backoff_s: float = 1.0,
        max_wait_s: float = 30.0,
        per_minute: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        try:
            parts = urlsplit(base_url.strip())
            port = f":{parts.port}" if parts.port else ""
            (parts.hostname or "").encode("idna")
        except ValueError:
            # Not chained: its text repeats a part of the address.
            parts, port = None, ""
        if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
            raise PermanentError(
                "the provider's base address is not an http(s) URL; "
                "expected e.g. https://api.opendota.com/api"
            )
        self._base = base_url.strip().rstrip("/")
        self._host = f"{parts.hostname}{port}"
        self._path = parts.path.rstrip("/")
        self._timeout = timeout_s
        self._answer_s = answer_s
        self._retries = retries
        self._per_minute = per_minute
        self._asked: deque[float] = deque()
        retry = Retry(
            total=retries,
            status_forcelist=_RETRIED,
            allowed_methods=frozenset({"GET"}),
            backoff_factor=backoff_s,
            backoff_jitter=backoff_s,
            backoff_max=max_wait_s,
            retry_after_max=int(max_wait_s),
            raise_on_status=False,
        )
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(max_retries=retry))
        self._session.mount("https://", HTTPAdapter(max_retries=retry))
        self._session.headers.update(
            {
                "Accept": "application/json",
                "User-Agent": "lightchallenge-dagster",
                **(headers or {}),
            }
        )

    def get(self, path: str, params: Mapping[str, str | int | Sequence[str]] | None = None) -> Any:
        """The parsed JSON answer to ``GET <base><path>?<params>``.

        Raises ``ProviderLimitedError`` (429 to the last), ``ProviderUnavailableError`` (no answer,
        5xx), ``ProviderRefusedError`` (other 4xx) or ``ProviderMisreadError`` (not JSON, or larger
        than 64 MiB).
        """
        where = f"{self._host}{self._path}{path}"
        self._pace()
        try:
            with self._session.get(
                self._base + path, params=params, timeout=self._timeout, stream=True
            ) as response:
                self._check(response, where)
                body = self._read(response, where)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise ProviderUnavailableError(
                f"{where} did not answer in time, {self._retries + 1} times asked; "
                "it will be asked again on the next collection"
            ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # The exception's own text repeats the URL with its query: only its kind is named.
            raise ProviderUnavailableError(
                f"{where} cannot be reached ({type(error).__name__}), {self._retries + 1} times "
                "asked; check the address and the network"
            ) from error
        try:
            return bounded_json.loads(body)
        except ValueError as error:
            raise ProviderMisreadError(
                f"{where} answered with something that is not JSON ({len(body)} bytes)"
            ) from error

    def _check(self, response: requests.Response, where: str) -> None:
        status = response.status_code
        if status == 429:
            raise ProviderLimitedError(
                f"{where} refuses more requests for now (429), {self._retries + 1} times asked; "
                "the rest waits for the next collection"
            )
        if status >= 500:
            raise ProviderUnavailableError(
                f"{where} failed with {status}, {self._retries + 1} times asked; "
                "it will be asked again on the next collection"
            )
        if status != 200:
            raise ProviderRefusedError(f"{where} answered {status}; check the account id")

    def _read(self, response: requests.Response, where: str) -> bytes:
        body = bytearray()
        until = time.monotonic() + self._answer_s
        # Whatever has arrived, not a full buffer: the deadline has to be looked at in between.
        while chunk := response.raw.read1(65536, decode_content=True):
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise ProviderMisreadError(
                    f"{where} answered with more than {_MAX_ANSWER_BYTES // 2**20} MiB"
                )
            # The time limit of the connection is for each read: a trickle would never end.
            if time.monotonic() > until:
                raise ProviderUnavailableError(
                    f"{where} was still answering after {self._answer_s:g} s; "
                    "it will be asked again on the next collection"
                )
        return bytes(body)

    def _pace(self) -> None:
        if self._per_minute is None:
            return
        now = time.monotonic()
        while self._asked and now - self._asked[0] >= 60:
            self._asked.popleft()
        if len(self._asked) >= self._per_minute:
            time.sleep(60 - (now - self._asked.popleft()))
        self._asked.append(time.monotonic())
