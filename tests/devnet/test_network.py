"""The inference network: what it does about a request, and what it lives through."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import Deployment, deploy
from lightchallenge_dagster.devnet.network import FINALIZED, Action, Network, response_for
from lightchallenge_dagster.devnet.ports import free_port
from lightchallenge_dagster.devnet.processes import Anvil, start_anvil
from lightchallenge_dagster.devnet.supervisor import Supervisor
from tests.devnet.world import World

PATIENCE_S = 60.0


def names(actions: list[Action]) -> list[str]:
    return [action.name for action in actions]


def test_a_request_goes_from_bond_to_quorum_one_step_a_round(client: Client, world: World) -> None:
    challenge_id = world.challenge()
    request_id = client.request_inference(world.worker, challenge_id, world.bob.address)
    rounds = [names(world.network.step()) for _ in range(5)]
    assert rounds == [["bond"], ["commit"], ["reveal"], ["attest", "attest"], []]
    request = client.request(request_id)
    assert request.status == FINALIZED
    assert request.response == response_for(challenge_id)
    assert request.worker == wallets.network_worker().address
    count = client.view("aivm_inference", "poiAttestationCount", request.task_id)
    assert count == client.view("aivm_inference", "poiQuorum") == 2
    agreed = client.view("aivm_inference", "poiResultHashByTask", request.task_id)
    assert agreed == request.response_hash


def test_a_challenge_goes_from_request_to_payout(client: Client, world: World) -> None:
    challenge_id = world.started()
    world.win(challenge_id, world.bob)
    world.finish(challenge_id)
    assert client.challenge(challenge_id).outcome == 1
    assert client.claim_winner(world.bob, challenge_id) > 10**18


def test_many_requests_advance_in_the_same_round(client: Client, world: World) -> None:
    for _ in range(3):
        challenge_id = world.challenge()
        client.request_inference(world.worker, challenge_id, world.alice.address)
    rounds = [names(world.network.step()) for _ in range(4)]
    assert rounds == [["bond"], ["commit"] * 3, ["reveal"] * 3, ["attest"] * 6]
    assert {client.request(number).status for number in (1, 2, 3)} == {FINALIZED}


def test_a_restarted_worker_reveals_what_it_committed_before(client: Client, world: World) -> None:
    challenge_id = world.challenge()
    request_id = client.request_inference(world.worker, challenge_id, world.alice.address)
    assert names(world.network.step() + world.network.step()) == ["bond", "commit"]
    restarted = Network.of(world.deployment)
    assert names(restarted.run_until_idle()) == ["reveal", "attest", "attest"]
    assert client.request(request_id).status == FINALIZED


def test_a_prompt_of_no_known_challenge_is_left_alone_and_told_once(
    client: Client, world: World
) -> None:
    lines: list[str] = []
    network = Network.of(world.deployment, log=lines.append)
    challenge_id = world.challenge()
    client.request_inference(world.worker, challenge_id, world.carol.address)
    assert network.step() == network.step() == []
    assert lines == ["request 1 is about no staker of a known challenge"]
    # Until that wallet stakes.
    client.join(world.carol, challenge_id)
    network.run_until_idle()
    assert client.request(1).status == FINALIZED


def test_another_workers_commitment_is_not_revealed_but_its_result_is_attested(
    client: Client, world: World
) -> None:
    challenge_id = world.challenge()
    request_id = world.committed(challenge_id, by=world.dave)
    assert world.network.run_until_idle() == []
    world.reveal(request_id, response_for(challenge_id), by=world.dave)
    assert names(world.network.run_until_idle()) == ["attest", "attest"]
    assert client.request(request_id).status == FINALIZED


def test_a_request_past_its_deadline_is_let_go(client: Client, world: World) -> None:
    challenge_id = world.challenge()
    client.request_inference(world.worker, challenge_id, world.alice.address)
    client.travel(601)
    assert world.network.run_until_idle() == []


def test_validators_add_only_what_the_quorum_lacks(client: Client, world: World) -> None:
    request_id = world.revealed(world.challenge())
    first = wallets.validators()[0]
    world.attest(request_id, first)
    (action,) = world.network.run_until_idle()
    assert (action.name, action.sender) == ("attest", wallets.validators()[1].address)
    assert client.request(request_id).status == FINALIZED


def test_a_quorum_beyond_all_validators_leaves_the_request_open_and_the_network_idle(
    client: Client, world: World
) -> None:
    client.send(world.admin, "aivm_inference", "setPoiQuorum", 4)
    request_id = world.revealed(world.challenge())
    assert names(world.network.run_until_idle()) == ["attest"] * 3
    assert client.request(request_id).status == 3


def test_validators_do_not_attest_against_each_other(client: Client, world: World) -> None:
    request_id = world.revealed(world.challenge())
    world.attest(request_id, wallets.validators()[0], result_hash="0x" + "0d" * 32)
    assert world.network.run_until_idle() == []
    assert client.request(request_id).status == 3


def test_a_refusal_is_an_action_and_is_told_once(client: Client, world: World) -> None:
    """A validator that is no longer one signs on, and the others' work goes on."""
    lines: list[str] = []
    network = Network.of(world.deployment, log=lines.append)
    retired = wallets.validators()[0].address
    client.send(world.admin, "aivm_inference", "setValidator", retired, False)
    world.revealed(world.challenge())
    first, second = network.step(), network.step()
    assert [(one.sender == retired, one.refused) for one in first] == [
        (True, "NotActiveValidator"),
        (False, None),
    ]
    assert [one.refused for one in second] == ["NotActiveValidator"]
    assert len([line for line in lines if "NotActiveValidator" in line]) == 1


def test_a_chain_that_was_set_back_is_served_again(
    client: Client, world: World, anvil: Anvil
) -> None:
    challenge_id = world.challenge()
    before = anvil.snapshot()
    for _ in range(2):
        inner = anvil.snapshot()
        client.request_inference(world.worker, challenge_id, world.alice.address)
        world.network.run_until_idle()
        assert client.request(1).status == FINALIZED
        anvil.revert(inner)
        assert client.request(1).status == 0
    anvil.revert(before)


def test_it_works_on_a_chain_that_takes_its_time(fresh_anvil: Callable[..., Anvil]) -> None:
    node = fresh_anvil("--block-time", "1")
    deployment = deploy(node.url, min_lead_s=1)
    client, network = Client(deployment), Network.of(deployment)
    alice = wallets.anvil_account(9)
    challenge_id = client.create_challenge(alice)
    request_id = client.request_inference(deployment.worker, challenge_id, alice.address)
    assert len(network.run_until_idle()) == 5
    assert client.request(request_id).status == FINALIZED


def test_the_process_waits_for_its_node_serves_it_and_stops_when_told(
    supervisor: Supervisor, devnet: Deployment, tmp_path: Path
) -> None:
    """Started before its node is there; a first deployment has the same addresses anywhere."""
    port = free_port()
    output = tmp_path / "network.log"
    command = [sys.executable, "-m", "lightchallenge_dagster.devnet.network"]
    command += ["--rpc", f"http://127.0.0.1:{port}/?key=secret-key", "--poll", "0.1"]
    command += ["--aivm", devnet.aivm_inference, "--challengepay", devnet.challengepay]
    with output.open("w") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT)
    try:
        until(lambda: "waiting: " in output.read_text())
        node = start_anvil(supervisor, name="anvil-late", port=port)
        assert node.url.endswith(f":{port}")
        deployment = deploy(node.url)
        assert deployment.aivm_inference == devnet.aivm_inference
        client, alice = Client(deployment), wallets.anvil_account(9)
        challenge_id = client.create_challenge(alice)
        request_id = client.request_inference(deployment.worker, challenge_id, alice.address)
        until(lambda: client.request(request_id).status == FINALIZED or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        node.handle.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    said = output.read_text()
    assert said.count(f"commit request {request_id} ") == 1
    assert said.rstrip().endswith("network: stopped")
    assert "secret-key" not in said


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
