"""Deploying: who may do what afterwards, what is printed, and what is kept quiet."""

from __future__ import annotations

import pytest

from lightchallenge_dagster.devnet import deploy as deploying
from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import CONTRACTS, Deployment, Fees, deploy
from lightchallenge_dagster.devnet.errors import ContractRefused, DevnetError, NodeUnavailable
from lightchallenge_dagster.devnet.node import Node
from lightchallenge_dagster.devnet.ports import free_port
from lightchallenge_dagster.devnet.processes import Anvil
from tests.devnet.world import ETHER

ENV_NAMES = [
    "LCAI_CHAIN_ID",
    "START_BLOCK",
    "CHALLENGEPAY_ADDRESS",
    "TREASURY_ADDRESS",
    "AIVM_INFERENCE_V2_ADDRESS",
    "AIVM_TASK_REGISTRY_ADDRESS",
    "CHALLENGEPAY_AIVM_POI_VERIFIER_ADDRESS",
    "NEXT_PUBLIC_ACHIEVEMENT_ADDR",
    "METADATA_REGISTRY",
]


def test_every_contract_is_there_from_the_start_block_on_and_small_enough_for_any_chain(
    devnet: Deployment, anvil: Anvil
) -> None:
    for role in CONTRACTS:
        address = getattr(devnet, role)
        assert address == address.lower()
        code = anvil.rpc("eth_getCode", address, "latest")
        assert 0 < (len(code) - 2) // 2 <= 24_576, role
        before = anvil.rpc("eth_getCode", address, hex(devnet.start_block - 1))
        assert before == "0x", role


def test_everyone_may_do_their_part_and_no_more(devnet: Deployment) -> None:
    client = Client(devnet)
    for wallet in (devnet.worker, devnet.finalizer):
        assert client.view("challengepay", "dispatchers", wallet.address)
        assert client.view("task_registry", "dispatchers", wallet.address)
    assert client.view("challengepay", "admin") == devnet.admin.address
    assert client.view("task_registry", "owner") == devnet.admin.address
    assert client.view("metadata_registry", "owner") == devnet.metadata_owner.address
    role = client.view("treasury", "OPERATOR_ROLE")
    assert client.view("treasury", "hasRole", role, devnet.challengepay)
    assert not client.view("treasury", "hasRole", role, devnet.admin.address)
    for validator in wallets.validators():
        assert client.view("aivm_inference", "validators", validator.address)
    assert client.view("aivm_inference", "poiQuorum") == 2
    assert client.view("challengepay", "minLeadTime") == 60


def test_options_reach_the_contracts(anvil: Anvil) -> None:
    worker, owner = wallets.user("own worker"), wallets.user("own owner")
    deployment = deploy(
        anvil.url,
        admin_key=wallets.anvil_account(9).key,
        worker_address=worker.address,
        finalizer_address=worker.address,
        metadata_owner_address=owner.address,
        protocol_address=owner.address,
        min_lead_s=3,
        fees=Fees(forfeit_bps=10, protocol_bps=10, creator_bps=0, cashback_bps=0),
        poi_quorum=1,
        min_request_fee_wei=7,
    )
    client = Client(deployment)
    assert deployment.admin == wallets.anvil_account(9)
    assert client.view("challengepay", "dispatchers", worker.address)
    assert client.view("challengepay", "feeConfig") == (10, 10, 0, 0)
    assert client.view("challengepay", "minLeadTime") == 3
    assert client.view("challengepay", "protocol") == owner.address
    assert client.view("aivm_inference", "poiQuorum") == 1
    assert client.view("aivm_inference", "minRequestFeeWei") == 7
    assert client.view("metadata_registry", "owner") == owner.address
    # Nobody else would fund wallets that anvil does not know.
    assert client.balance(worker.address) == client.balance(owner.address) == 10 * ETHER
    with pytest.raises(DevnetError, match="none of anvil's accounts"):
        _ = deployment.worker


@pytest.mark.parametrize("nonce", [127, 128, 255, 256, 70_000])
def test_addresses_are_foreseen_whatever_the_admin_did_before(anvil: Anvil, nonce: int) -> None:
    anvil.rpc("anvil_setNonce", wallets.admin().address, hex(nonce))
    client = Client(deploy(anvil.url))
    assert client.view("challengepay", "treasury") == client.deployment.treasury
    assert client.create_challenge(wallets.anvil_account(9)) == 2


def test_two_deployments_on_one_chain_know_nothing_of_each_other(
    devnet: Deployment, anvil: Anvil
) -> None:
    second = deploy(anvil.url)
    assert second.start_block > devnet.start_block
    Client(second).create_challenge(wallets.anvil_account(9))
    assert Client(devnet).challenge(2).creator == "0x" + "00" * 20


def test_the_command_prints_the_lines_of_an_env_file(
    anvil: Anvil, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploying.main(["--rpc", anvil.url]) == 0
    lines = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == ENV_NAMES
    assert lines["LCAI_CHAIN_ID"] == "504"
    code = anvil.rpc("eth_getCode", lines["CHALLENGEPAY_ADDRESS"], "latest")
    assert len(code) > 2


def test_the_command_prints_keys_only_when_asked(
    anvil: Anvil, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploying.main(["--rpc", anvil.url, "--keys"]) == 0
    lines = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == [
        *ENV_NAMES,
        "LCAI_RPC",
        "LCAI_WORKER_PK",
        "LCAI_FINALIZE_PK",
        "METADATA_REGISTRY_KEY",
    ]
    assert wallets.wallet_of(lines["LCAI_WORKER_PK"]) == wallets.worker()


def test_the_command_says_what_is_wrong_without_the_nodes_url(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert deploying.main(["--rpc", f"http://127.0.0.1:{free_port()}/secret-key"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "eth_getTransactionCount" in said.err
    assert "secret-key" not in said.err


def test_nothing_secret_shows_in_a_deployments_text(devnet: Deployment) -> None:
    shown = repr(devnet) + repr(wallets.validators())
    assert devnet.admin.key not in shown
    assert devnet.rpc_url not in shown


def test_an_outage_is_no_refusal_and_hides_the_url() -> None:
    node = Node(f"http://127.0.0.1:{free_port()}/secret-key", timeout_s=1)
    with pytest.raises(NodeUnavailable) as outage:
        node.block_number()
    assert not isinstance(outage.value, ContractRefused)
    assert "secret-key" not in str(outage.value)


def test_sending_does_not_drive_up_the_price_of_gas(devnet: Deployment, anvil: Anvil) -> None:
    """anvil suggests what was paid lately: paying twice its suggestion would explode."""
    client, payer = Client(devnet), wallets.anvil_account(9)
    before = int(anvil.rpc("eth_gasPrice"), 16)
    for _ in range(10):
        client.node.transact(payer, payer.address, "0x")
    assert int(anvil.rpc("eth_gasPrice"), 16) <= 2 * before
