"""What is learned of an endpoint outlives the process that learned it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcUnavailable
from lightchallenge_dagster.storage import endpoints
from tests.chain.http_node import KEY, PASSWORD, USER, HttpNode, Time, failed, ok, status

CHAIN = 504
TWO = ("http://127.0.0.1:9/one", "http://127.0.0.1:9/two")


@pytest.fixture
def server() -> Iterator[HttpNode]:
    server = HttpNode(ok("0x1"))
    yield server
    server.stop()


def load(database: Engine, rpc: Rpc, chain_id: int = CHAIN) -> Rpc:
    with database.begin() as connection:
        endpoints.load(connection, chain_id, rpc)
    return rpc


def save(database: Engine, rpc: Rpc, chain_id: int = CHAIN) -> None:
    with database.begin() as connection:
        endpoints.save(connection, chain_id, rpc)


def rows(database: Engine) -> list[endpoints.EndpointRow]:
    with database.connect() as connection:
        return endpoints.rows(connection, CHAIN)


def test_a_range_that_was_learned_survives_the_process(database: Engine) -> None:
    rpc = load(database, Rpc(TWO))
    rpc.range = rpc.range.refused(300).accepted().accepted()
    save(database, rpc)
    again = load(database, Rpc(TWO))
    assert again.range == rpc.range
    assert (again.range.blocks, again.range.served, again.range.refused_at) == (300, 2, 2000)
    assert again.endpoints[1].range.blocks == 2000, "each endpoint has its own"


def test_an_endpoint_is_known_again_in_another_place_of_the_list(database: Engine) -> None:
    rpc = Rpc(TWO)
    rpc.range = rpc.range.refused(300)
    save(database, rpc)
    turned = load(database, Rpc(TWO[::-1]))
    assert [one.range.blocks for one in turned.endpoints] == [2000, 300]
    turned.endpoints[1].note("timeout", "late")
    save(database, turned)
    assert [row.label for row in rows(database)] == [one.label for one in turned.endpoints]


def test_another_maximum_bounds_what_was_learned_without_changing_it(database: Engine) -> None:
    rpc = Rpc(TWO)
    rpc.range = rpc.range.refused(300)
    save(database, rpc)
    narrow = load(database, Rpc(TWO, max_block_range=100))
    assert narrow.range.blocks == 100
    save(database, narrow)
    limited = load(database, Rpc(TWO))
    limited.limit_range(50)
    assert [one.range.blocks for one in limited.endpoints] == [50, 50]
    save(database, limited)
    assert load(database, Rpc(TWO)).range.blocks == 300
    assert load(database, Rpc(TWO, max_block_range=5000)).endpoints[1].range.blocks == 5000


def test_a_short_run_does_not_put_back_what_a_longer_one_has_learned(database: Engine) -> None:
    short = load(database, Rpc(TWO))
    long = load(database, Rpc(TWO))
    long.range = long.range.refused(300)
    save(database, long)
    short.endpoint.note("timeout", "late")
    save(database, short)
    assert load(database, Rpc(TWO)).range.blocks == 300


def test_counts_of_all_processes_add_up_by_kind(database: Engine, server: HttpNode) -> None:
    first, second = (server.rpc(retries=0) for _ in range(2))
    assert first.call("eth_blockNumber") == "0x1"
    server.answers = [status(503)]
    for rpc in (first, first, second):
        with pytest.raises(RpcUnavailable):
            rpc.call("eth_blockNumber")
    save(database, first)
    save(database, second)
    save(database, second)
    server.answers = [failed(-32602, "query exceeds max block range 100")]
    with pytest.raises(RpcError):
        second.call("eth_getLogs", [{}])
    save(database, second)
    (row,) = rows(database)
    assert row.counts == {"calls": 5, "http_error": 3, "range_refused": 1}
    assert row.last_error_at is not None
    assert "max block range 100" in str(row.last_error)


def test_what_nothing_happened_to_is_not_written(database: Engine) -> None:
    save(database, Rpc(TWO))
    before = rows(database)
    save(database, load(database, Rpc(TWO)))
    assert rows(database) == before


def test_an_endpoint_goes_on_resting_in_the_next_process(
    database: Engine, server: HttpNode
) -> None:
    down = HttpNode(status(503))
    try:
        time = Time()
        rpc = Rpc([down.url, server.url], chance=lambda: 0.999, sleep=time.sleep, clock=time.clock)
        for _ in range(6):
            assert rpc.call("eth_blockNumber") == "0x1"
            time.now += rpc.endpoints[0].rest_left_s()
        rpc.distrust("bad_answer")
        assert rpc.call("eth_blockNumber") == "0x1"
        rested = rpc.endpoints[0].rest_left_s()
        assert rested > 60
        save(database, rpc)

        asked = len(down.requests)
        time = Time(now=5.0)
        again = load(database, Rpc([down.url, server.url], clock=time.clock))
        assert again.endpoints[0].failures == rpc.endpoints[0].failures
        assert rested - 60 < again.endpoints[0].rest_left_s() <= rested
        assert again.call("eth_blockNumber") == "0x1"
        assert len(down.requests) == asked, "it is not even tried"
        time.now += rested
        assert again.call("eth_blockNumber") == "0x1"
        assert len(down.requests) == asked + 1, "then it gets one try"
    finally:
        down.stop()


def test_ticks_of_a_few_calls_each_end_a_streak_together(
    database: Engine, server: HttpNode
) -> None:
    def tick(calls: int, *, fails: bool = False) -> Rpc:
        rpc = load(database, Rpc(server.url, retries=0, **Time().options()))
        for _ in range(calls):
            rpc.call("eth_blockNumber")
        if fails:
            rpc.distrust("bad_answer")
        save(database, rpc)
        return rpc

    tick(3, fails=True)
    assert tick(5, fails=True).endpoint.failures == 2
    streaks = [tick(5).endpoint.failures for _ in range(4)]
    assert streaks == [2, 2, 2, 0]
    assert [row.failures_in_a_row for row in rows(database)] == [0]


def test_failures_of_long_ago_do_not_lengthen_the_next_rest(database: Engine) -> None:
    rpc = Rpc(TWO)
    for _ in range(5):
        rpc.endpoint.failed("timeout", "late", took_s=0, wait_s=0, chance=0.0)
    save(database, rpc)
    assert load(database, Rpc(TWO)).endpoint.failures == 5
    with database.begin() as connection:
        connection.execute(
            text("update pipeline.rpc_endpoints set last_error_at = now() - interval '16 minutes'")
        )
    assert load(database, Rpc(TWO)).endpoint.failures == 0


def test_chains_are_kept_apart(database: Engine) -> None:
    rpc = Rpc(TWO)
    rpc.range = rpc.range.refused(300)
    save(database, rpc, chain_id=1)
    assert load(database, Rpc(TWO)).range.blocks == 2000


def test_no_secret_of_a_url_is_stored(database: Engine, server: HttpNode) -> None:
    server.answers = [failed(-32000, f"no {KEY} for {USER}:{PASSWORD} at {server.url}")]
    rpc = server.rpc(retries=0)
    with pytest.raises(RpcError):
        rpc.call("eth_blockNumber")
    rpc.distrust("bad_answer", f"says {KEY}")
    server.answers = [failed(-32005, f"rate limit of {KEY}")]
    with pytest.raises(RpcUnavailable):
        rpc.call("eth_blockNumber")
    save(database, rpc)
    with database.connect() as connection:
        stored = str(connection.execute(text("select * from pipeline.rpc_endpoints")).all())
    assert "rate limit" in stored
    assert not [secret for secret in (KEY, USER, PASSWORD, "127.0.0.1") if secret in stored]
