"""Several endpoints as one: who is asked, who rests, who is put aside, and what each has taught."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from lightchallenge_dagster.chain import pacing
from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcTimeout, RpcUnavailable
from lightchallenge_dagster.errors import PermanentError
from tests.chain.http_node import (
    KEY,
    PASSWORD,
    USER,
    Answer,
    HttpNode,
    Time,
    failed,
    node,
    ok,
    raw,
    status,
    unused_port,
)
from tests.chain.test_faults import FAULTS

DOWN = status(503)


@pytest.fixture
def first() -> Iterator[HttpNode]:
    server = HttpNode(ok("first"))
    yield server
    server.stop()


@pytest.fixture
def second() -> Iterator[HttpNode]:
    server = HttpNode(ok("second"))
    yield server
    server.stop()


@pytest.fixture
def time() -> Time:
    return Time()


def both(first: HttpNode, second: HttpNode, time: Time, **options: Any) -> Rpc:
    return Rpc([first.url, second.url], **{**time.options(), **options})


# ── failover ──


@pytest.mark.parametrize("answer", [fault[2] for fault in FAULTS], ids=[f[1] for f in FAULTS])
def test_whatever_one_endpoint_fails_with_the_next_one_answers_at_once(
    first: HttpNode, second: HttpNode, time: Time, answer: Answer
) -> None:
    first.answers = [answer]
    rpc = both(first, second, time)
    assert rpc.call("eth_blockNumber") == "second"
    assert (rpc.calls, rpc.retried, time.sleeps) == (2, 1, [])
    assert rpc.endpoint is rpc.endpoints[1]
    assert sum(rpc.endpoints[0].errors().values()) == 1
    assert rpc.endpoints[1].errors() == {}


def test_the_first_endpoint_is_preferred_while_it_is_well(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    rpc = both(first, second, time)
    assert [rpc.call("eth_blockNumber") for _ in range(3)] == ["first"] * 3
    assert second.requests == []
    assert rpc.endpoint is rpc.endpoints[0]


def test_an_endpoint_that_failed_rests_gets_one_try_and_is_returned_to(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers = [DOWN]
    rpc = both(first, second, time)
    assert [rpc.call("eth_blockNumber") for _ in range(5)] == ["second"] * 5
    assert len(first.requests) == 1
    time.now += rpc.endpoints[0].rest_left_s()
    assert rpc.call("eth_blockNumber") == "second"
    assert rpc.call("eth_blockNumber") == "second"
    assert len(first.requests) == 2, "one try, not one for each call"
    first.answers = [ok("first")]
    time.now += rpc.endpoints[0].rest_left_s()
    assert rpc.call("eth_blockNumber") == "first"
    assert rpc.call("eth_blockNumber") == "first"


def test_a_rest_grows_with_each_failure_up_to_a_limit_and_ends_with_good_answers(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers = [DOWN]
    rpc = both(first, second, time)
    endpoint = rpc.endpoints[0]
    rests: list[float] = []
    for _ in range(10):
        rpc.call("eth_blockNumber")
        rests.append(endpoint.rest_left_s())
        time.now += endpoint.rest_left_s()
    assert rests == [1.5, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0, 192.0, 225.0, 225.0]
    first.answers = [ok("first")]
    rpc.call("eth_blockNumber")
    assert endpoint.failures == 10, "one good answer proves little"
    for _ in range(19):
        rpc.call("eth_blockNumber")
    assert endpoint.failures == 0


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_a_rest_is_jittered_and_never_shorter_than_half(chance: float) -> None:
    for failures in range(1, 12):
        whole = min(pacing.REST_MAX_S, 2.0**failures)
        assert whole / 2 <= pacing.rest_s(failures, 0.0, chance) <= whole
    assert pacing.rest_s(10**6, 0.0, chance) <= pacing.REST_MAX_S


def test_what_takes_long_to_fail_rests_in_proportion() -> None:
    assert pacing.rest_s(1, 20.0, 0.0) == 40.0
    assert pacing.rest_s(1, 20.0, 0.5) == 60.0


def test_when_all_fail_each_is_asked_each_time_with_growing_waits_between(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers, second.answers = [DOWN], [raw(lambda _: b"", "Content-Length: 5")]
    rpc = both(first, second, time, retries=3)
    with pytest.raises(RpcUnavailable):
        rpc.call("eth_blockNumber")
    assert (len(first.requests), len(second.requests)) == (4, 4)
    assert time.sleeps == [0.2, 0.4, 0.8]
    assert rpc.endpoints[0].errors() == {"http_error": 4}
    assert rpc.endpoints[1].errors() == {"cut": 4}


def test_endpoints_that_all_rest_are_asked_all_the_same(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers, second.answers = [DOWN], [DOWN]
    rpc = both(first, second, time, retries=0)
    for _ in range(3):
        with pytest.raises(RpcUnavailable):
            rpc.call("eth_blockNumber")
    second.answers = [ok("second")]
    assert rpc.call("eth_blockNumber") == "second"


def test_who_asked_us_to_stay_away_is_left_alone_while_another_answers(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.headers = {"Retry-After": "30"}
    first.answers = [status(429)]
    second.answers = [DOWN, DOWN, ok("second")]
    rpc = both(first, second, time)
    assert rpc.call("eth_blockNumber") == "second"
    assert len(first.requests) == 1, "not asked in the second and third round"
    assert time.sleeps == [0.2, 0.4]


def test_when_all_asked_us_to_stay_away_the_shortest_wish_is_waited_for(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.headers, second.headers = {"Retry-After": "30"}, {"Retry-After": "5"}
    first.answers, second.answers = [status(429)], [status(429), ok("second")]
    rpc = both(first, second, time)
    assert rpc.call("eth_blockNumber") == "second"
    assert time.sleeps == [5.0]
    assert len(first.requests) == 1


def test_an_answer_that_is_an_error_is_an_answer(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers = [failed(3, "execution reverted", "0x")]
    rpc = both(first, second, time)
    with pytest.raises(RpcError):
        rpc.call("eth_call", [{}])
    assert second.requests == []
    assert rpc.endpoints[0].errors() == {}


def test_a_batch_fails_over_as_a_whole(first: HttpNode, second: HttpNode, time: Time) -> None:
    first.answers = [lambda body: (200, [{"id": body[0]["id"], "result": "first"}])]
    second.answers = [node(eth_chainId="0x1", eth_blockNumber="0x2")]
    rpc = both(first, second, time)
    assert rpc.batch([("eth_chainId", []), ("eth_blockNumber", [])]) == ["0x1", "0x2"]


# ── too late ──


def test_a_node_that_hangs_is_replaced_by_one_that_answers(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers = [first.hang()]
    rpc = both(first, second, time, timeout_s=0.2)
    assert rpc.call("eth_getLogs", [{}]) == "second"
    assert rpc.call("eth_getLogs", [{}]) == "second"
    assert len(first.requests) == 1
    assert rpc.endpoints[0].errors() == {"timeout": 1}


def test_a_timeout_everywhere_is_a_timeout_and_each_waited_for_once(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers, second.answers = [first.hang()], [second.hang()]
    rpc = both(first, second, time, timeout_s=0.2)
    with pytest.raises(RpcTimeout):
        rpc.call("eth_getLogs", [{}])
    assert (len(first.requests), len(second.requests)) == (1, 1)
    assert time.sleeps == []


@pytest.mark.parametrize("turned", [False, True])
def test_a_timeout_beside_an_outage_is_told_as_the_timeout_of_its_endpoint(
    first: HttpNode, second: HttpNode, time: Time, turned: bool
) -> None:
    # The reader then asks for less, and of that endpoint: else a range that is too large for the
    # only one that works would never be made smaller.
    late, down = (second, first) if turned else (first, second)
    late.answers, down.answers = [late.hang()], [DOWN]
    rpc = both(first, second, time, timeout_s=0.2)
    with pytest.raises(RpcTimeout):
        rpc.call("eth_getLogs", [{}])
    assert rpc.endpoint is rpc.endpoints[int(turned)]


# ── sending ──


@pytest.mark.parametrize(
    "answer",
    [
        status(503),
        status(429),
        status(200),
        raw(lambda _: b"", "Content-Length: 5"),
        raw(lambda _: b'{"json', "Content-Length: 50", reset=True),
        lambda body: (200, {"id": body["id"] + 1, "result": "0x"}),
    ],
    ids=["503", "429", "empty", "cut before", "reset within", "another id"],
)
def test_a_transaction_that_may_have_arrived_goes_to_no_other_endpoint(
    first: HttpNode, second: HttpNode, time: Time, answer: Answer
) -> None:
    first.answers = [answer]
    rpc = both(first, second, time, retries=5)
    with pytest.raises(RpcUnavailable):
        rpc.call("eth_sendRawTransaction", ["0x00"])
    assert (len(first.requests), second.requests) == (1, [])


def test_a_transaction_that_was_not_answered_in_time_goes_to_no_other_endpoint(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers = [first.hang()]
    with pytest.raises(RpcTimeout):
        both(first, second, time, timeout_s=0.2).call("eth_sendRawTransaction", ["0x00"])
    assert second.requests == []
    with pytest.raises(RpcTimeout):
        both(first, second, time, timeout_s=0.2).batch([("eth_sendRawTransaction", ["0x00"])])
    assert second.requests == []


def test_a_transaction_goes_on_only_where_no_connection_was_made(
    second: HttpNode, time: Time
) -> None:
    nobody = f"http://127.0.0.1:{unused_port()}/"
    rpc = Rpc([nobody, second.url], **time.options())
    assert rpc.call("eth_sendRawTransaction", ["0x00"]) == "second"
    assert len(second.requests) == 1
    alone = Rpc(nobody, retries=5, **time.options())
    with pytest.raises(RpcUnavailable):
        alone.call("eth_sendRawTransaction", ["0x00"])
    assert (alone.calls, time.sleeps) == (1, [])


def test_a_transaction_goes_on_when_not_even_the_chain_was_told(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers = [DOWN]
    second.answers = [node(eth_chainId="0x1f8", eth_sendRawTransaction="0xhash")]
    rpc = both(first, second, time, chain_id=504)
    assert rpc.call("eth_sendRawTransaction", ["0x00"]) == "0xhash"
    assert first.methods() == ["eth_chainId"]
    assert second.methods() == ["eth_chainId", "eth_sendRawTransaction"]


# ── contradictions, and second opinions ──


def test_an_endpoint_that_is_distrusted_is_counted_and_the_next_one_asked(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    rpc = both(first, second, time)
    assert rpc.call("eth_getLogs", [{}]) == "first"
    rpc.distrust("bad_answer", f"two hashes for one block, says {KEY}")
    assert rpc.endpoint is rpc.endpoints[1]
    assert rpc.call("eth_getLogs", [{}]) == "second"
    assert rpc.endpoints[0].errors() == {"bad_answer": 1}
    assert rpc.endpoints[0].last_error == "two hashes for one block, says …"
    time.now += 2
    assert rpc.call("eth_getLogs", [{}]) == "first"


def test_a_lie_again_and_again_costs_a_longer_rest_each_time(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    rpc = both(first, second, time)
    rests: list[float] = []
    for _ in range(4):
        assert rpc.call("eth_getLogs", [{}]) == "first"
        rpc.distrust("late_logs")
        rests.append(rpc.endpoints[0].rest_left_s())
        time.now += rests[-1]
    assert rests == [1.5, 3.0, 6.0, 12.0]
    assert rpc.endpoints[0].errors() == {"late_logs": 4}


def test_the_only_endpoint_is_asked_again_even_when_distrusted(first: HttpNode) -> None:
    rpc = first.rpc()
    rpc.distrust("bad_answer")
    assert rpc.call("eth_blockNumber") == "first"
    assert rpc.others() is None


def test_a_second_opinion_comes_from_the_others_and_is_counted_with_the_rest(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    rpc = both(first, second, time)
    others = rpc.others()
    assert others is not None
    assert others.call("eth_getLogs", [{}]) == "second"
    assert others.endpoints == rpc.endpoints[1:]
    others.range = others.range.refused(100)
    assert (rpc.calls, rpc.endpoint.label) == (1, rpc.endpoints[0].label)
    assert [one.range.blocks for one in rpc.endpoints] == [2000, 100]
    second.answers = [DOWN]
    with pytest.raises(RpcUnavailable):
        others.call("eth_getLogs", [{}])
    assert first.requests == [], "a second opinion is never the first one's"
    assert rpc.retried == 2
    assert rpc.seconds > 0
    second.answers = [ok("second")]
    time.now += others.endpoint.rest_left_s()
    rpc.distrust("bad_answer")
    again = rpc.others()
    assert again is not None
    assert again.call("eth_getLogs", [{}]) == "first"


def test_an_endpoint_that_is_down_does_not_stand_in_for_one_that_lags(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    def slow(body: Any) -> tuple[int, bytes]:
        time.now += 20
        return 503, b""

    second.answers = [slow]
    rpc = both(first, second, time, retries=0)
    others = rpc.others()
    assert others is not None
    with pytest.raises(RpcUnavailable):
        others.call("eth_getLogs", [{}])
    assert rpc.endpoints[1].rest_left_s() == 60
    rpc.distrust("bad_answer")
    assert rpc.endpoint is rpc.endpoints[0], "waiting for the other one again would help nobody"


def test_each_endpoint_has_a_range_of_its_own(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    rpc = both(first, second, time, max_block_range=500)
    assert rpc.range.blocks == 500
    first.answers = [failed(-32602, "query exceeds max block range 50")]
    with pytest.raises(RpcError):
        rpc.call("eth_getLogs", [{}])
    rpc.range = rpc.range.refused(50)
    assert rpc.range.blocks == 50
    assert rpc.endpoints[0].errors() == {"range_refused": 1}
    assert rpc.endpoints[0].rest_left_s() == 0, "it did answer"
    first.answers = [DOWN]
    assert rpc.call("eth_getLogs", [{}]) == "second"
    assert rpc.range.blocks == 500
    rpc.limit_range(40)
    assert [one.range.blocks for one in rpc.endpoints] == [40, 40]


# ── the right chain ──


def test_an_endpoint_on_another_chain_is_put_aside_before_it_is_asked_anything(
    first: HttpNode, second: HttpNode, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    first.answers = [node(eth_chainId="0x1", eth_blockNumber="0xbad")]
    second.answers = [node(eth_chainId="0x1f8", eth_blockNumber="0x2")]
    rpc = both(first, second, time, chain_id=504)
    with caplog.at_level(logging.ERROR):
        assert [rpc.call("eth_blockNumber") for _ in range(3)] == ["0x2"] * 3
    time.now += 10**6
    assert rpc.call("eth_blockNumber") == "0x2"
    assert first.methods() == ["eth_chainId"]
    assert second.methods() == ["eth_chainId", *["eth_blockNumber"] * 4], "once is enough"
    aside = rpc.endpoints[0]
    assert aside.errors() == {"wrong_chain": 1}
    assert f"endpoint {aside.label} is on chain 1, LCAI_CHAIN_ID says 504" in caplog.text
    assert aside.label in str(aside.last_error)
    assert KEY not in caplog.text
    assert rpc.others() is None, "no second opinion from another chain"


def test_when_no_endpoint_is_on_the_chain_trying_again_cannot_help(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers, second.answers = [node(eth_chainId="0x1")], [node(eth_chainId="0x2")]
    rpc = both(first, second, time, chain_id=504)
    for _ in range(2):
        with pytest.raises(PermanentError, match="follows chain 504") as wrong:
            rpc.call("eth_sendRawTransaction", ["0x00"])
        for one in rpc.endpoints:
            assert one.label in str(wrong.value)
    assert first.methods() == second.methods() == ["eth_chainId"]
    assert time.sleeps == []


def test_one_wrong_endpoint_beside_one_that_is_down_is_an_outage(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers, second.answers = [node(eth_chainId="0x1")], [DOWN]
    with pytest.raises(RpcUnavailable, match="HTTP 503"):
        both(first, second, time, chain_id=504).call("eth_blockNumber")


def test_an_endpoint_is_asked_for_its_chain_again_after_it_failed(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    well = node(eth_chainId="0x1f8", eth_blockNumber="first")
    first.answers = [well, well, DOWN, node(eth_chainId="0x1", eth_blockNumber="0xbad")]
    second.answers = [node(eth_chainId="0x1f8", eth_blockNumber="second")]
    rpc = both(first, second, time, chain_id=504)
    assert rpc.call("eth_blockNumber") == "first"
    assert rpc.call("eth_blockNumber") == "second"
    time.now += 10
    assert rpc.call("eth_blockNumber") == "second"
    assert rpc.endpoints[0].errors() == {"http_error": 1, "wrong_chain": 1}


@pytest.mark.parametrize("chain", [None, "504", "0x", "x", [], {"chain": "0x1f8"}])
def test_an_endpoint_that_cannot_say_its_chain_is_not_believed(
    first: HttpNode, second: HttpNode, time: Time, chain: Any
) -> None:
    first.answers = [node(eth_chainId=chain, eth_blockNumber="0xbad")]
    second.answers = [node(eth_chainId="0x1f8", eth_blockNumber="second")]
    rpc = both(first, second, time, chain_id=504)
    assert rpc.call("eth_blockNumber") == "second"
    assert set(first.methods()) == {"eth_chainId"}


def test_an_error_or_a_timeout_about_the_chain_is_not_the_callers(
    first: HttpNode, time: Time
) -> None:
    first.answers = [failed(-32000, "Must be authenticated!")]
    with pytest.raises(RpcUnavailable, match="authenticated"):
        Rpc(first.url, chain_id=504, **time.options()).call("eth_getLogs", [{}])
    first.answers = [first.hang()]
    with pytest.raises(RpcUnavailable) as late:
        Rpc(first.url, 0.2, chain_id=504, **time.options()).call("eth_getLogs", [{}])
    assert not isinstance(late.value, RpcTimeout), "the range is not too large: it was never asked"


# ── names and secrets ──


def test_a_label_is_a_place_and_a_fingerprint(first: HttpNode, second: HttpNode) -> None:
    rpc = Rpc([first.url, second.url])
    labels = [one.label for one in rpc.endpoints]
    assert [label[:2] for label in labels] == ["1-", "2-"]
    assert all(re.fullmatch(r"\d-[0-9a-f]{8}", label) for label in labels)
    assert Rpc([second.url, first.url]).endpoints[0].label[2:] == labels[1][2:]
    assert repr(rpc) == f"Rpc({labels[0]}, {labels[1]})"


SECRET_URLS = [
    "https://user-a:pass-word-a@one.provider-a.example/v2/key-in-path-a?apikey=key-in-query-a",
    "http://tok%65n-b%2F1:p%40ss-b-word@two.provider-b.example:8545/rpc/%6bey-b-escaped?key-b-bare",
    "https://three.provider-c.example/#key-in-fragment-c",
]
SECRETS = [
    "user-a", "pass-word-a", "one.provider-a.example", "key-in-path-a", "key-in-query-a",
    "tok%65n-b%2F1", "token-b/1", "p%40ss-b-word", "p@ss-b-word", "two.provider-b.example",
    "%6bey-b-escaped", "key-b-escaped", "key-b-bare", "three.provider-c.example",
    "key-in-fragment-c", "dXNlci1hOnBhc3Mtd29yZC1h",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
def test_no_part_of_any_url_that_can_be_secret_stays_in_a_text(secret: str) -> None:
    scrub = Rpc(SECRET_URLS).scrub
    for text in (secret, secret.upper(), f"at {secret}/x", f"<{secret}>"):
        assert secret.lower() not in scrub(text).lower()
    for url in SECRET_URLS:
        assert scrub(f"see {url}.") == "see …."
    assert scrub("block 12 has no logs") == "block 12 has no logs"


def test_an_endpoint_that_repeats_the_secrets_of_another_one_is_scrubbed_too(
    first: HttpNode, time: Time
) -> None:
    said = " ".join([*SECRET_URLS, *SECRETS, first.url, KEY, USER, PASSWORD])
    first.answers = [failed(-32000, said, {"reason": said})]
    rpc = Rpc([first.url, *SECRET_URLS], **time.options())
    with pytest.raises(RpcError) as refused:
        rpc.call("eth_call", [{}])
    rpc.distrust("bad_answer", said)
    told = "".join(traceback.format_exception(refused.value)) + str(rpc.endpoints[0].last_error)
    leaks = [one for one in [*SECRETS, KEY, USER, PASSWORD] if one.lower() in told.lower()]
    assert leaks == []


@pytest.mark.parametrize("bad", ["", "ws://node", "http://", "http://h:x/", "//h", "key-1"])
def test_one_address_of_several_that_is_none_is_told_by_its_place(bad: str) -> None:
    with pytest.raises(PermanentError, match=r"LCAI_RPC, address 2 of 3, is not an http") as wrong:
        Rpc(["http://127.0.0.1:9", bad, "http://127.0.0.1:8"])
    assert not bad or bad not in str(wrong.value).replace("https://host", "")
    with pytest.raises(PermanentError, match="empty list"):
        Rpc([])


@pytest.mark.parametrize("again", ["http://127.0.0.1:9/key-1", "http://127.0.0.1:9/key-1/"])
def test_an_address_given_twice_would_be_its_own_witness_and_is_refused_by_its_place(
    again: str,
) -> None:
    with pytest.raises(PermanentError, match="address 3 of 3, is the same as address 1") as wrong:
        Rpc(["http://127.0.0.1:9/key-1", "http://127.0.0.1:8", again])
    assert "key-1" not in str(wrong.value)


def test_good_answers_end_a_streak_only_when_none_of_them_failed_between(
    first: HttpNode, time: Time
) -> None:
    rpc = Rpc(first.url, **time.options())
    for _ in range(3):
        for _ in range(10):
            rpc.call("eth_blockNumber")
        rpc.distrust("bad_answer")
    assert rpc.endpoint.failures == 3


def test_a_node_without_the_state_of_an_old_block_is_passed_over_and_does_not_rest(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers = [failed(-32000, "missing trie node 8a2c (path ) state is not available")]
    rpc = both(first, second, time)
    assert rpc.call("eth_call", [{}, "0x5"]) == "second"
    assert rpc.endpoints[0].counts["no_state"] == 1
    assert (rpc.endpoints[0].failures, rpc.endpoints[0].rest_left_s(), time.sleeps) == (0, 0, [])


def test_a_state_that_no_node_keeps_is_an_outage_each_was_asked_once_for(
    first: HttpNode, second: HttpNode, time: Time
) -> None:
    first.answers = second.answers = [failed(-32000, "required historical state unavailable")]
    rpc = both(first, second, time)
    with pytest.raises(RpcUnavailable, match="does not keep that state"):
        rpc.call("eth_call", [{}, "0x5"])
    assert (len(first.requests), len(second.requests), time.sleeps) == (1, 1, [])


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_nobody_is_sent_on_to_an_address_that_is_not_in_the_list(
    first: HttpNode, second: HttpNode, time: Time, code: int
) -> None:
    first.headers = {"Location": second.url}
    first.answers = [status(code)]
    with pytest.raises(RpcUnavailable, match=f"HTTP {code}"):
        Rpc(first.url, retries=0, **time.options()).call("eth_sendRawTransaction", ["0x00"])
    assert second.requests == []
