"""Every way in which an endpoint fails to answer: recognised, counted by name, not believed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator

import pytest

from lightchallenge_dagster.chain import pacing
from lightchallenge_dagster.chain.rpc import (
    Rpc,
    RpcError,
    RpcTimeout,
    RpcTooLarge,
    RpcUnavailable,
)
from tests.chain.http_node import (
    KEY,
    PASSWORD,
    USER,
    Answer,
    HttpNode,
    Time,
    each,
    failed,
    ok,
    raw,
    result_bytes,
    status,
    trickle,
    unused_port,
    zipped,
)

PAGE = b"<!doctype html><html><body>The service is unavailable</body></html>"


@pytest.fixture
def server() -> Iterator[HttpNode]:
    server = HttpNode()
    yield server
    server.stop()


FAULTS: list[tuple[str, str, Answer]] = [
    ("rate_limited", "HTTP 429", status(429, b"slow down")),
    ("rate_limited", "an error that means 429", failed(-32005, "rate limit exceeded")),
    ("rate_limited", "HTTP 429 with an error of JSON-RPC", failed(-32000, "wait", status=429)),
    ("http_error", "HTTP 500", status(500)),
    ("http_error", "HTTP 502 with a page", status(502, PAGE)),
    ("http_error", "HTTP 503", status(503)),
    ("http_error", "HTTP 504 of a gateway", status(504, PAGE)),
    ("http_error", "HTTP 404", status(404, b"not found")),
    ("http_error", "HTTP 204 without a body", status(204)),
    ("http_error", "a redirection", status(307)),
    (
        "cut",
        "the connection ends in the middle of the body",
        raw(lambda body: result_bytes(body, b'"0x1"')[:20], "Content-Length: 40"),
    ),
    (
        "cut",
        "the connection is reset in the middle of the body",
        raw(lambda body: result_bytes(body, b'"0x1"')[:20], "Content-Length: 40", reset=True),
    ),
    (
        "cut",
        "the connection ends in the middle of a chunk",
        raw(lambda _: b'10\r\n{"jsonrpc"', "Transfer-Encoding: chunked"),
    ),
    ("cut", "the connection ends before the answer", raw(lambda _: b"", "Content-Length: 9")),
    (
        "truncated",
        "a whole answer whose JSON ends early",
        lambda body: (200, result_bytes(body, b'[{"number":"0x1"},{"num')[:-1]),
    ),
    (
        "truncated",
        "JSON cut off by the end of a connection without a length",
        raw(lambda body: result_bytes(body, b'"0x1"')[:20]),
    ),
    ("truncated", "an empty body", status(200)),
    ("not_json", "HTTP 200 with a page", status(200, PAGE)),
    ("not_json", "something after the JSON", lambda body: (200, result_bytes(body, b"1") + b"}")),
    (
        "not_json",
        "nesting without end",
        lambda body: (200, result_bytes(body, b"[" * 200_000 + b"]" * 200_000)),
    ),
    ("not_json", "no UTF-8", lambda body: (200, result_bytes(body, b'"\xff\xfe"'))),
    (
        "not_json",
        "compression that is broken",
        raw(lambda _: b"not gzip at all", "Content-Encoding: gzip", "Content-Length: 15"),
    ),
    ("wrong_id", "an answer to another call", lambda body: (200, {"id": 10**6, "result": 1})),
    ("wrong_id", "an answer without id", lambda body: (200, {"result": 1})),
    ("wrong_id", "an id that is a text", lambda b: (200, {"id": str(b["id"]), "result": 1})),
    ("bad_answer", "neither result nor error", lambda body: (200, {"id": body["id"]})),
    ("bad_answer", "a list in place of one answer", lambda body: (200, [])),
    ("bad_answer", "a text in place of an answer", status(200, b'"busy"')),
    ("bad_answer", "an error that is a text", lambda b: (200, {"id": b["id"], "error": "no"})),
]


@pytest.mark.parametrize(
    ("kind", "answer"), [fault[::2] for fault in FAULTS], ids=[fault[1] for fault in FAULTS]
)
def test_each_fault_is_tried_again_counted_by_its_kind_and_tells_no_secret(
    server: HttpNode, kind: str, answer: Answer
) -> None:
    server.answers = [answer]
    rpc = server.rpc(retries=2)
    with pytest.raises(RpcUnavailable) as outage:
        rpc.call("eth_blockNumber")
    assert outage.value.kind == kind
    assert len(server.requests) == 3
    assert rpc.endpoint.errors() == {kind: 3}
    assert rpc.endpoint.counts["calls"] == 3
    told = "".join(traceback.format_exception(outage.value)) + str(rpc.endpoint.last_error)
    assert not [secret for secret in (KEY, USER, PASSWORD) if secret in told]


@pytest.mark.parametrize(
    "answer", [fault[2] for fault in FAULTS], ids=[fault[1] for fault in FAULTS]
)
def test_each_fault_that_passes_is_forgotten(server: HttpNode, answer: Answer) -> None:
    server.answers = [answer, ok("0x2")]
    rpc = server.rpc()
    assert rpc.call("eth_blockNumber") == "0x2"
    assert (rpc.calls, rpc.retried) == (2, 1)


BATCHES: list[tuple[str, str, Callable[[list[dict[str, object]]], object]]] = [
    ("bad_answer", "one missing", lambda answers: answers[:-1]),
    ("bad_answer", "none", lambda answers: []),
    ("wrong_id", "one doubled", lambda answers: [*answers, answers[0]]),
    ("wrong_id", "one of another batch", lambda a: [*a[:2], {"id": 10**6, "result": 1}]),
    ("wrong_id", "one without id", lambda answers: [*answers[:2], {"result": 1}]),
    ("bad_answer", "one that is a text", lambda answers: [*answers[:2], "?"]),
    ("bad_answer", "one without result", lambda a: [*a[:2], {"id": a[2]["id"]}]),
]


@pytest.mark.parametrize(
    ("kind", "bend"), [one[::2] for one in BATCHES], ids=[one[1] for one in BATCHES]
)
def test_a_batch_is_whole_or_no_answer(
    server: HttpNode, kind: str, bend: Callable[[list[dict[str, object]]], object]
) -> None:
    server.answers = [each(bend)]
    rpc = server.rpc(retries=0)
    with pytest.raises(RpcUnavailable) as outage:
        rpc.batch([("eth_getBlockByNumber", [n]) for n in range(3)])
    assert outage.value.kind == kind
    assert rpc.endpoint.errors() == {kind: 1}


def test_nobody_listening_is_unreachable() -> None:
    rpc = Rpc(f"http://127.0.0.1:{unused_port()}/{KEY}", retries=1, sleep=lambda _: None)
    with pytest.raises(RpcUnavailable, match="cannot be reached") as outage:
        rpc.call("eth_blockNumber")
    assert (outage.value.kind, outage.value.sent) == ("unreachable", False)
    assert rpc.endpoint.errors() == {"unreachable": 2}
    assert KEY not in "".join(traceback.format_exception(outage.value))


def test_a_host_that_does_not_exist_is_unreachable() -> None:
    rpc = Rpc(f"http://no-such-host.invalid/{KEY}", retries=0)
    with pytest.raises(RpcUnavailable) as outage:
        rpc.call("eth_blockNumber")
    assert (outage.value.kind, outage.value.sent) == ("unreachable", False)
    assert "no-such-host" not in "".join(traceback.format_exception(outage.value))


def test_no_answer_in_time_is_a_timeout_and_the_same_is_not_asked_again(server: HttpNode) -> None:
    server.answers = [server.hang()]
    rpc = server.rpc(timeout_s=0.2, retries=3)
    with pytest.raises(RpcTimeout, match=r"no answer in 0\.2 s"):
        rpc.call("eth_getLogs", [{}])
    assert rpc.endpoint.errors() == {"timeout": 1}
    assert len(server.requests) == 1


def test_an_answer_that_trickles_is_a_timeout(server: HttpNode) -> None:
    server.answers = [trickle(server.release)]
    rpc = server.rpc(timeout_s=0.2)
    with pytest.raises(RpcTimeout, match="trickle"):
        rpc.call("eth_getLogs", [{}])
    assert rpc.endpoint.errors() == {"timeout": 1}


def test_a_gateways_timeout_is_one_for_the_reader_of_logs(server: HttpNode) -> None:
    server.answers = [status(524, PAGE)]
    with pytest.raises(RpcTimeout):
        server.rpc().call("eth_getLogs", [{}])
    assert len(server.requests) == 3, "it may pass"


@pytest.mark.parametrize("send", [raw, zipped], ids=["plain", "compressed"])
def test_a_body_larger_than_we_take_is_left_unread_and_means_ask_for_less(
    server: HttpNode, send: Callable[..., Answer]
) -> None:
    server.answers = [send(lambda body: result_bytes(body, b'"' + b"0" * 300_000 + b'"'))]
    rpc = server.rpc(max_answer_bytes=200_000)
    with pytest.raises(RpcTooLarge, match="more than 200000 bytes"):
        rpc.call("eth_getLogs", [{}])
    assert rpc.endpoint.errors() == {"oversized": 1}
    assert len(server.requests) == 1
    assert rpc.endpoint.rest_left_s() == 0, "nothing is wrong with the endpoint"
    assert len(server.rpc(max_answer_bytes=400_000).call("eth_getLogs", [{}])) == 300_000


def test_http_413_means_ask_for_less_and_its_own_words_count_for_more(server: HttpNode) -> None:
    server.answers = [status(413, PAGE)]
    with pytest.raises(RpcTooLarge):
        server.rpc().call("eth_getLogs", [{}])
    server.answers = [failed(-32614, "eth_getLogs is limited to a 10,000 range", status=413)]
    rpc = server.rpc()
    with pytest.raises(RpcError, match="10,000 range"):
        rpc.call("eth_getLogs", [{}])
    assert rpc.endpoint.errors() == {"range_refused": 1}
    assert rpc.endpoint.rest_left_s() == 0


def test_a_refused_range_under_http_500_is_a_refusal_not_an_outage(server: HttpNode) -> None:
    server.answers = [failed(-32005, "query timeout exceeded", status=503)]
    rpc = server.rpc()
    with pytest.raises(RpcError, match="query timeout exceeded"):
        rpc.call("eth_getLogs", [{}])
    assert rpc.endpoint.errors() == {"range_refused": 1}
    with pytest.raises(RpcUnavailable):
        rpc.call("eth_blockNumber")


# ── when to ask again ──


def test_waits_between_attempts_grow_and_are_jittered_over_their_whole_length(
    server: HttpNode,
) -> None:
    server.answers = [status(503)]
    slept: dict[float, list[float]] = {}
    for chance in (0.0, 0.5, 0.999):
        time = Time()
        with pytest.raises(RpcUnavailable):
            server.rpc(retries=8, **time.options(chance)).call("eth_blockNumber")
        slept[chance] = time.sleeps
    assert slept[0.5] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert slept[0.0] == [], "no wait at all is one of the draws"
    assert slept[0.999] == [pytest.approx(1.998 * seconds) for seconds in slept[0.5]]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.2),
        ("86400", pacing.RETRY_AFTER_MAX_S),
        ("Sun, 06 Nov 1994 08:49:57 GMT", 20.0),
        ("Sunday, 06-Nov-94 08:49:57 GMT", 20.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.2),
        ("Mon, 07 Nov 1994 08:49:37 GMT", pacing.RETRY_AFTER_MAX_S),
        ("soon", 0.2),
        ("-5", 0.2),
        ("Sun, 99 Nov 1994 99:99:99 GMT", 0.2),
    ],
)
@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_honoured_in_seconds_and_as_a_date_up_to_a_limit(
    server: HttpNode, header: str, seconds: float, code: int
) -> None:
    def limited(body: object) -> tuple[int, bytes]:
        server.headers = {"Retry-After": header, "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}
        return code, b""

    server.answers = [limited, ok("0x1")]
    time = Time()
    assert server.rpc(**time.options()).call("eth_blockNumber") == "0x1"
    assert time.sleeps == [pytest.approx(seconds)]


def test_who_may_not_wait_does_not_ask_before_its_time(server: HttpNode) -> None:
    server.headers = {"Retry-After": "30"}
    server.answers = [status(429), ok("0x1")]
    time = Time()
    rpc = server.rpc(retries=0, **time.options())
    with pytest.raises(RpcUnavailable, match="HTTP 429"):
        rpc.call("eth_blockNumber")
    with pytest.raises(RpcUnavailable, match="stay away, for 30 s more") as asked:
        rpc.call("eth_blockNumber")
    assert asked.value.kind == "rate_limited"
    assert len(server.requests) == 1
    time.now += 30
    assert rpc.call("eth_blockNumber") == "0x1"
    assert time.sleeps == []


def test_who_has_no_patience_gives_up_at_once_when_asked_for_more_of_it(server: HttpNode) -> None:
    server.headers = {"Retry-After": "30"}
    server.answers = [status(429)]
    time = Time()
    rpc = server.rpc(patience_s=1.0, **time.options())
    with pytest.raises(RpcUnavailable, match="HTTP 429"):
        rpc.call("eth_blockNumber")
    with pytest.raises(RpcUnavailable, match="stay away"):
        rpc.call("eth_blockNumber")
    assert (len(server.requests), time.sleeps) == (1, [])
    server.headers = {}
    server.answers = [status(503), ok("0x1")]
    time.now += 30
    assert rpc.call("eth_blockNumber") == "0x1", "a short wait is no matter of patience"
    assert time.sleeps == [0.2]
