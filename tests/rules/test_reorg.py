"""Where two chains part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.reorg import (
    Block,
    Point,
    ReorgPastFinality,
    newly_final,
    probes,
    require_not_final,
    shared,
    unlinked,
)


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


heights = st.integers(0, 300)


@given(
    first=heights,
    ends=st.lists(heights, min_size=1),
    tags=st.lists(st.none() | heights, min_size=1),
)
def test_a_final_block_is_an_indexed_one_and_no_newer_than_the_chains_tag(
    first: int, ends: list[int], tags: list[int | None]
) -> None:
    for above, tag in zip(ends, tags, strict=False):
        end = Point(first - 1 + above, f"0x{first - 1 + above:064x}")
        named = None if tag is None else Point(tag, f"0x{tag:064x}")
        final = newly_final(named, end, first)
        if tag is None or tag < first - 1:
            assert final is None
        else:
            assert final == min(named or end, end, key=lambda point: point.number)


@given(final=st.none() | heights, ancestor=heights)
def test_a_block_that_was_final_is_never_undone(final: int | None, ancestor: int) -> None:
    mark = None if final is None else Point(final, "0xf")
    undoes_it = final is not None and ancestor < final
    try:
        require_not_final(504, mark, Point(ancestor, "0xa"))
    except ReorgPastFinality as error:
        assert undoes_it
        assert f"after block {ancestor} " in str(error) and f"block {final} " in str(error)
    else:
        assert not undoes_it


@given(
    checkpoint=st.integers(0, 400),
    window=st.integers(1, 300),
    with_logs=st.sets(st.integers(0, 400)),
    depth=st.integers(0, 400),
)
def test_of_the_headers_a_follower_keeps_the_fork_is_found_exactly_or_not_at_all(
    checkpoint: int, window: int, with_logs: set[int], depth: int
) -> None:
    """Kept are all of the window and those with logs; a fork within the window is met exactly."""
    lowest = max(0, checkpoint - window)
    kept = {n for n in with_logs if n < lowest} | set(range(lowest, checkpoint + 1))
    fork = max(0, checkpoint - depth)
    chain = {n: f"0x{n}" if n <= fork else f"0xnew{n}" for n in range(500)}
    stored = [Point(n, f"0x{n}") for n in kept if lowest <= n < checkpoint]

    found = next((at for probe in probes(stored) if (at := shared(probe, chain))), None)

    if fork == checkpoint:
        assert found is None or found.number == checkpoint - 1
    elif fork >= lowest:
        assert found == Point(fork, f"0x{fork}")
    else:
        assert found is None


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
