"""What money depends on: joins, windows, silent proofs, pauses, ends, fees and claims."""

from __future__ import annotations

from lightchallenge_dagster.devnet import client as protocol
from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import Client, Receipt
from tests.devnet.world import ETHER, World


def names(receipt: Receipt) -> list[str]:
    return [event.name for event in receipt.events]


# ── joining ─────────────────────────────────────────────────────────────────────────────


def test_ids_start_at_two(client: Client, world: World) -> None:
    assert [client.create_challenge(world.alice), client.create_challenge(world.bob)] == [2, 3]


def test_the_creators_stake_counts_as_a_join_without_a_joined_event(
    client: Client, world: World
) -> None:
    challenge_id = client.create_challenge(world.alice, stake=3 * ETHER)
    challenge = client.challenge(challenge_id)
    assert (challenge.pool, challenge.participants_count) == (3 * ETHER, 1)
    assert client.contribution(challenge_id, world.alice.address) == 3 * ETHER
    assert client.events("challengepay", name="Joined") == []
    (created,) = client.events("challengepay", name="ChallengeCreated")
    assert created.args == {
        "id": challenge_id,
        "creator": world.alice.address,
        "kind": 0,
        "currency": 0,
        "token": protocol.ZERO_ADDRESS,
        "startTs": challenge.start_ts,
        "externalId": protocol.ZERO_HASH,
    }


def test_several_joins_of_one_wallet_add_up(client: Client, world: World) -> None:
    challenge_id = client.create_challenge(world.alice, stake=ETHER, max_participants=2)
    client.join(world.bob, challenge_id, 2 * ETHER)
    client.join(world.bob, challenge_id, 5)
    client.join(world.alice, challenge_id, 7)
    assert client.contribution(challenge_id, world.bob.address) == 2 * ETHER + 5
    assert client.contribution(challenge_id, world.alice.address) == ETHER + 7
    challenge = client.challenge(challenge_id)
    assert (challenge.participants_count, challenge.pool) == (2, 3 * ETHER + 12)
    joined = [event.args["amount"] for event in client.events("challengepay", name="Joined")]
    assert joined == [2 * ETHER, 5, 7]


def test_a_join_is_refused_from_the_closing_second_on(client: Client, world: World) -> None:
    challenge_id = world.challenge({})
    start = client.challenge(challenge_id).start_ts
    args = ("challengepay", "joinChallengeNative", challenge_id)
    assert client.challenge(challenge_id).join_closes_ts == start
    assert world.outcome_at(start - 1, world.bob, *args, value=1) == "ok"
    assert world.outcome_at(start, world.bob, *args, value=1) == "JoinWindowClosed"


def test_joining_closes_earlier_when_the_creator_says_so(client: Client, world: World) -> None:
    closes = client.now() + 50
    challenge_id = world.challenge({}, join_closes_ts=closes)
    args = ("challengepay", "joinChallengeNative", challenge_id)
    assert world.outcome_at(closes - 1, world.bob, *args, value=1) == "ok"
    assert world.outcome_at(closes, world.bob, *args, value=1) == "JoinWindowClosed"


def test_a_start_may_be_exactly_as_near_as_the_admin_allows(client: Client, world: World) -> None:
    def create_at(now: int, lead: int) -> str:
        start = now + lead
        verifier = world.deployment.poi_verifier
        params = (0, 0, protocol.ZERO_ADDRESS, 1, 0, start, 1, 0, verifier, start + 1)
        args = ((*params, protocol.ZERO_HASH),)
        return world.outcome_at(now, world.alice, "challengepay", "createChallenge", *args, value=1)

    now = client.now()
    assert create_at(now + 10, 60) == "ok"
    assert create_at(now + 20, 59) == "LeadTimeOutOfBounds"
    client.send(world.admin, "challengepay", "setLeadTimeBounds", 5, 100)
    now = client.now()
    assert create_at(now + 10, 5) == "ok"
    assert create_at(now + 20, 4) == "LeadTimeOutOfBounds"
    assert create_at(now + 30, 100) == "ok"
    assert create_at(now + 40, 101) == "LeadTimeOutOfBounds"


# ── proofs ──────────────────────────────────────────────────────────────────────────────


def test_a_proof_that_fails_is_mined_without_a_winner_and_without_a_refusal(
    client: Client, world: World
) -> None:
    challenge_id = world.started()
    receipt = client.submit_proof(world.finalizer, challenge_id, world.bob.address, "0x")
    assert names(receipt) == ["ParticipantProofSubmitted"]
    assert receipt.events[0].args == {
        "id": challenge_id,
        "participant": world.bob.address,
        "verifier": world.deployment.poi_verifier,
        "ok": False,
    }
    assert not client.is_winner(challenge_id, world.bob.address)
    assert client.challenge(challenge_id).winners_count == 0


def test_a_proof_of_a_winner_marks_the_winner(client: Client, world: World) -> None:
    challenge_id = world.started()
    proof = world.good_proof(challenge_id, world.bob)
    receipt = client.submit_proof(world.finalizer, challenge_id, world.bob.address, proof)
    assert names(receipt) == ["ParticipantProofSubmitted", "WinnerMarked"]
    assert receipt.events[0].args["ok"] is True
    assert receipt.events[1].args == {
        "id": challenge_id,
        "participant": world.bob.address,
        "contrib": ETHER,
        "winnersPool": ETHER,
        "winnersCount": 1,
    }
    assert client.is_winner(challenge_id, world.bob.address)


def test_one_inference_serves_every_winner_with_a_binding_of_their_own(
    client: Client, world: World
) -> None:
    challenge_id = world.started()
    request_id = world.request(challenge_id)
    client.bind(world.worker, challenge_id, world.bob.address, request_id)
    proofs = {
        one.address: client.proof(challenge_id, one.address, request_id)
        for one in (world.alice, world.bob)
    }
    receipt = client.submit_proofs(world.finalizer, challenge_id, proofs)
    assert [event.args.get("ok") for event in receipt.events] == [False, True, None]
    assert not client.is_winner(challenge_id, world.alice.address)
    assert client.is_winner(challenge_id, world.bob.address)

    client.bind(world.worker, challenge_id, world.alice.address, request_id)
    client.submit_my_proof(world.alice, challenge_id, proofs[world.alice.address])
    assert client.is_winner(challenge_id, world.alice.address)


def test_whoever_is_bound_can_make_themselves_a_winner(client: Client, world: World) -> None:
    challenge_id = world.started()
    proof = world.good_proof(challenge_id, world.bob)
    client.submit_my_proof(world.bob, challenge_id, proof)
    assert client.is_winner(challenge_id, world.bob.address)


def test_a_cleared_binding_no_longer_wins(client: Client, world: World) -> None:
    challenge_id = world.started()
    proof = world.good_proof(challenge_id, world.bob)
    args = ("task_registry", "clearBinding", challenge_id, world.bob.address)
    assert names(client.send(world.worker, *args)) == ["BindingCleared"]
    assert not client.is_bound(challenge_id, world.bob.address)
    client.submit_my_proof(world.bob, challenge_id, proof)
    assert not client.is_winner(challenge_id, world.bob.address)
    assert names(client.send(world.worker, *args)) == []


def test_a_batch_is_refused_whole_when_one_entry_is_refused(client: Client, world: World) -> None:
    challenge_id = world.started()
    proofs = {world.bob.address: world.good_proof(challenge_id, world.bob)}
    outcome = world.outcome_at(
        client.now() + 1,
        world.finalizer,
        "challengepay",
        "submitProofForBatch",
        challenge_id,
        [*proofs, world.carol.address],
        [*proofs.values(), "0x"],
    )
    assert outcome == "NotEligible"
    assert not client.is_winner(challenge_id, world.bob.address)


def test_a_failing_proof_for_a_winner_is_not_refused(client: Client, world: World) -> None:
    challenge_id = world.started()
    world.win(challenge_id, world.bob)
    receipt = client.submit_proof(world.finalizer, challenge_id, world.bob.address, "0x")
    assert receipt.events[0].args["ok"] is False
    assert client.is_winner(challenge_id, world.bob.address)


def test_proofs_are_taken_from_the_start_to_the_deadline_both_included(
    client: Client, world: World
) -> None:
    challenge_id = world.challenge()
    challenge = client.challenge(challenge_id)
    args = ("challengepay", "submitMyProof", challenge_id, "0x")
    start, deadline = challenge.start_ts, challenge.proof_deadline_ts
    assert world.outcome_at(start - 1, world.bob, *args) == "ProofNotOpen"
    assert world.outcome_at(start, world.bob, *args) == "ok"
    assert world.outcome_at(deadline, world.bob, *args) == "ok"
    assert world.outcome_at(deadline + 1, world.bob, *args) == "ProofWindowClosed"


def test_the_admin_may_submit_without_being_a_dispatcher(client: Client, world: World) -> None:
    assert client.view("challengepay", "dispatchers", world.admin.address) is False
    challenge_id = world.started()
    proof = world.good_proof(challenge_id, world.bob)
    client.submit_proof(world.admin, challenge_id, world.bob.address, proof)
    assert client.is_winner(challenge_id, world.bob.address)


def test_a_moved_deadline_rescues_a_missed_proof(client: Client, world: World) -> None:
    challenge_id = world.started()
    proof = world.good_proof(challenge_id, world.bob)
    client.travel_to(client.challenge(challenge_id).proof_deadline_ts + 100)
    later = client.now() + 1000
    receipt = client.move_proof_deadline(challenge_id, later)
    assert receipt.event("VerificationConfigUpdated").args["proofDeadlineTs"] == later
    client.submit_proof(world.finalizer, challenge_id, world.bob.address, proof)
    assert client.is_winner(challenge_id, world.bob.address)
    finalize = ("challengepay", "finalize", challenge_id)
    assert world.outcome_at(later - 1, world.bob, *finalize) == "BeforeDeadline"


# ── pauses ──────────────────────────────────────────────────────────────────────────────


def test_a_paused_challenge_still_finalizes_and_pays(client: Client, world: World) -> None:
    challenge_id = world.started()
    world.win(challenge_id, world.bob)
    assert client.pause(challenge_id).event("Paused").args == {"id": challenge_id, "paused": True}
    assert client.challenge(challenge_id).paused
    world.finish(challenge_id)
    assert client.claim_winner(world.bob, challenge_id) > ETHER


def test_an_unpaused_challenge_takes_joins_again(client: Client, world: World) -> None:
    challenge_id = world.challenge({})
    client.pause(challenge_id)
    client.pause(challenge_id, paused=False)
    client.join(world.bob, challenge_id)
    assert client.contribution(challenge_id, world.bob.address) == ETHER


def test_a_global_pause_does_not_hold_back_what_the_treasury_has_granted(
    client: Client, world: World
) -> None:
    challenge_id = world.finished(world.bob)
    granted = client.claim_winner(world.bob, challenge_id)
    assert client.pause_all().event("GlobalPaused").args == {"paused": True}
    assert client.claim_eth(world.bob, challenge_id) == granted
    client.pause_all(paused=False)
    assert world.challenge() > challenge_id


# ── ends ────────────────────────────────────────────────────────────────────────────────


def test_anyone_finalizes_from_the_later_of_end_and_deadline_on(
    client: Client, world: World
) -> None:
    challenge_id = world.challenge()
    deadline = client.challenge(challenge_id).proof_deadline_ts
    args = ("challengepay", "finalize", challenge_id)
    assert world.outcome_at(deadline - 1, world.stranger, *args) == "BeforeDeadline"
    assert world.outcome_at(deadline, world.stranger, *args) == "ok"
    challenge = client.challenge(challenge_id)
    assert (challenge.status, challenge.outcome) == (protocol.FINALIZED, protocol.FAIL)


def test_a_winner_makes_the_outcome_a_success(client: Client, world: World) -> None:
    challenge_id = world.challenge()
    world.win(challenge_id, world.bob)
    receipt = world.finish(challenge_id)
    assert names(receipt) == ["FeesBooked", "SnapshotSet", "Finalized"]
    assert receipt.event("SnapshotSet").args == {"id": challenge_id, "success": True}
    assert receipt.event("Finalized").args == {"id": challenge_id, "status": 1, "outcome": 1}
    assert client.challenge(challenge_id).payouts_done


def test_without_a_winner_everything_goes_to_the_protocol(client: Client, world: World) -> None:
    challenge_id = world.challenge({"bob": 2 * ETHER, "carol": 3})
    receipt = world.finish(challenge_id)
    pool = 3 * ETHER + 3
    assert receipt.event("Finalized").args["outcome"] == protocol.FAIL
    assert receipt.event("FeesBooked").args == {
        "id": challenge_id,
        "protocolAmt": pool,
        "creatorAmt": 0,
        "cashback": 0,
    }
    assert client.claim_eth(wallets.protocol(), challenge_id) == pool


def test_an_id_that_was_never_created_finalizes_as_failed(client: Client, world: World) -> None:
    receipt = client.finalize(world.stranger, 2)
    assert receipt.event("Finalized").args == {"id": 2, "status": 1, "outcome": 2}
    assert client.challenge(2).status == protocol.FINALIZED
    # And the challenge that gets this id later starts anew.
    assert world.challenge() == 2
    challenge = client.challenge(2)
    assert (challenge.status, challenge.outcome) == (protocol.ACTIVE, protocol.NO_OUTCOME)
    assert not challenge.payouts_done
    world.win(2, world.bob)
    assert world.finish(2).event("Finalized").args["outcome"] == protocol.SUCCESS


def test_a_canceled_challenge_refunds_every_stake(client: Client, world: World) -> None:
    challenge_id = world.challenge({"bob": 2 * ETHER})
    assert names(client.cancel(world.alice, challenge_id)) == ["Canceled"]
    challenge = client.challenge(challenge_id)
    assert (challenge.status, challenge.canceled) == (protocol.CANCELED, True)
    assert client.claim_refund(world.bob, challenge_id) == 2 * ETHER
    assert client.eth_allowance(challenge_id, world.bob.address) == 2 * ETHER
    receipt = client.auto_refund(
        world.stranger, challenge_id, [world.alice.address, world.bob.address]
    )
    assert names(receipt) == ["RefundClaimed", "ClaimedETH", "AutoRefunded"]
    assert receipt.event("AutoRefunded").args["count"] == 1
    client.claim_eth(world.bob, challenge_id)
    assert client.view("treasury", "ethBalanceOf", challenge_id) == 0


def test_the_admin_may_cancel_too(client: Client, world: World) -> None:
    challenge_id = world.challenge()
    client.cancel(world.admin, challenge_id)
    assert client.challenge(challenge_id).status == protocol.CANCELED


def test_an_external_id_is_free_again_for_nobody(client: Client, world: World) -> None:
    external_id = "0x" + "ab" * 32
    challenge_id = world.challenge(external_id=external_id)
    assert client.view("challengepay", "challengeIdByExternalId", external_id) == challenge_id


# ── the treasury ────────────────────────────────────────────────────────────────────────


def test_a_claim_grants_and_the_wallet_pulls(client: Client, world: World) -> None:
    challenge_id = world.finished(world.bob)
    amount = client.claim_winner(world.bob, challenge_id)
    assert client.eth_allowance(challenge_id, world.bob.address) == amount
    before = client.balance(world.dave.address)
    client.claim_eth(world.bob, challenge_id, 10, to=world.dave.address)
    assert client.balance(world.dave.address) == before + 10
    client.claim_eth(world.bob, challenge_id)
    assert client.eth_allowance(challenge_id, world.bob.address) == 0
    claimed = client.events("treasury", name="ClaimedETH")
    assert [(event.args["to"], event.args["amount"]) for event in claimed] == [
        (world.dave.address, 10),
        (world.bob.address, amount - 10),
    ]
    assert {event.args["bucketId"] for event in claimed} == {challenge_id}


def test_fees_leave_through_the_same_claims(client: Client, world: World) -> None:
    challenge_id = world.finished(world.bob)
    # Alice's ether: a tenth back, then 3 % and 2 % of the rest.
    assert client.claim_eth(wallets.protocol(), challenge_id) == ETHER * 9 // 10 * 3 // 100
    assert client.claim_eth(world.alice, challenge_id) == ETHER * 9 // 10 * 2 // 100


def test_distributing_pays_at_once_and_passes_over_who_has_claimed(
    client: Client, world: World
) -> None:
    challenge_id = world.finished(world.bob, world.carol, stakes={"bob": ETHER, "carol": ETHER})
    client.claim_winner(world.carol, challenge_id)
    before = client.balance(world.bob.address)
    receipt = client.auto_distribute(
        world.stranger,
        challenge_id,
        [world.bob.address, world.carol.address],
        [world.alice.address],
    )
    assert names(receipt) == [
        "WinnerClaimed",
        "ClaimedETH",
        "LoserClaimed",
        "ClaimedETH",
        "AutoDistributed",
    ]
    distributed = receipt.event("AutoDistributed").args
    assert (distributed["winnersCount"], distributed["losersCount"]) == (1, 1)
    assert client.balance(world.bob.address) == before + receipt.events[0].args["amount"]
    assert client.eth_allowance(challenge_id, world.bob.address) == 0


def test_distributing_to_a_loser_without_cashback_tells_of_nothing_paid(
    client: Client, world: World
) -> None:
    client.send(world.admin, "challengepay", "setFeeConfig", (500, 300, 200, 0))
    challenge_id = world.finished(world.bob)
    receipt = client.auto_distribute(world.bob, challenge_id, [], [world.alice.address])
    assert names(receipt) == ["LoserClaimed", "AutoDistributed"]
    assert receipt.event("LoserClaimed").args["amount"] == 0


def test_a_wallet_that_takes_no_coins_does_not_hold_up_its_batch(
    client: Client, world: World
) -> None:
    challenge_id = world.challenge()
    role = client.view("treasury", "OPERATOR_ROLE")
    client.send(world.admin, "treasury", "grantRole", role, world.admin.address)
    refusing = world.deployment.metadata_registry
    receipt = client.send(world.admin, "treasury", "pushETH", challenge_id, refusing, 5)
    assert names(receipt) == []
    assert client.eth_allowance(challenge_id, refusing) == 5
    assert client.view("treasury", "ethBalanceOf", challenge_id) == 2 * ETHER
    client.send(world.admin, "treasury", "revokeRole", role, world.admin.address)
    assert not client.view("treasury", "hasRole", role, world.admin.address)


def test_stakes_in_tokens_are_paid_out_in_tokens(client: Client, world: World) -> None:
    token = world.deployment.token
    challenge_id = world.token_challenge(stake=ETHER)
    client.join_erc20(world.bob, challenge_id, 2 * ETHER)
    assert client.view("token", "balanceOf", world.deployment.treasury) == 3 * ETHER
    world.win(challenge_id, world.bob)
    world.finish(challenge_id)
    amount = client.claim_winner(world.bob, challenge_id)
    assert amount == 2 * ETHER + ETHER * 9 // 10 * 95 // 100
    receipt = client.send(world.bob, "treasury", "claimERC20", challenge_id, token, amount)
    assert receipt.event("ClaimedERC20").args == {
        "bucketId": challenge_id,
        "token": token,
        "to": world.bob.address,
        "amount": amount,
    }
    client.auto_distribute(world.stranger, challenge_id, [], [world.alice.address])
    assert client.view("token", "balanceOf", world.alice.address) == 9 * ETHER + ETHER // 10
    to = (challenge_id, token, world.dave.address, ETHER * 9 // 10 * 3 // 100)
    client.send(wallets.protocol(), "treasury", "claimERC20To", *to)
    assert client.view("token", "balanceOf", world.dave.address) == to[3]


# ── bindings, achievements, metadata ────────────────────────────────────────────────────


def test_a_binding_overwrites_the_one_before(client: Client, world: World) -> None:
    first, second = world.requested(), world.requested()
    client.bind(world.worker, 2, world.bob.address, first)
    client.bind(world.worker, 2, world.bob.address, second)
    binding = client.view("task_registry", "getBinding", 2, world.bob.address)
    task_id = client.request(second).task_id
    assert binding[:2] == (second, task_id)
    assert client.view("aivm_inference", "requestIdByTaskId", task_id) == second
    assert len(client.events("task_registry", name="BindingRecorded")) == 2


def test_stakers_take_completions_and_winners_victories(client: Client, world: World) -> None:
    challenge_id = world.finished(world.bob)
    tokens = [
        client.mint_achievement(world.alice, challenge_id, "completion"),
        client.mint_achievement(world.bob, challenge_id, "completion"),
        client.mint_achievement(world.bob, challenge_id, "victory"),
    ]
    assert tokens == [1, 2, 3]
    read = client.view("achievement", "achievementOf", 3)
    assert read == (challenge_id, world.bob.address, protocol.VICTORY, client.now())
    assert client.view("achievement", "ownerOf", 1) == world.alice.address
    assert client.view("achievement", "balanceOf", world.bob.address) == 2
    assert client.view("achievement", "locked", 3) is True
    assert client.view("achievement", "supportsInterface", "0xb45a3c0e") is True
    assert client.view("achievement", "supportsInterface", "0xffffffff") is False


def test_the_admins_mint_says_so(client: Client, world: World) -> None:
    token_id = client.admin_mint(world.dave.address, 41, "victory")
    minted, admin_minted = [
        event
        for event in client.events("achievement")
        if event.name in ("AchievementMinted", "AdminMinted")
    ]
    assert minted.args["aType"] == protocol.VICTORY
    assert admin_minted.args == {"tokenId": token_id, "to": world.dave.address, "challengeId": 41}


def test_metadata_is_written_once_corrected_loudly_and_cleared(
    client: Client, world: World
) -> None:
    owner, pay = world.deployment.metadata_owner, world.deployment.challengepay
    assert client.view("metadata_registry", "hasUri", pay, 2) is False
    client.send(owner, "metadata_registry", "ownerSet", pay, 2, "https://a/2")
    assert client.view("metadata_registry", "uri", pay, 2) == "https://a/2"
    receipt = client.send(owner, "metadata_registry", "ownerForceSet", pay, 2, "https://b/2")
    assert receipt.event("MetadataForceSet").args == {
        "challengeContract": pay,
        "challengeId": 2,
        "setter": owner.address,
        "previousUri": "https://a/2",
        "newUri": "https://b/2",
    }
    receipt = client.send(owner, "metadata_registry", "ownerClear", pay, 2)
    assert names(receipt) == ["MetadataCleared"]
    assert client.view("metadata_registry", "hasUri", pay, 2) is False


# ── inference by hand ───────────────────────────────────────────────────────────────────


def test_each_timeout_gives_the_fee_back_without_an_event(client: Client, world: World) -> None:
    stages = {
        "cancelExpired": (world.requested, 600, 5),
        "timeoutReveal": (world.committed, 1200, 6),
        "reclaimAfterFinalizeTimeout": (world.revealed, 3600, 6),
    }
    for function, (stage, seconds, status) in stages.items():
        request_id = stage()
        before = client.balance(world.worker.address)
        pending = client.view("aivm_inference", "pendingOf", world.worker.address)
        client.travel(seconds + 1)
        receipt = client.send(world.worker, "aivm_inference", function, request_id)
        assert receipt.events == ()
        assert client.request(request_id).status == status
        assert client.balance(world.worker.address) > before + 9 * 10**14
        after = client.view("aivm_inference", "pendingOf", world.worker.address)
        assert after == pending - 1


def test_a_quorum_for_something_else_than_was_revealed_is_a_dispute(
    client: Client, world: World
) -> None:
    request_id = world.revealed()
    wrong = "0x" + "0e" * 32
    for validator in wallets.validators()[:2]:
        world.attest(request_id, validator, result_hash=wrong)
    assert client.request(request_id).status == 7
    before = client.balance(world.worker.address)
    client.travel(3601)
    client.send(world.worker, "aivm_inference", "reclaimAfterFinalizeTimeout", request_id)
    assert client.request(request_id).status == 6
    assert client.balance(world.worker.address) > before + 9 * 10**14


def test_a_request_attested_before_its_reveal_finalizes_with_the_reveal(
    client: Client, world: World
) -> None:
    from eth_utils.crypto import keccak

    request_id = world.committed()
    response = '{"challengeId":"2","verified":true}'
    result = "0x" + keccak(text=response).hex()
    for validator in wallets.validators()[:2]:
        world.attest(request_id, validator, result_hash=result)
    assert names(world.reveal(request_id, response)) == ["InferenceRevealed", "InferenceFinalized"]
    assert client.request(request_id).status == 4


def test_the_worker_is_paid_what_the_protocol_leaves(client: Client, world: World) -> None:
    from lightchallenge_dagster.devnet.network import FINALIZED

    request_id = world.request(world.challenge())
    assert client.request(request_id).status == FINALIZED
    (event,) = client.events("aivm_inference", name="InferenceFinalized")
    assert event.args["workerPaidWei"] == 95 * 10**13
    assert event.args["protocolFeeWei"] == 5 * 10**13
    worker = wallets.network_worker()
    bond = client.view("aivm_inference", "bondOf", worker.address)
    assert bond == 10**18 + 95 * 10**13
    before = client.balance(worker.address)
    client.send(worker, "aivm_inference", "withdrawBond", bond)
    assert client.balance(worker.address) > before + 9 * 10**17
