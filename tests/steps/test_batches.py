"""How many proofs go into one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.chain.rpc import Rpc, RpcError
from lightchallenge_dagster.chain.sender import Sender
from lightchallenge_dagster.devnet.processes import Anvil
from lightchallenge_dagster.steps.settling.batches import (
    INTRINSIC_GAS,
    MAX_PROOFS,
    NO_BLOCK,
    Gauge,
    split,
)


def gauge(each: int, *, first: int = 0, node_limit: int = NO_BLOCK) -> Callable[..., int]:
    """Gas of some proofs; ``first`` is what the first of a challenge takes on top."""

    def gas(some: Sequence[int]) -> int:
        needed = INTRINSIC_GAS + each * len(some) + (first if 0 in some else 0)
        return needed if needed <= node_limit else NO_BLOCK

    return gas


def sizes(batches: Sequence[Sequence[int]]) -> list[int]:
    return [len(batch) for batch in batches]


def test_what_fits_into_one_transaction_goes_in_one() -> None:
    assert sizes(split(range(20), gauge(150_000), 15_000_000)) == [20]


def test_a_single_proof_is_not_measured() -> None:
    def unasked(_some: Sequence[int]) -> int:
        raise AssertionError

    assert split([7], unasked, 15_000_000) == [[7]]
    assert split([], unasked, 15_000_000) == []


def test_more_than_fits_is_cut_into_the_largest_batches_that_do() -> None:
    # 99 of them take 14.871 million.
    assert sizes(split(range(250), gauge(150_000), 15_000_000)) == [99, 99, 52]


def test_a_dear_first_proof_does_not_make_the_batches_small() -> None:
    found = sizes(split(range(250), gauge(150_000, first=60_000), 15_000_000))
    assert len(found) == 3
    assert found[1] == 99


def test_what_the_node_refuses_for_gas_is_halved() -> None:
    gas = gauge(150_000, node_limit=4_000_000)
    found = split(range(100), gas, 15_000_000)
    assert all(gas(batch) < NO_BLOCK for batch in found)
    assert max(sizes(found)) > 20


def test_calldata_bounds_a_batch_too() -> None:
    assert sizes(split(range(400), gauge(10), 15_000_000)) == [MAX_PROOFS, MAX_PROOFS, 12]
    assert MAX_PROOFS == 194


def test_what_the_contract_refuses_is_left_whole_for_it_to_say_so() -> None:
    assert sizes(split(range(30), lambda _some: 0, 15_000_000)) == [30]


@given(
    count=st.integers(0, 300),
    costs=st.lists(st.integers(1_000, 20_000_000), min_size=1, max_size=20),
    budget=st.integers(50_000, 20_000_000),
)
def test_every_proof_is_in_one_batch_in_order_and_no_batch_is_too_large(
    count: int, costs: list[int], budget: int
) -> None:
    def gas(some: Sequence[int]) -> int:
        return INTRINSIC_GAS + sum(costs[one % len(costs)] for one in some)

    batches = split(range(count), gas, budget)
    assert [one for batch in batches for one in batch] == list(range(count))
    for batch in batches:
        assert 1 <= len(batch) <= MAX_PROOFS
        assert len(batch) == 1 or gas(batch) <= budget


class Answering:
    """A node that answers every estimate in the same way."""

    def __init__(self, error: RpcError) -> None:
        self._error = error

    def call(self, _method: str, _params: object) -> str:
        raise self._error


def measured(error: RpcError) -> int:
    sender = Sender(Answering(error))  # pyright: ignore[reportArgumentType]
    return Gauge(sender, "0x" + "11" * 20, "0x" + "22" * 20, 25).gas("0x")


def test_a_refusal_for_gas_is_told_from_a_contracts_and_from_a_nodes() -> None:
    where = "eth_estimateGas"
    assert measured(error(where, "gas required exceeds allowance (30000000)")) == NO_BLOCK
    assert measured(error(where, "Out of gas: gas required exceeds allowance: 30000000")) == (
        NO_BLOCK
    )
    assert measured(error(where, "execution reverted")) == NO_BLOCK
    assert measured(error(where, "execution reverted: AlreadyWinner()")) == 0
    assert measured(error(where, "rate limit exceeded")) == 0


def error(method: str, message: str) -> RpcError:
    return RpcError(method, -32000, message, None)


def test_the_margin_is_part_of_what_is_measured(anvil: Anvil) -> None:
    rpc = Rpc(anvil.url)
    plain = Gauge(Sender(rpc), anvil.accounts[0], anvil.accounts[5], 25).gas("0x")
    assert plain == 21_000 * 125 // 100
    rpc.close()
