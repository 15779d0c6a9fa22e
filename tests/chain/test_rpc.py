"""One JSON-RPC endpoint over real HTTP: strict about answers, silent about its URL."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcTimeout, RpcUnavailable
from lightchallenge_dagster.errors import PermanentError, TransientError

KEY = "s3cr3t-k3y-0123456789"
Answer = Callable[[Any], tuple[int, Any]]


class Server:
    """An HTTP server that answers each request with the next of ``answers``, then the last."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[Any] = []
        self.release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                status, payload = answer(body)
                if status == 0:
                    outer.release.wait(5)
                    return
                raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def rpc(self, **options: Any) -> Rpc:
        url = (
            f"http://user:hunter2hunter2@127.0.0.1:{self._http.server_port}/v2/{KEY}?apikey={KEY}x"
        )
        return Rpc(url, sleep=lambda _: None, **options)

    def stop(self) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def ok(result: Any) -> Answer:
    return lambda body: (200, {"jsonrpc": "2.0", "id": body["id"], "result": result})


def failed(code: int, message: str, data: Any = None, status: int = 200) -> Answer:
    return lambda body: (
        status,
        {
            "jsonrpc": "2.0",
            "id": body["id"],
            "error": {"code": code, "message": message, "data": data},
        },
    )


def each(bend: Callable[[list[Any]], Any]) -> Answer:
    return lambda body: (200, bend([{"id": c["id"], "result": c["params"][0]} for c in body]))


def test_a_result_is_returned_as_it_is_even_null(server: Server) -> None:
    server.answers = [ok("0x1f8")]
    rpc = server.rpc()
    assert rpc.call("eth_chainId") == "0x1f8"
    server.answers = [ok(None)]
    assert rpc.call("eth_getTransactionReceipt", ["0x00"]) is None
    assert server.requests[0]["method"] == "eth_chainId"
    assert rpc.calls == 2


def test_an_error_of_the_node_keeps_its_code_message_and_revert_data(server: Server) -> None:
    server.answers = [failed(3, "execution reverted", "0x08c379a0")]
    with pytest.raises(RpcError) as refused:
        server.rpc().call("eth_call", [{}])
    assert (refused.value.code, refused.value.message) == (3, "execution reverted")
    assert refused.value.data == "0x08c379a0"
    assert len(server.requests) == 1


def test_an_error_under_http_400_is_the_nodes_error(server: Server) -> None:
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
def test_an_answer_that_is_none_is_an_outage_tried_again(server: Server, answer: Answer) -> None:
    server.answers = [answer]
    with pytest.raises(RpcUnavailable) as outage:
        server.rpc(retries=2).call("eth_blockNumber")
    assert isinstance(outage.value, TransientError)
    assert len(server.requests) == 3


def test_an_outage_that_passes_is_not_noticed_but_counted(server: Server) -> None:
    server.answers = [lambda body: (503, b""), lambda body: (429, b""), ok("0x2")]
    rpc = server.rpc(retries=2)
    assert rpc.call("eth_blockNumber") == "0x2"
    assert (rpc.calls, rpc.retried) == (3, 2)


def test_a_transaction_is_never_sent_again_by_itself(server: Server) -> None:
    server.answers = [lambda body: (503, b"")]
    with pytest.raises(RpcUnavailable):
        server.rpc(retries=5).call("eth_sendRawTransaction", ["0x00"])
    assert len(server.requests) == 1


def test_no_answer_in_time_is_a_timeout(server: Server) -> None:
    server.answers = [lambda body: (0, None)]
    with pytest.raises(RpcTimeout, match=r"no answer in 0\.2 s"):
        server.rpc(timeout_s=0.2).call("eth_getLogs", [{}])


def test_a_batch_comes_back_in_the_order_asked(server: Server) -> None:
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
    server: Server, bend: Callable[[list[Any]], Any]
) -> None:
    server.answers = [each(bend)]
    with pytest.raises(RpcUnavailable):
        server.rpc(retries=0).batch([("eth_getBlockByNumber", [n]) for n in range(3)])


def test_one_failed_call_of_a_batch_fails_it_by_name(server: Server) -> None:
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
        failed(-32000, f"bad key {KEY} for http://user:hunter2hunter2@127.0.0.1/v2/{KEY}"),
        lambda body: (200, {"id": body["id"], "error": f"unauthorized: {KEY}x"}),
    ],
)
def test_no_message_or_traceback_holds_the_key(server: Server, answer: Answer) -> None:
    server.answers = [answer]
    rpc = server.rpc(retries=0)
    with pytest.raises((RpcError, RpcUnavailable)) as failure:
        rpc.call("eth_call", [{}])
    shown = "".join(traceback.format_exception(failure.value)) + repr(rpc)
    assert KEY not in shown
    assert "hunter2" not in shown


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
