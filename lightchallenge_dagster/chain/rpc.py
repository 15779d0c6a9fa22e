"""JSON-RPC over HTTP: several endpoints as one, strict about answers, silent about URLs."""

from __future__ import annotations

import copy
import itertools
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import msgspec

from lightchallenge_dagster.chain import envelopes, pacing
from lightchallenge_dagster.chain.endpoints import Endpoint, Scrubber, endpoints
from lightchallenge_dagster.chain.failures import (
    BAD_ANSWER,
    CALLS,
    HTTP_ERROR,
    NO_STATE,
    OVERSIZED,
    RANGE_REFUSED,
    RATE_LIMITED,
    TIMEOUT,
    WRONG_CHAIN,
    RpcError,
    RpcTimeout,
    RpcTooLarge,
    RpcUnavailable,
)
from lightchallenge_dagster.chain.transport import MAX_ANSWER_BYTES, Reply, Transport
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.ranges import RangeSize, is_range_refusal

__all__ = ["Endpoint", "Rpc", "RpcError", "RpcTimeout", "RpcTooLarge", "RpcUnavailable"]

_T = TypeVar("_T")
_LOGS = "eth_getLogs"
_GATEWAY_TIMEOUTS = {408, 504, 522, 524}
_NO_ACCESS = {401, 402, 403}

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Totals:
    calls: int = 0
    retried: int = 0
    seconds: float = 0.0


class Rpc:
    """The endpoints of LCAI_RPC, in order of preference, behind one interface.

    A call goes to the first endpoint that does not rest after a failure; when it fails there, to
    the next, and after all of them ``retries`` times again with growing, jittered waits. One that
    answered too late or too much, or does not keep the state asked for, is not asked the same
    again. ``eth_send…`` goes on only when it is certain that nothing was sent: a transaction is the
    outbox's to repeat.

    With ``chain_id``, each endpoint is asked for its chain before anything else it says is
    believed; one on another chain is put aside for good. ``calls`` counts HTTP requests,
    ``retried`` those that repeat another, ``seconds`` the time they took. ``sleep``, ``clock`` and
    ``chance`` (a draw from [0, 1)) are time and luck.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        timeout_s: float = 20.0,
        *,
        retries: int = 2,
        patience_s: float = pacing.RETRY_AFTER_MAX_S,
        chain_id: int | None = None,
        max_block_range: int = 2000,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        listed = [urls] if isinstance(urls, str) else list(urls)
        self._all = endpoints(listed, max_block_range, clock)
        self._mine = self._all
        self._current = self._mine[0]
        self._scrubber = Scrubber(listed)
        self._transport = Transport(timeout_s, max_answer_bytes)
        self._retries = retries
        self._patience_s = patience_s
        self._chain_id = chain_id
        self._sleep = sleep
        self._clock = clock
        self._chance = chance
        self._ids = itertools.count(1)
        self._totals = _Totals()

    def __repr__(self) -> str:
        return f"Rpc({', '.join(one.label for one in self._mine)})"

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    @property
    def calls(self) -> int:
        """HTTP requests made, failed ones too."""
        return self._totals.calls

    @calls.setter
    def calls(self, calls: int) -> None:
        self._totals.calls = calls

    @property
    def retried(self) -> int:
        """Requests that repeat another, at the same endpoint or the next."""
        return self._totals.retried

    @property
    def seconds(self) -> float:
        """Seconds spent in HTTP requests."""
        return self._totals.seconds

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Every endpoint, in order of preference; of a view from ``others``, the other ones."""
        return tuple(self._mine)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that was asked last, or that comes next after ``distrust``."""
        return self._current

    @property
    def range(self) -> RangeSize:
        """How many blocks the current endpoint is asked for at a time."""
        return self._current.range

    @range.setter
    def range(self, size: RangeSize) -> None:
        self._current.range = size

    def limit_range(self, maximum: int) -> None:
        """Ask no endpoint for more than ``maximum`` blocks at a time (MAX_BLOCK_RANGE)."""
        for one in self._all:
            one.limit_range(maximum)

    def distrust(self, kind: str, words: str = "") -> None:
        """The current endpoint contradicted itself: count it by ``kind`` and go on to the next.

        When all rest, the next is the one that wakes first, which can be the same again.
        """
        self._failed(self._current, kind, self.scrub(words) or f"distrusted: {kind}")
        self._current = (self._in_turn() or [self._current])[0]

    def others(self) -> Rpc | None:
        """The endpoints besides the current one, with the same counters; None without any."""
        rest = [one for one in self._all if one is not self._current and not one.aside]
        if not rest:
            return None
        view = copy.copy(self)
        view._mine = rest
        view._current = rest[0]
        return view

    @overload
    def call(self, method: str, params: Sequence[Any] = ..., parse: None = None) -> Any: ...

    @overload
    def call(
        self, method: str, params: Sequence[Any], parse: Callable[[msgspec.Raw], _T]
    ) -> _T: ...

    def call(
        self,
        method: str,
        params: Sequence[Any] = (),
        parse: Callable[[msgspec.Raw], Any] | None = None,
    ) -> Any:
        """The result of one call, as plain values or as ``parse`` reads its bytes.

        Raises ``RpcError`` when the node answers with an error, ``RpcTimeout``, ``RpcTooLarge`` or
        ``RpcUnavailable`` when no endpoint answers or what it says makes no sense, and
        ``PermanentError`` when none is on ``chain_id``. What ``parse`` raises comes as it is.
        """
        if parse is None:
            return self._ask([method], lambda at: self._plain(at, [(method, params)])[0])
        return parse(self._ask([method], lambda at: self._raw(at, [(method, params)])[0]))

    @overload
    def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], parse: None = None
    ) -> list[Any]: ...

    @overload
    def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], parse: Callable[[msgspec.Raw], _T]
    ) -> list[_T]: ...

    def batch(
        self,
        calls: Sequence[tuple[str, Sequence[Any]]],
        parse: Callable[[msgspec.Raw], Any] | None = None,
    ) -> list[Any]:
        """The results of several calls in one request, in the order asked.

        Raises as ``call`` does, for the first call that failed; a missing or doubled answer is
        ``RpcUnavailable``.
        """
        if not calls:
            return []
        methods = [method for method, _ in calls]
        if parse is None:
            return self._ask(methods, lambda at: self._plain(at, calls, batch=True))
        return [parse(raw) for raw in self._ask(methods, lambda at: self._raw(at, calls, True))]

    def scrub(self, text: str) -> str:
        """``text`` without any endpoint's URL, key, password or host name."""
        return self._scrubber(text)

    # ── whom to ask, and again ──

    def _ask(self, methods: Sequence[str], attempt: Callable[[Endpoint], _T]) -> _T:
        sends = any(method.startswith("eth_send") for method in methods)
        late: list[Endpoint] = []
        last: tuple[Endpoint, RpcUnavailable] | None = None
        telling: tuple[Endpoint, RpcUnavailable] | None = None
        for round_ in range(1 if sends else self._retries + 1):
            for endpoint in self._round(round_, late):
                if last is not None:
                    self._totals.retried += 1
                self._current = endpoint
                started = self._clock()
                asked = False
                try:
                    self._require_chain(endpoint)
                    asked = True
                    answer = attempt(endpoint)
                except RpcError as error:
                    if error.method == _LOGS and is_range_refusal(error.code, error.message):
                        endpoint.note(RANGE_REFUSED, str(error))
                    endpoint.answered()
                    raise
                except RpcUnavailable as error:
                    last = endpoint, error
                    if isinstance(error, RpcTooLarge) and _LOGS in methods:
                        # As good as a refusal of the range; nothing is wrong with the endpoint.
                        endpoint.note(OVERSIZED, str(error))
                        raise
                    if error.kind == NO_STATE:
                        # Nothing is wrong with it, and to ask it the same again is no use.
                        endpoint.note(NO_STATE, str(error))
                        endpoint.answered()
                    elif error.kind != WRONG_CHAIN:
                        took = self._clock() - started
                        self._failed(endpoint, error.kind, str(error), took, error.wait_s)
                    if sends and asked and error.sent:
                        raise
                    if error.kind in {TIMEOUT, OVERSIZED, NO_STATE}:
                        late.append(endpoint)
                    if isinstance(error, RpcTimeout):
                        telling = last
                else:
                    endpoint.answered()
                    return answer
        if all(one.aside for one in self._all):
            raise PermanentError(
                f"no endpoint of LCAI_RPC follows chain {self._chain_id}: "
                + "; ".join(f"{one.last_error}" for one in self._all)
            )
        # That one was late says more than that others were out of reach: it can mean "too much".
        final = telling or last
        if final is None:
            raise self._nobody()
        self._current, error = final
        raise error from None

    def _round(self, round_: int, late: Sequence[Endpoint]) -> list[Endpoint]:
        """Whom to ask in a round, in this order; waits before it where that is called for."""
        turn = [one for one in self._in_turn() if one not in late]
        ready = [one for one in turn if not one.wait_left_s()]
        wait = pacing.backoff_s(round_, self._chance()) if round_ and turn else 0.0
        if turn and not ready:
            soonest = min(turn, key=Endpoint.wait_left_s)
            if not self._retries or soonest.wait_left_s() > self._patience_s:
                return []
            ready, wait = [soonest], max(wait, soonest.wait_left_s())
        if wait > 0:
            self._sleep(wait)
        return ready

    def _in_turn(self) -> list[Endpoint]:
        """Those that are awake as listed, then those that rest, the first to wake first."""
        return sorted((one for one in self._mine if not one.aside), key=Endpoint.rest_left_s)

    def _nobody(self) -> RpcUnavailable:
        waits = [one.wait_left_s() for one in self._mine if not one.aside]
        if not waits:
            return RpcUnavailable("no other endpoint of LCAI_RPC is on the chain", kind=WRONG_CHAIN)
        return RpcUnavailable(
            f"every endpoint of LCAI_RPC asked us to stay away, for {min(waits):.0f} s more",
            kind=RATE_LIMITED,
        )

    def _failed(
        self, endpoint: Endpoint, kind: str, words: str, took_s: float = 0.0, wait_s: float = 0.0
    ) -> None:
        endpoint.failed(kind, words, took_s=took_s, wait_s=wait_s, chance=self._chance())

    def _require_chain(self, endpoint: Endpoint) -> None:
        if self._chain_id is None or endpoint.verified:
            return
        try:
            chain_id = int(self._plain(endpoint, [("eth_chainId", [])])[0], 16)
        except (RpcError, RpcTimeout) as error:
            # Not what the caller asked for: its own question was never put.
            kind = error.kind if isinstance(error, RpcTimeout) else BAD_ANSWER
            raise RpcUnavailable(str(error), kind=kind) from None
        except (TypeError, ValueError):
            raise RpcUnavailable(
                f"eth_chainId: {self._name(endpoint)} sent something that is no number"
            ) from None
        if chain_id == self._chain_id:
            endpoint.verified = True
            return
        endpoint.aside = True
        words = (
            f"endpoint {endpoint.label} is on chain {chain_id}, LCAI_CHAIN_ID says"
            f" {self._chain_id}: it is put aside and nothing it says is believed"
        )
        endpoint.note(WRONG_CHAIN, words)
        _log.error("%s", words)
        raise RpcUnavailable(words, kind=WRONG_CHAIN, sent=False)

    # ── one request to one endpoint ──

    def _plain(
        self, endpoint: Endpoint, calls: Sequence[tuple[str, Sequence[Any]]], *, batch: bool = False
    ) -> list[Any]:
        reading = self._reading(endpoint)
        raws = self._raw(endpoint, calls, batch)
        return [reading.plain(calls[0][0], raw) for raw in raws]

    def _raw(
        self, endpoint: Endpoint, calls: Sequence[tuple[str, Sequence[Any]]], batch: bool = False
    ) -> list[msgspec.Raw]:
        reading = self._reading(endpoint)
        numbers = [next(self._ids) for _ in calls]
        methods = [method for method, _ in calls]
        bodies = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in zip(numbers, calls, strict=True)
        ]
        if not batch:
            answer = self._post(endpoint, bodies[0], methods[0])
            return [reading.one(methods[0], numbers[0], answer)]
        label = f"a batch of {len(calls)} ({methods[0]} …)"
        return reading.many(methods, numbers, label, self._post(endpoint, bodies, label))

    def _post(
        self, endpoint: Endpoint, body: Any, label: str
    ) -> envelopes.Answer | list[envelopes.Answer]:
        who = self._name(endpoint)
        started = time.perf_counter()
        self._totals.calls += 1
        endpoint.counts[CALLS] += 1
        try:
            reply = self._transport.post(
                endpoint.secret_url(), msgspec.json.encode(body), label, who
            )
        finally:
            self._totals.seconds += time.perf_counter() - started
        return _believable(reply, label, who)

    def _reading(self, endpoint: Endpoint) -> envelopes.Reading:
        return envelopes.Reading(self._name(endpoint), self.scrub)

    def _name(self, endpoint: Endpoint) -> str:
        return "the node" if len(self._all) == 1 else f"endpoint {endpoint.label}"


def _believable(reply: Reply, label: str, who: str) -> envelopes.Answer | list[envelopes.Answer]:
    """The envelopes of a reply whose HTTP status allows for an answer."""
    status, failed = reply.status, f"{label}: {who} answered HTTP {reply.status}"
    if status == 429:
        raise RpcUnavailable(failed, kind=RATE_LIMITED, wait_s=reply.retry_after_s)
    answer = envelopes.decode(reply.body)
    readable = not isinstance(answer, envelopes.Unreadable)
    if label == _LOGS and isinstance(answer, envelopes.Answer) and _refuses_range(answer):
        return answer
    if status == 413 and not readable:
        raise RpcTooLarge(f"{failed}: ask for less")
    if status in _GATEWAY_TIMEOUTS:
        raise RpcTimeout(failed, kind=HTTP_ERROR, wait_s=reply.retry_after_s)
    # Nodes give their errors any status; these say that there is nobody to ask.
    if status >= 500 or status in _NO_ACCESS or (status != 200 and not readable):
        raise RpcUnavailable(failed, kind=HTTP_ERROR, wait_s=reply.retry_after_s)
    if isinstance(answer, envelopes.Unreadable):
        raise RpcUnavailable(f"{label}: the answer of {who} {answer.words}", kind=answer.kind)
    return answer


def _refuses_range(answer: envelopes.Answer) -> bool:
    said = answer.error_said()
    return said is not None and is_range_refusal(*said)
