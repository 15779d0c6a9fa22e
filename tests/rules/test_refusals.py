"""What nodes and providers say when they will not serve a range, word for word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.ranges import (
    RangeSize,
    is_lost_state,
    is_range_refusal,
    is_rate_limit,
    is_unknown_block,
    suggested_blocks,
    suggested_range,
)

Suggestion = int | tuple[int, int] | None

ALCHEMY = (
    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and"
    " no limit on the response size, or you can request any block range with a cap of 10K logs in"
    " the response. Based on your parameters and the response size limit, this block range should"
    " work: [0x0, 0xd043b8]"
)

REFUSALS: list[tuple[str, int, str, Suggestion]] = [
    ("infura", -32005, "query returned more than 10000 results", None),
    (
        "infura",
        -32005,
        "query returned more than 10000 results. Try with this block range [0xBDE5F8, 0x102DBCC].",
        (0xBDE5F8, 0x102DBCC),
    ),
    ("infura", -32005, "query timeout exceeded", None),
    ("infura", -32602, "range 1000000 exceeds limit of 10000", 10_000),
    ("alchemy", -32602, ALCHEMY, (0, 0xD043B8)),
    ("alchemy", -32602, ALCHEMY.partition(" Based")[0], 2000),
    (
        "alchemy",
        -32600,
        "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters,"
        " this block range should work: [0x123c9b2, 0x123cba5]",
        (0x123C9B2, 0x123CBA5),
    ),
    (
        "alchemy, free",
        -32600,
        "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range",
        10,
    ),
    (
        "alchemy",
        -32000,
        "Query timeout exceeded. Consider reducing your block range. Based on your parameters and"
        " the response size limit, this block range should work: [0x42b950f, 0x435784f]",
        (0x42B950F, 0x435784F),
    ),
    ("alchemy", -32602, "Log response size exceeded. Please reduce query block range.", None),
    ("quicknode", -32614, "eth_getLogs is limited to a 10,000 range", 10_000),
    ("quicknode", -32614, "eth_getLogs is limited to a 5 range", 5),
    (
        "quicknode",
        -32614,
        "eth_getLogs and eth_newFilter are limited to a 10,000 blocks range",
        10_000,
    ),
    ("ankr", -32600, "block range is too wide", None),
    ("ankr", -32602, "maximum [from, to] blocks distance: 10000", 10_000),
    (
        "chainstack",
        -32602,
        "Block range limit exceeded. See more details at"
        " https://docs.chainstack.com/docs/limits#evm-range-limits.",
        None,
    ),
    ("cloudflare", -32047, "Max range: 800", 800),
    ("geth", -32602, "exceed maximum block range: 50000", 50_000),
    ("geth before a proxy", -32000, "query timed out", None),
    ("reth", -32602, "query exceeds max block range 100000", 100_000),
    (
        "reth",
        -32602,
        "query exceeds max results 20000, retry with the range 23879634-23879696",
        (23_879_634, 23_879_696),
    ),
    ("erigon", -32602, "query block range exceeds server limit, narrow your filter: 1000", 1000),
    ("erigon", -32000, "query returns too many logs, narrow your filter: 20000", None),
    ("cdk-erigon", -32005, "block range too large, max range: 1000", 1000),
    ("nethermind", -32005, "Too many logs requested. Max logs per response is 20000.", None),
    ("besu", -32005, "Requested range exceeds maximum RPC range limit", None),
    ("besu", -32602, "Requested range exceeds maximum range limit", None),
    ("bsc", -32005, "limit exceeded", None),
    (
        "avalanche",
        -32000,
        "requested too many blocks from 1 to 20000, maximum is set to 2048",
        2048,
    ),
    (
        "thirdweb",
        -32005,
        "Log response size exceeded. Maximum allowed number of requested blocks is 1000",
        1000,
    ),
    (
        "blockpi",
        -32602,
        "eth_getLogs is limited to 1024 block range. Please check the parameter requirements at"
        " https://docs.blockpi.io/documentations/api-reference",
        1024,
    ),
    ("drpc", 35, "ranges over 10000 blocks are not supported on freetier", 10_000),
    ("merkle", -32603, "eth_getLogs range is too large, max is 1k blocks", 1000),
    ("tenderly", -32602, "invalid params: range 9009594 is bigger than range limit 2000", 2000),
    ("moonbeam", -32603, "block range is too wide (maximum 1024)", 1024),
    (
        "morph",
        -32000,
        "block range is larger than max block range, block range = 5120, max block range = 5000",
        5000,
    ),
    ("scroll", -32000, "block range is bigger than maxBlockRange", None),
    ("1rpc", -32602, "response size should not greater than 10000000 bytes", None),
    ("optimism", -32020, "backend response too large", None),
    ("base", -32614, "block range too large", None),
    ("coinbase", -32602, "please limit the query to at most 1,000 blocks", 1000),
    ("arbitrum", -32000, "logs matched by query exceeds limit of 10000", None),
    ("blast", -32600, "exceeds the range allowed for your plan (5000 > 3000)", 3000),
    ("somnia", -32000, "block range exceeds 1000", 1000),
    ("swell", -32000, "block range greater than 2000 max", 2000),
    ("harmony", -32000, "query must be smaller than size 1024", 1024),
    (
        "klaytn",
        -32005,
        "In eth_getLogs and eth_newFilter, the block range is limited to 2000.",
        2000,
    ),
    ("candle", -32600, "block range too high", None),
    ("aion", -32000, "eth_newFilter(): can't query more than 1000 blocks", 1000),
    ("anybody", -32000, "response is too big", None),
    ("anybody", -32000, "too many results, try a smaller range", None),
]


@pytest.mark.parametrize(("who", "code", "message", "suggestion"), REFUSALS)
def test_ask_for_less_is_understood_and_how_much_less_read(
    who: str, code: int, message: str, suggestion: Suggestion
) -> None:
    assert is_range_refusal(code, message), who
    assert not is_rate_limit(code, message), who
    assert not is_unknown_block(message), who
    assert suggested_range(message) == suggestion, who


@pytest.mark.parametrize(
    ("who", "message"),
    [
        ("anybody", "rate limit exceeded"),
        ("anybody", "Too Many Requests"),
        ("anybody", "throttled"),
        ("infura", "daily request count exceeded, request rate limited"),
        ("infura", "project ID request rate exceeded"),
        (
            "alchemy",
            "Your app has exceeded its compute units per second capacity. If you have retries"
            " enabled, you can safely ignore this message.",
        ),
        ("quicknode", "15/second request limit reached - reduce calls per second or upgrade"),
        ("chainstack", "You've exceeded the RPS limit available on the current plan."),
        ("ankr", "Too many requests, reason: call rate limit exhausted, retry in 10s"),
        ("base", "over rate limit"),
    ],
)
def test_ask_less_often_is_not_ask_for_less(who: str, message: str) -> None:
    assert is_rate_limit(-32005, message), who
    assert not is_range_refusal(-32005, message), who


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (3, "execution reverted: rate limit exceeded"),
        (3, "rate limit exceeded"),
        (-32000, "execution reverted: too many requests"),
        (-32015, "VM execution error.: Reverted: missing trie node"),
    ],
)
def test_the_words_of_a_contract_that_refused_are_never_the_nodes(code: int, message: str) -> None:
    assert not is_rate_limit(code, message)
    assert not is_lost_state(code, message)


@pytest.mark.parametrize(
    ("who", "message"),
    [
        ("geth", "block range extends beyond current head block"),
        ("geth", "invalid block range params"),
        ("geth", "header not found"),
        ("reth", "block not found: 0x2f"),
        ("anvil", "unknown block"),
        ("besu", "Block not found"),
        ("anvil", "BlockOutOfRangeError: block height is 10 but requested was 12"),
    ],
)
def test_a_block_that_the_node_does_not_have_is_no_matter_of_size(who: str, message: str) -> None:
    assert is_unknown_block(message), who
    assert not is_range_refusal(-32602, message), who
    assert not is_rate_limit(-32602, message), who


@pytest.mark.parametrize(
    ("who", "message"),
    [
        ("geth", "missing trie node 8a2c (path ) state 0x8a2c is not available, not found"),
        ("geth", "required historical state unavailable (reexec=128)"),
        ("geth", "historical state 0x8a2c is not available"),
        ("geth", "historical state not available in path scheme yet"),
        ("geth", "pruned history unavailable"),
        ("reth", "state at block #123 is pruned"),
        ("erigon", "old data not available due to pruning"),
        ("nethermind", "No state available for block 0x2f"),
        ("besu", "World state unavailable"),
        ("openethereum", "This request is not supported because your node is running with state"
         " pruning. Run with --pruning=archive."),
        ("evmos", "failed to load state at height 5; version does not exist (latest height: 9)"),
        ("publicnode", "Archive, Debug and Trace requests are not available on your current plan"),
    ],
)  # fmt: skip
def test_a_state_that_a_node_has_thrown_away_is_another_nodes_to_serve(
    who: str, message: str
) -> None:
    assert is_lost_state(-32000, message), who
    assert not is_range_refusal(-32000, message), who
    assert not is_rate_limit(-32000, message), who
    assert not is_lost_state(3, message), "then these are the contract's own words"


@pytest.mark.parametrize("message", [row[2] for row in REFUSALS])
def test_a_refused_range_is_no_lost_state(message: str) -> None:
    assert not is_lost_state(-32602, message)


@pytest.mark.parametrize(
    "message",
    [
        "execution reverted",
        "execution reverted: NotAdmin",
        "header not found",
        "method not found",
        "nonce too low",
        "invalid statement",
        "insufficient funds for gas * price + value",
    ],
)
def test_what_a_contract_or_a_pool_says_is_no_lost_state(message: str) -> None:
    assert not is_lost_state(-32000, message)


@pytest.mark.parametrize(
    "message", ["execution reverted", "method not found", "invalid argument 0", "internal error"]
)
def test_other_errors_are_none_of_these(message: str) -> None:
    assert not is_range_refusal(-32000, message)
    assert not is_rate_limit(-32000, message)
    assert not is_unknown_block(message)


def test_a_proposed_range_is_counted_from_where_we_ask() -> None:
    proposal = "Try with this block range [0x64, 0xc7]"
    assert suggested_blocks(proposal, 100, 1099) == 100
    assert suggested_blocks(proposal, 150, 1099) == 50
    assert suggested_blocks(proposal, 0, 1099) == 100, "its length, where it does not hold ours"
    assert suggested_blocks("Try with this block range [0xc7, 0x64]", 0, 9) is None


def test_a_node_that_proposes_what_it_just_refused_proposes_nothing() -> None:
    # Seen with reth 1.11 on Base.
    echo = "query exceeds max results 20000, retry with the range 25766988-25775072"
    assert suggested_blocks(echo, 25_766_988, 25_775_072) is None
    size = RangeSize.start(10_000)
    asked = 25_775_072 - 25_766_988 + 1
    again = size.refused(suggested_blocks(echo, 25_766_988, 25_775_072), asked=asked)
    assert again.blocks == asked // 2


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading_of_a_refusal(message: str) -> None:
    found = suggested_range(message)
    assert found is None or (found[0] <= found[1] if isinstance(found, tuple) else found > 0)
    assert isinstance(is_range_refusal(None, message), bool)


@given(
    asked=st.integers(1, 10**6),
    first=st.integers(0, 10**9),
    proposal=st.one_of(
        st.integers(0, 10**7).map(lambda n: f"max block range {n}"),
        st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)).map(
            lambda span: f"try with this block range [{span[0]:#x}, {span[1]:#x}]"
        ),
    ),
)
def test_a_proposal_is_never_more_than_what_was_refused(
    asked: int, first: int, proposal: str
) -> None:
    blocks = suggested_blocks(proposal, first, first + asked - 1)
    assert blocks is None or 1 <= blocks < asked
