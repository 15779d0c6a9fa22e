"""LCAI_RPC as a list: read with its spaces, refused by place, never by text."""

from __future__ import annotations

import pytest

from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.settings import SettingsError, rpc_urls

ONE, TWO = "https://one.example/key-one", "https://two.example/key-two"


@pytest.mark.parametrize("text", [f"{ONE},{TWO}", f" {ONE} ,\t{TWO}\n", f"{ONE},\n  {TWO}"])
def test_several_addresses_come_in_their_order_without_their_spaces(text: str) -> None:
    assert rpc_urls(text) == (ONE, TWO)
    assert rpc_urls(ONE) == (ONE,)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"{ONE},", "address 2 of 2, is empty"),
        (f",{ONE}", "address 1 of 2, is empty"),
        (f"{ONE}, ,{TWO}", "address 2 of 3, is empty"),
        (f"{ONE},{TWO},{ONE}", "address 3 of 3, is the same as address 1"),
        (f"{ONE},{ONE}/", "address 2 of 2, is the same as address 1"),
    ],
)
def test_an_address_that_is_missing_or_repeated_is_told_by_its_place(text: str, place: str) -> None:
    for read in (lambda: rpc_urls(text), lambda: ChainResource(rpc_url=text).rpc()):
        with pytest.raises(SettingsError, match=place) as refused:
            read()
        assert "LCAI_RPC" in str(refused.value)
        assert "example" not in str(refused.value)
        assert "key" not in str(refused.value)


def test_the_resource_has_all_endpoints_and_the_configured_range() -> None:
    rpc = ChainResource(rpc_url=f"{ONE}, {TWO}", max_block_range=300).rpc()
    assert len(rpc.endpoints) == 2
    assert [one.range.maximum for one in rpc.endpoints] == [300, 300]
