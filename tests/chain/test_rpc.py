"""JSON-RPC over real HTTP: strict about answers, silent about its URL."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcTimeout, RpcUnavailable
from lightchallenge_dagster.errors import PermanentError, TransientError
from tests.chain.http_node import KEY, PASSWORD, Answer, HttpNode, each, failed, ok


@pytest.fixture
def server() -> Iterator[HttpNode]:
    server = HttpNode()
    yield server
    server.stop()


def test_a_result_is_returned_as_it_is_even_null(server: HttpNode) -> None:
    server.answers = [ok("0x1f8")]
    rpc = server.rpc()
    assert rpc.call("eth_chainId") == "0x1f8"
    server.answers = [ok(None)]
    assert rpc.call("eth_getTransactionReceipt", ["0x00"]) is None
    assert server.requests[0]["method"] == "eth_chainId"
    assert rpc.calls == 2


def test_a_node_is_reached_through_the_proxy_of_the_environment_unless_it_says_not_to(
    server: HttpNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [ok("0x1f8")]
    port = server.url.split("@127.0.0.1:")[1].split("/")[0]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "near.invalid")
    assert Rpc("http://far.invalid/", sleep=lambda _: None).call("eth_chainId") == "0x1f8"
    with pytest.raises(RpcUnavailable, match="cannot be reached"):
        Rpc("http://near.invalid/", sleep=lambda _: None).call("eth_chainId")
    assert len(server.requests) == 1


def test_an_error_of_the_node_keeps_its_code_message_and_revert_data(server: HttpNode) -> None:
    server.answers = [failed(3, "execution reverted", "0x08c379a0")]
    with pytest.raises(RpcError) as refused:
        server.rpc().call("eth_call", [{}])
    assert (refused.value.code, refused.value.message) == (3, "execution reverted")
    assert refused.value.data == "0x08c379a0"
    assert len(server.requests) == 1


def test_a_message_that_holds_a_nul_can_be_stored(server: HttpNode) -> None:
    server.answers = [failed(3, "execution reverted: a\0b")]
    with pytest.raises(RpcError) as refused:
        server.rpc().call("eth_call", [{}])
    assert refused.value.message == "execution reverted: a\ufffdb"


def test_an_error_under_http_400_is_the_nodes_error(server: HttpNode) -> None:
    server.answers = [failed(-32602, "invalid params", status=400)]
    with pytest.raises(RpcError, match="invalid params"):
        server.rpc().call("eth_call", [{}])


@pytest.mark.parametrize(
    "answer",
    [
        lambda body: (429, b"slow down"),
        lambda body: (503, b""),
        lambda body: (200, b"<html>"),
        lambda body: (200, []),
        lambda body: (200, {"id": body["id"]}),
        lambda body: (200, {"id": body["id"] + 1, "result": 1}),
        lambda body: (404, b"not found"),
        failed(-32005, "rate limit exceeded"),
    ],
)
def test_an_answer_that_is_none_is_an_outage_tried_again(server: HttpNode, answer: Answer) -> None:
    server.answers = [answer]
    with pytest.raises(RpcUnavailable) as outage:
        server.rpc(retries=2).call("eth_blockNumber")
    assert isinstance(outage.value, TransientError)
    assert len(server.requests) == 3


def test_an_outage_that_passes_is_not_noticed_but_counted(server: HttpNode) -> None:
    server.answers = [lambda body: (503, b""), lambda body: (429, b""), ok("0x2")]
    rpc = server.rpc(retries=2)
    assert rpc.call("eth_blockNumber") == "0x2"
    assert (rpc.calls, rpc.retried) == (3, 2)


def test_a_transaction_is_never_sent_again_by_itself(server: HttpNode) -> None:
    server.answers = [lambda body: (503, b"")]
    with pytest.raises(RpcUnavailable):
        server.rpc(retries=5).call("eth_sendRawTransaction", ["0x00"])
    assert len(server.requests) == 1


def test_no_answer_in_time_is_a_timeout(server: HttpNode) -> None:
    server.answers = [server.hang()]
    with pytest.raises(RpcTimeout, match=r"no answer in 0\.2 s"):
        server.rpc(timeout_s=0.2).call("eth_getLogs", [{}])


def test_a_batch_comes_back_in_the_order_asked(server: HttpNode) -> None:
    server.answers = [each(lambda answers: answers[::-1])]
    calls = [("eth_getBlockByNumber", [n]) for n in range(5)]
    assert server.rpc().batch(calls) == [0, 1, 2, 3, 4]
    assert len(server.requests) == 1
    assert server.rpc().batch([]) == []


@pytest.mark.parametrize(
    "bend",
    [
        lambda answers: answers[:-1],
        lambda answers: [*answers, answers[0]],
        lambda answers: [answers[0], answers[0], answers[2]],
        lambda answers: [*answers[:2], {"result": 1}],
        lambda answers: [*answers[:2], "?"],
        lambda answers: "busy",
    ],
)
def test_a_batch_with_a_hole_or_a_double_is_no_answer(
    server: HttpNode, bend: Callable[[list[Any]], Any]
) -> None:
    server.answers = [each(bend)]
    with pytest.raises(RpcUnavailable):
        server.rpc(retries=0).batch([("eth_getBlockByNumber", [n]) for n in range(3)])


def test_one_failed_call_of_a_batch_fails_it_by_name(server: HttpNode) -> None:
    server.answers = [
        each(lambda a: [a[0], {"id": a[1]["id"], "error": {"code": -1, "message": "no"}}])
    ]
    with pytest.raises(RpcError) as refused:
        server.rpc().batch([("eth_call", [1]), ("eth_getCode", [2])])
    assert refused.value.method == "eth_getCode"


@pytest.mark.parametrize(
    "answer",
    [
        lambda body: (503, b""),
        failed(-32000, f"bad key {KEY} for http://user:{PASSWORD}@127.0.0.1/v2/{KEY}"),
        lambda body: (200, {"id": body["id"], "error": f"unauthorized: {KEY}x"}),
    ],
)
def test_no_message_or_traceback_holds_the_key(server: HttpNode, answer: Answer) -> None:
    server.answers = [answer]
    rpc = server.rpc(retries=0)
    with pytest.raises((RpcError, RpcUnavailable)) as failure:
        rpc.call("eth_call", [{}])
    shown = "".join(traceback.format_exception(failure.value)) + repr(rpc)
    assert KEY not in shown
    assert PASSWORD not in shown


def test_a_node_that_is_not_there_is_an_outage_without_its_address() -> None:
    rpc = Rpc(f"http://127.0.0.1:9/{KEY}", retries=0)
    with pytest.raises(RpcUnavailable, match="cannot be reached") as failure:
        rpc.call("eth_blockNumber")
    assert KEY not in "".join(traceback.format_exception(failure.value))


@pytest.mark.parametrize("url", ["", "ws://node", "http://", "/etc/passwd"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(PermanentError, match="LCAI_RPC is not an http") as refused:
        Rpc(url)
    assert not url or url not in str(refused.value)


def test_a_caller_reads_the_bytes_of_a_result_itself(server: HttpNode) -> None:
    server.answers = [ok([{"number": "0x1"}, None])]
    rpc = server.rpc()
    assert rpc.call("eth_getLogs", [{}], bytes) == b'[{"number": "0x1"}, null]'
    assert rpc.call("eth_getLogs", [{}], parse=lambda raw: msgspec.json.decode(raw)[1]) is None
    server.answers = [each(lambda answers: answers[::-1])]
    calls = [("eth_getBlockByNumber", [n]) for n in range(3)]
    assert rpc.batch(calls, bytes) == [b"0", b"1", b"2"]


def test_what_the_caller_makes_of_the_bytes_is_its_own_error(server: HttpNode) -> None:
    server.answers = [ok("0x1")]

    def read(raw: msgspec.Raw) -> int:
        raise ValueError("a block has no such field")

    with pytest.raises(ValueError, match="no such field"):
        server.rpc().call("eth_getBlockByNumber", ["latest", False], read)
    assert len(server.requests) == 1


def test_numbers_beyond_64_bits_keep_every_digit(server: HttpNode) -> None:
    server.answers = [lambda body: (200, b'{"id":%d,"result":%d}' % (body["id"], 10**40))]
    assert server.rpc().call("eth_chainId") == 10**40


def test_the_reason_that_a_node_gives_beside_its_message_is_read_too(server: HttpNode) -> None:
    data = {"error_id": "4ed9", "payload": "range 9009594 is bigger than range limit 2000"}
    server.answers = [failed(-32602, "invalid params", data)]
    with pytest.raises(RpcError) as refused:
        server.rpc().call("eth_getLogs", [{}])
    assert refused.value.message == "invalid params: range 9009594 is bigger than range limit 2000"
    assert refused.value.data == data


@pytest.mark.parametrize("status", [401, 402, 403])
def test_an_endpoint_that_knows_us_no_more_is_out_of_service_and_made_no_answer(
    server: HttpNode, status: int
) -> None:
    server.answers = [failed(-32600, "Must be authenticated!", status=status)]
    with pytest.raises(RpcUnavailable, match=f"HTTP {status}") as refused:
        server.rpc().call("eth_blockNumber")
    assert refused.value.kind == "http_error"
