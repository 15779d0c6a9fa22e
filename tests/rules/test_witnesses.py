"""No single node changes what is stored, whatever it says."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.events import RawLog, bloom_of
from lightchallenge_dagster.rules.reorg import Block
from lightchallenge_dagster.rules.witnesses import Key, Statement, only_late, settled

HASH, TOPIC, CONTRACT = "0x" + "01" * 32, "0x" + "02" * 32, "0x" + "03" * 20


def log(index: int, data: str = "0x", block_hash: str = HASH) -> RawLog:
    return RawLog(7, block_hash, "0x" + "04" * 32, 0, index, CONTRACT, (TOPIC,), data)


def header(logs: Sequence[RawLog] = (), bloom: int | None = None) -> Block:
    bits = bloom_of(logs) if bloom is None else bloom
    return Block(7, HASH, "0x" + "00" * 32, 1_700_000_000, f"0x{bits:0512x}")


contents = st.dictionaries(st.integers(0, 3), st.sampled_from(["0x", "0xaa"]), max_size=4)
blocks = contents.map(lambda found: {(7, at): log(at, data) for at, data in found.items()})
statements = st.builds(Statement, st.none() | blocks, st.booleans())


@given(blocks, st.lists(statements, min_size=1, max_size=4))
def test_what_is_settled_is_stored_already_or_shown_by_every_witness(
    stored: dict[Key, RawLog], heard: list[Statement]
) -> None:
    found = settled(stored, heard)
    if found is not None:
        assert found == stored or all(one.logs == found for one in heard)
        assert any(one.logs == found for one in heard), "nothing is settled that nobody has shown"


@given(blocks, blocks, statements, st.booleans(), st.booleans())
def test_beside_an_honest_node_a_liar_settles_nothing_but_the_truth(
    stored: dict[Key, RawLog],
    truth: dict[Key, RawLog],
    liar: Statement,
    sealed: bool,
    liar_first: bool,
) -> None:
    honest = Statement(truth, sealed)
    heard = [liar, honest] if liar_first else [honest, liar]
    assert settled(stored, heard) in (truth, None)


@given(blocks, blocks, st.booleans(), st.integers(2, 4))
def test_honest_nodes_settle_it_whatever_is_stored(
    stored: dict[Key, RawLog], truth: dict[Key, RawLog], sealed: bool, how_many: int
) -> None:
    assert settled(stored, [Statement(truth, sealed)] * how_many) == truth


@given(blocks, statements)
def test_one_node_alone_drops_nothing_without_the_headers_word(
    stored: dict[Key, RawLog], only: Statement
) -> None:
    found = settled(stored, [only])
    if found is not None and not stored.items() <= found.items():
        assert only.sealed
    if only.logs is not None and only.sealed:
        assert found == only.logs


@given(blocks, st.lists(statements, min_size=1, max_size=4), st.randoms())
def test_the_order_in_which_they_are_asked_does_not_matter(
    stored: dict[Key, RawLog], heard: list[Statement], random: Random
) -> None:
    turned = list(heard)
    random.shuffle(turned)
    assert settled(stored, turned) == settled(stored, heard)


@given(blocks, blocks, st.booleans())
def test_a_block_only_lacks_logs_when_every_reading_shows_all_that_is_stored_and_more(
    stored: dict[Key, RawLog], seen: dict[Key, RawLog], fills_blooms: bool
) -> None:
    block = header(list(seen.values()), None if fills_blooms else 0)
    assert only_late(block, stored, [seen, dict(seen)]) == (stored.items() <= seen.items())
    assert not only_late(block, stored, [seen, None])
    assert not only_late(block, stored, [seen, seen | {(7, 9): log(9)}])


def test_late_logs_have_to_be_of_the_block_and_allowed_by_its_bloom() -> None:
    late = {(7, 0): log(0)}
    assert only_late(header([log(0)]), {}, [late])
    assert not only_late(header(bloom=1), {}, [late])
    assert not only_late(header([log(0)]), {}, [{(7, 0): log(0, block_hash="0x" + "ff" * 32)}])
