"""The servers the tests and the demo run on."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, text

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.processes import Anvil


def test_a_database_is_migrated_and_empty(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("insert into pipeline.signers values (504, '0x00', 1)"))
        assert connection.execute(text("select count(*) from pipeline.signers")).scalar() == 1


def test_a_row_of_one_test_is_not_seen_by_the_next(database: Engine) -> None:
    with database.connect() as connection:
        assert connection.execute(text("select count(*) from pipeline.signers")).scalar() == 0


def test_a_chain_starts_blank_with_our_chain_id(anvil: Anvil) -> None:
    assert anvil.rpc("eth_chainId") == hex(504)
    assert anvil.block_number() == 0
    anvil.mine(3)
    assert anvil.block_number() == 3


def test_a_chain_is_set_back_between_tests(anvil: Anvil) -> None:
    assert anvil.block_number() == 0


def test_a_chain_of_its_own_takes_flags(fresh_anvil: Callable[..., Anvil]) -> None:
    node = fresh_anvil("--slots-in-an-epoch", "1")
    node.mine(5)
    assert int(node.rpc("eth_getBlockByNumber", "finalized", False)["number"], 16) == 3


def test_the_contracts_are_on_the_chain_a_test_gets_with_them(
    devnet: Deployment, anvil: Anvil
) -> None:
    assert anvil.rpc("eth_getCode", devnet.challengepay, "latest") != "0x"
    assert anvil.rpc("eth_chainId") == hex(504)
    anvil.mine(100)


def test_the_contracts_chain_is_set_back_between_tests(devnet: Deployment, anvil: Anvil) -> None:
    assert anvil.block_number() < 100
    assert anvil.rpc("eth_getCode", devnet.challengepay, "latest") != "0x"
