"""Where two chains part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.reorg import Block, Point, probes, shared, unlinked


@given(
    stored=st.sets(st.integers(0, 500), min_size=1),
    fork=st.integers(0, 500),
)
def test_the_newest_stored_block_below_the_fork_is_found(stored: set[int], fork: int) -> None:
    ours = [Point(number, f"0x{number:064x}") for number in stored]
    chain = {n: f"0x{n:064x}" if n < fork else f"0xf{n:063x}" for n in range(501)}

    found = None
    asked: list[int] = []
    for probe in probes(ours, batch=4):
        asked += [point.number for point in probe]
        found = shared(probe, chain)
        if found is not None:
            break

    below = [number for number in stored if number < fork]
    assert (found.number if found else None) == max(below, default=None)
    assert asked == sorted(asked, reverse=True)


def test_a_block_that_the_chain_does_not_have_is_not_shared() -> None:
    assert shared([Point(9, "0x9"), Point(8, "0x8")], {8: "0x8"}) == Point(8, "0x8")
    assert shared([Point(9, "0x9")], {}) is None


def header(number: int, hash_: str, parent: str) -> Block:
    return Block(number, hash_, parent, 0, "0x0")


def test_the_first_header_that_does_not_follow_is_named_and_gaps_are_not() -> None:
    chain = [header(1, "a", "z"), header(2, "b", "a"), header(5, "e", "d"), header(6, "f", "e")]
    assert unlinked(chain) is None
    assert unlinked([*chain, header(7, "g", "x")]) == 7
    assert unlinked([]) is None
