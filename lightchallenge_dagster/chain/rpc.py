"""JSON-RPC over HTTP: one endpoint, strict about its answers, silent about its URL."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

import requests

from lightchallenge_dagster.errors import LightChallengeError, PermanentError, TransientError
from lightchallenge_dagster.rules.ranges import is_rate_limit

_T = TypeVar("_T")

_SHORTEST_SECRET = 6


class RpcError(LightChallengeError):
    """The node answered with an error: ``code``, ``message`` and ``data`` as it sent them.

    The URL and its parts are scrubbed from the message. ``data`` is a contract's revert data for
    ``eth_call`` and ``eth_estimateGas``.
    """

    def __init__(self, method: str, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{method}: {message} (code {code})")
        self.method = method
        self.code = code
        self.message = message
        self.data = data


class RpcUnavailable(TransientError):
    """The node could not be reached, refused for now, or its answer was not JSON-RPC."""


class RpcTimeout(RpcUnavailable):
    """No answer in time. For a range of logs it can mean that the range is too large."""


class Rpc:
    """One JSON-RPC endpoint.

    ``call`` and ``batch`` try again after an outage, ``retries`` times with a growing, jittered
    wait, except for ``eth_send…``: a transaction is the outbox's to repeat. ``calls`` counts HTTP
    requests, ``seconds`` the time they took.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float = 20.0,
        *,
        retries: int = 2,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            parts = urlsplit(url)
            (parts.hostname or "").encode("idna")
        except ValueError:
            parts = None
        if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
            raise PermanentError("LCAI_RPC is not an http(s) URL; expected https://host/path")
        self._url = url
        self._secrets = _secrets(url)
        self._timeout_s = timeout_s
        self._retries = retries
        self._sleep = sleep
        self._ids = itertools.count(1)
        self._session = requests.Session()
        self.calls = 0
        self.retried = 0
        self.seconds = 0.0

    def __repr__(self) -> str:
        return "Rpc(…)"

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The result of one call.

        Raises ``RpcError`` when the node answers with an error, ``RpcTimeout`` or
        ``RpcUnavailable`` when it does not answer or its answer makes no sense.
        """
        return self._repeat([method], lambda: self._call(method, params))

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of several calls in one request, in the order asked.

        Raises as ``call`` does, for the first call that failed; a missing or doubled answer is
        ``RpcUnavailable``.
        """
        if not calls:
            return []
        return self._repeat([method for method, _ in calls], lambda: self._batch(calls))

    def scrub(self, text: str) -> str:
        """``text`` without the endpoint's URL, key or password."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def _repeat(self, methods: Sequence[str], attempt: Callable[[], _T]) -> _T:
        repeatable = not any(method.startswith("eth_send") for method in methods)
        for round_ in itertools.count():
            try:
                return attempt()
            except RpcTimeout:
                raise
            except RpcUnavailable:
                if not repeatable or round_ >= self._retries:
                    raise
            self.retried += 1
            self._sleep(0.1 * 2**round_ * (1 + random.random()))
        raise AssertionError("unreachable")

    def _call(self, method: str, params: Sequence[Any]) -> Any:
        number = next(self._ids)
        answer = self._post(
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}, method
        )
        if isinstance(answer, list):
            raise RpcUnavailable(f"{method}: the node answered one call with a list")
        return self._result(method, number, answer)

    def _batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        numbers = [next(self._ids) for _ in calls]
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in zip(numbers, calls, strict=True)
        ]
        label = f"a batch of {len(calls)} ({calls[0][0]} …)"
        answers = self._post(body, label)
        if isinstance(answers, dict):
            # The whole batch was refused with one error.
            self._result(label, None, answers)
            raise RpcUnavailable(f"{label}: the node answered with one result")
        if not isinstance(answers, list):
            raise RpcUnavailable(f"{label}: the node's answer is not a list")
        by_number: dict[int, Any] = {}
        for answer in cast("list[Any]", answers):
            number = cast("dict[str, Any]", answer).get("id") if isinstance(answer, dict) else None
            if not isinstance(number, int) or number in by_number:
                raise RpcUnavailable(f"{label}: an answer without an id of its own")
            by_number[number] = answer
        if by_number.keys() != set(numbers):
            raise RpcUnavailable(f"{label}: the node answered {len(by_number)} of {len(calls)}")
        return [
            self._result(method, number, by_number[number])
            for number, (method, _) in zip(numbers, calls, strict=True)
        ]

    def _post(self, body: Any, label: str) -> Any:
        started = time.perf_counter()
        self.calls += 1
        try:
            response = self._session.post(self._url, json=body, timeout=self._timeout_s)
            status, answer = response.status_code, _json(response)
        # The library's messages hold the host and the path, and a path can be a key: neither the
        # text nor the cause may travel on.
        except requests.Timeout:
            raise RpcTimeout(f"{label}: no answer in {self._timeout_s:g} s") from None
        except requests.RequestException as error:
            raise RpcUnavailable(
                f"{label}: the node cannot be reached ({type(error).__name__}); check LCAI_RPC"
            ) from None
        finally:
            self.seconds += time.perf_counter() - started
        if status == 429 or status >= 500 or (status != 200 and answer is None):
            raise RpcUnavailable(f"{label}: the node answered HTTP {status}")
        if answer is None:
            raise RpcUnavailable(f"{label}: the node's answer is not JSON")
        return answer

    def _result(self, method: str, number: int | None, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise RpcUnavailable(f"{method}: the node's answer is not an object")
        fields = cast("dict[str, Any]", answer)
        error = fields.get("error")
        if error is not None:
            if not isinstance(error, dict):
                raise RpcUnavailable(f"{method}: {self.scrub(str(error))[:500]}")
            details = cast("dict[str, Any]", error)
            code = details.get("code")
            code = code if isinstance(code, int) else 0
            message = self.scrub(str(details.get("message") or "no message"))[:500]
            if is_rate_limit(code, message):
                raise RpcUnavailable(f"{method}: the node refuses for now: {message}")
            raise RpcError(method, code, message, details.get("data"))
        if number is not None and fields.get("id") != number:
            raise RpcUnavailable(f"{method}: the answer belongs to another call")
        if "result" not in fields:
            raise RpcUnavailable(f"{method}: the node's answer has neither result nor error")
        return fields["result"]


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except (requests.exceptions.JSONDecodeError, RecursionError):
        return None


def _secrets(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    found = {url, url.rstrip("/"), parts.netloc}
    pieces = [parts.username, parts.password, parts.path, parts.query]
    pieces += parts.path.split("/")
    pieces += [value for pair in parts.query.split("&") for value in pair.split("=")[1:]]
    for piece in pieces:
        if piece and len(piece) >= _SHORTEST_SECRET:
            found |= {piece, unquote(piece)}
    return tuple(sorted(filter(None, found), key=len, reverse=True))
