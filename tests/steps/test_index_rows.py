"""What single events make of the rows that are there already, or are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.network import Network
from lightchallenge_dagster.devnet.wallets import Wallet
from lightchallenge_dagster.rules.events import topic_of
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps import health, index
from lightchallenge_dagster.storage.projections import sync_jobs
from tests.steps.index_world import World, open_world

ETH = 10**18


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


def won(world: World, creator: Wallet, *others: Wallet) -> int:
    """A finalized challenge that its creator won."""
    client = world.client
    worker, finalizer = world.deployment.worker, world.deployment.finalizer
    challenge = client.create_challenge(creator, stake=2 * ETH)
    for other in others:
        client.join(other, challenge, ETH)
    request = client.request_inference(worker, challenge, creator.address)
    Network.of(world.deployment).run_until_idle()
    client.bind(worker, challenge, creator.address, request)
    client.travel_to(client.challenge(challenge).start_ts)
    client.submit_proof(
        finalizer, challenge, creator.address, client.proof(challenge, creator.address, request)
    )
    client.travel_to(client.challenge(challenge).proof_deadline_ts)
    client.finalize(finalizer, challenge)
    return challenge


def log_from(client: Client, topics: list[str], data: str = "") -> str:
    """Deploy a contract that emits this one log whenever it is called; its address.

    The code pushes the topics and copies the data from its own end.
    """
    payload = bytes.fromhex(data)
    pushes = b"".join(b"\x7f" + bytes.fromhex(topic[2:]) for topic in reversed(topics))
    size = len(payload).to_bytes(2, "big")
    head = 8 + len(pushes) + 7 + 1 + 1
    code = b"\x61" + size + b"\x61" + head.to_bytes(2, "big") + b"\x60\x00\x39"  # CODECOPY
    code = b"\x61" + size + b"\x61" + (head + 2).to_bytes(2, "big") + b"\x60\x00\x39" + pushes
    code += b"\x61" + size + b"\x60\x00" + bytes([0xA0 + len(topics)]) + b"\x00"
    code = code.ljust(head + 2, b"\x00") + payload
    address = "0x" + "%040x" % (0xFACE0000 + len(topics) * 256 + len(payload))
    client.node.call("anvil_setCode", address, "0x" + code.hex())
    return address


def word(value: int) -> str:
    return f"0x{value:064x}"


def test_an_unpause_and_a_finalize_in_one_block_end_finalized(world: World) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    challenge = client.create_challenge(alice)
    client.pause(challenge)
    world.follow()
    assert world.rows("select status from public.challenges") == [{"status": "Paused"}]
    client.travel_to(client.challenge(challenge).proof_deadline_ts)
    client.node.call("evm_setAutomine", False)
    try:
        for wallet, function, arguments in (
            (world.deployment.admin, "pauseChallenge", (challenge, False)),
            (alice, "finalize", (challenge,)),
        ):
            send_unmined(client, wallet, function, *arguments)
        client.node.call("evm_mine")
    finally:
        client.node.call("evm_setAutomine", True)

    world.follow()

    last = world.rows(
        "select event, block_number from pipeline.chain_logs order by block_number, log_index"
    )
    both = [
        row for row in last if row["event"] in ("ChallengePay.Paused", "ChallengePay.Finalized")
    ]
    assert both[-1]["block_number"] == both[-2]["block_number"]
    assert world.rows("select status, chain_outcome from public.challenges") == [
        {"status": "Finalized", "chain_outcome": 2}
    ]


def send_unmined(client: Client, wallet: Wallet, function: str, *arguments: object) -> None:
    data = client._abis[client.deployment.challengepay].encode(function, *arguments)
    client.node.call("anvil_impersonateAccount", wallet.address)
    client.node.call(
        "eth_sendTransaction",
        {
            "from": wallet.address,
            "to": client.deployment.challengepay,
            "data": data,
            "gas": hex(500_000),
        },
    )


def test_finalizing_an_id_that_was_never_created_makes_no_row(world: World) -> None:
    (alice,) = world.funded("alice")
    world.client.finalize(alice, 4711)

    report = world.follow()

    assert report.undecoded == 0
    assert {"event": "ChallengePay.Finalized", "challenge_id": 4711} in world.rows(
        "select event, challenge_id from pipeline.chain_logs"
    )
    assert all(rows == [] for rows in world.projections().values())
    assert world.rows("select 1 from pipeline.adopted_rows") == []


def test_a_challenge_finalized_before_it_existed_is_active(world: World) -> None:
    (alice,) = world.funded("alice")
    world.client.finalize(alice, 2)
    assert world.client.create_challenge(alice) == 2

    world.follow()

    assert world.rows("select status, chain_outcome from public.challenges") == [
        {"status": "Active", "chain_outcome": None}
    ]
    assert world.rows("select status, outcome from pipeline.chain_challenges") == [
        {"status": "Active", "outcome": None}
    ]


def test_of_a_web_app_row_only_status_outcome_and_a_missing_hash_are_written(
    world: World,
) -> None:
    (alice,) = world.funded("alice")
    challenge = world.client.create_challenge(alice)
    world.run(
        "insert into public.challenges (id, title, subject, params, proof, timeline, status)"
        """ values (:id, 'T', '0xother', '{"a": 1}', '{"p": 2}', '{"start": 1}', 'APPROVED')""",
        id=challenge,
    )
    before = world.rows("select title, subject, params, proof, timeline from public.challenges")

    world.follow()

    assert before == world.rows(
        "select title, subject, params, proof, timeline from public.challenges"
    )
    (row,) = world.rows("select status, tx_hash, chain_outcome from public.challenges")
    assert (row["status"], row["chain_outcome"]) == ("Active", None)
    created = world.rows("select created_tx from pipeline.chain_challenges")[0]["created_tx"]
    assert row["tx_hash"] == created


def test_a_rejected_challenge_stays_rejected(world: World) -> None:
    (alice,) = world.funded("alice")
    challenge = world.client.create_challenge(alice)
    world.run("insert into public.challenges (id, status) values (:id, 'pending')", id=challenge)
    world.follow()
    world.run("update public.challenges set status = 'Rejected'")
    world.client.cancel(alice, challenge)

    world.follow()

    assert world.rows("select status from public.challenges") == [{"status": "Rejected"}]
    assert world.rows("select status from pipeline.chain_challenges") == [{"status": "Canceled"}]


def test_a_status_that_ended_before_the_first_block_is_not_reopened(world: World) -> None:
    (alice,) = world.funded("alice")
    challenge = world.client.create_challenge(alice)
    world.run(
        "insert into public.challenges (id, status, chain_outcome) values (:id, 'finalized', 1)",
        id=challenge,
    )

    world.follow()

    assert world.rows("select status, chain_outcome from public.challenges") == [
        {"status": "Finalized", "chain_outcome": 1}
    ]


def test_the_web_apps_claim_row_is_completed_not_doubled(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = won(world, alice, bob)
    world.run(
        "insert into public.claims (challenge_id, subject, claim_type, amount_wei, source,"
        " metadata) values (:c, :s, 'winner', 0, 'ui', '{\"gas\": \"21000\"}')",
        c=challenge,
        s="0x" + alice.address[2:].upper(),
    )
    amount = world.client.claim_winner(alice, challenge)

    world.follow()

    (row,) = world.rows("select * from public.claims where claim_type = 'winner'")
    assert (row["amount_wei"], row["source"]) == (amount, "indexer")
    assert row["metadata"]["gas"] == "21000"
    assert [event["amount_wei"] for event in row["metadata"]["events"]] == [str(amount)]
    assert row["bucket_id"] == challenge
    assert row["tx_hash"] == row["metadata"]["events"][0]["tx_hash"]


def test_what_a_claim_row_counted_before_the_first_block_stays_counted(world: World) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    challenge = client.create_challenge(alice)
    client.cancel(alice, challenge)
    client.claim_refund(alice, challenge)
    client.claim_eth(alice, challenge, ETH // 4)
    start = client.node.block_number() + 1
    world.run(
        "insert into public.claims (challenge_id, subject, claim_type, amount_wei, source,"
        " tx_hash, block_number) values (:c, :s, 'treasury_eth', :w, 'indexer', '0xold', :b)",
        c=challenge,
        s=alice.address,
        w=ETH // 4,
        b=start - 1,
    )
    client.claim_eth(alice, challenge)

    world.follow(policy=replace(world.policy, start_block=start))

    assert world.rows("select claim_type, amount_wei from public.claims") == [
        {"claim_type": "treasury_eth", "amount_wei": ETH}
    ]
    assert health.violations(world.engine, "claims_match_events").healthy
    world.run("update public.claims set amount_wei = :w", w=ETH - ETH // 4)
    (wrong,) = health.violations(world.engine, "claims_match_events").rows
    assert wrong[-2:] == (ETH - ETH // 4, ETH), "what the events alone say is too little"


def test_winners_losers_and_their_treasury_claims_equal_the_events(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = won(world, alice, bob)
    winner = world.client.claim_winner(alice, challenge)
    loser = world.client.claim_loser(bob, challenge)
    # The creator's fee leaves by the same door.
    pulled = world.client.claim_eth(alice, challenge)
    assert pulled > winner
    world.client.claim_eth(bob, challenge)

    world.follow()

    rows = world.rows("select subject, claim_type, amount_wei from public.claims")
    assert {(r["subject"], r["claim_type"]): int(r["amount_wei"]) for r in rows} == {
        (alice.address, "winner"): winner,
        (alice.address, "treasury_eth"): pulled,
        (bob.address, "loser"): loser,
        (bob.address, "treasury_eth"): loser,
    }
    assert world.rows("select challenge_id, subject from pipeline.chain_winners") == [
        {"challenge_id": challenge, "subject": alice.address}
    ]


def totals(world: World) -> dict[tuple[int, str], tuple[int, int, int, int]]:
    rows = world.rows("select * from pipeline.claim_totals")
    return {
        (r["challenge_id"], r["subject"]): tuple(
            int(r[name]) for name in ("granted_wei", "paid_wei", "total_wei", "waiting_wei")
        )  # type: ignore[misc]
        for r in rows
    }


def test_totals_count_the_coins_of_a_paid_winner_once(world: World) -> None:
    alice, bob, carol = world.funded("alice", "bob", "carol")
    client = world.client
    challenge = won(world, alice, bob, carol)
    winner = client.claim_winner(alice, challenge)
    # Alice is the creator too: her fee was granted when the challenge was finalized.
    fee = client.eth_allowance(challenge, alice.address) - winner
    assert fee > 0
    loser = client.claim_loser(bob, challenge)
    world.follow()
    assert totals(world) == {
        (challenge, alice.address): (winner, 0, winner, winner),
        (challenge, bob.address): (loser, 0, loser, loser),
    }

    part = winner // 3
    client.claim_eth(alice, challenge, part)
    client.claim_eth(bob, challenge)
    world.follow()
    assert totals(world) == {
        (challenge, alice.address): (winner, part, winner, winner - part),
        (challenge, bob.address): (loser, loser, loser, 0),
    }

    client.claim_eth(alice, challenge)
    client.auto_distribute(alice, challenge, [], [carol.address])
    world.follow()
    assert totals(world) == {
        (challenge, alice.address): (winner, winner + fee, winner + fee, 0),
        (challenge, bob.address): (loser, loser, loser, 0),
        (challenge, carol.address): (loser, loser, loser, 0),
    }


def test_totals_of_coins_sent_on_and_of_claims_nobody_confirmed(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    client = world.client
    challenge = client.create_challenge(alice, stake=2 * ETH)
    client.join(bob, challenge, ETH)
    client.cancel(alice, challenge)
    client.claim_refund(alice, challenge)
    client.claim_eth(alice, challenge, to=bob.address)
    client.auto_refund(alice, challenge, [bob.address])
    world.run(
        "insert into public.claims (challenge_id, subject, claim_type, amount_wei, source)"
        " values (900, '0xAB', 'winner', 5, 'ui'), (901, '0xAB', 'cashback', 7, 'indexer')"
    )

    world.follow()

    assert totals(world) == {
        (challenge, alice.address): (2 * ETH, 0, 2 * ETH, 2 * ETH),
        (challenge, bob.address): (ETH, 3 * ETH, 3 * ETH, 0),
        (901, "0xab"): (0, 0, 0, 0),
    }
    (sums,) = world.rows(
        "select sum(granted_wei) as granted, sum(paid_wei) as paid from pipeline.claim_totals"
    )
    assert (sums["granted"], sums["paid"]) == (3 * ETH, 3 * ETH)
    assert world.rows(
        "select challenge_id, legacy_wei from pipeline.claim_totals where legacy_wei > 0"
    ) == [{"challenge_id": 901, "legacy_wei": 7}]


def test_several_claims_of_a_type_add_up_and_are_listed(world: World) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    challenge = client.create_challenge(alice, stake=2 * ETH)
    client.cancel(alice, challenge)
    client.claim_refund(alice, challenge)
    for part in (1, 2, 3):
        client.claim_eth(alice, challenge, part)
        if part == 2:
            world.follow()

    world.follow()

    (row,) = world.rows("select * from public.claims where claim_type = 'treasury_eth'")
    assert (row["amount_wei"], row["source"]) == (6, "indexer")
    listed = row["metadata"]["events"]
    assert [event["amount_wei"] for event in listed] == ["1", "2", "3"]
    assert [event["event"] for event in listed] == ["Treasury.ClaimedETH"] * 3
    assert row["tx_hash"] == listed[-1]["tx_hash"]
    assert row["block_number"] == listed[-1]["block_number"] == client.node.block_number()


def test_the_web_app_writing_a_claim_again_does_not_take_it_back(world: World) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    challenge = client.create_challenge(alice, stake=2 * ETH)
    client.cancel(alice, challenge)
    client.claim_refund(alice, challenge)
    client.claim_eth(alice, challenge, ETH)
    world.follow()
    world.run("update public.claims set source = 'ui', amount_wei = 1")
    client.claim_eth(alice, challenge, ETH)

    world.follow()
    index.rebuild(world.engine, world.policy, "claims")

    rows = world.rows("select claim_type, amount_wei, source from public.claims")
    assert {(r["claim_type"], int(r["amount_wei"]), r["source"]) for r in rows} == {
        ("refund", 2 * ETH, "indexer"),
        ("treasury_eth", 2 * ETH, "indexer"),
    }


def test_pre_v1_claims_keep_their_names_and_never_touch_a_status(world: World) -> None:
    (alice,) = world.funded("alice")
    challenge = world.client.create_challenge(alice)
    names = {
        "PrincipalClaimed": "principal",
        "CashbackClaimed": "cashback",
        "ValidatorClaimed": "validator_reward",
        "ValidatorRejectClaimed": "validator_reject",
        "RejectCreatorClaimed": "reject_creator",
        "RejectContributionClaimed": "reject_contribution",
    }
    legacy: dict[str, str] = {}
    for number, name in enumerate(names):
        topics = [
            topic_of(f"LegacyChallengePay.{name}"),
            word(challenge),
            word(int(alice.address, 16)),
        ]
        # One byte more of code a contract, so that each has an address of its own.
        address = log_from(world.client, topics, word(100 + number)[2:])
        moved = f"0x{int(address, 16) + 0x10000 * (number + 1):040x}"
        world.client.node.call(
            "anvil_setCode", moved, world.client.node.call("eth_getCode", address, "latest")
        )
        legacy[f"legacy_challengepay_{number + 1}"] = moved
        world.client.node.transact(alice, moved, "0x")
    finalized = [topic_of("ChallengePay.Finalized"), word(challenge)]
    other = log_from(world.client, finalized, word(1)[2:] + word(1)[2:])
    world.client.node.transact(alice, other, "0x")
    legacy["legacy_challengepay_9"] = other

    policy = replace(world.policy, addresses={**world.policy.addresses, **legacy})
    world.follow(policy=policy)

    rows = world.rows("select claim_type, amount_wei from public.claims")
    assert {r["claim_type"]: int(r["amount_wei"]) for r in rows} == {
        claim_type: 100 + number for number, claim_type in enumerate(names.values())
    }
    assert world.rows("select status from public.challenges") == [{"status": "Active"}]


def test_a_log_that_cannot_be_decoded_is_kept_raw_and_says_why(world: World) -> None:
    (alice,) = world.funded("alice")
    topics = [topic_of("Treasury.ClaimedETH"), word(7)]
    odd = log_from(world.client, topics, "abcd")
    world.client.node.transact(alice, odd, "0x")

    policy = replace(world.policy, addresses={**world.policy.addresses, "treasury": odd})
    report = world.follow(policy=policy)

    assert report.undecoded == 1
    (row,) = world.rows("select * from pipeline.chain_logs where problem is not null")
    assert row["event"] is None
    assert row["problem"].startswith("Treasury.ClaimedETH: 2 topics")
    assert (row["topics"], row["data"]) == (topics, "0xabcd")
    assert world.rows("select 1 from public.claims") == []


def test_an_aivm_job_goes_with_its_request_from_submitted_to_done(world: World) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    network = Network.of(world.deployment)
    challenge = client.create_challenge(alice)
    request = client.request_inference(world.deployment.worker, challenge, alice.address)
    task = client.request(request).task_id
    world.run(
        "insert into public.aivm_jobs (challenge_id, status, attempts, task_id)"
        " values (:c, 'submitted', 1, :t), (900, 'canceled', 1, :t), (901, 'dead', 1, :t),"
        " (902, 'queued', 1, :t), (903, 'submitted', 1, '0xother')",
        c=challenge,
        t=task,
    )
    seen: list[str] = []
    while True:
        world.follow()
        (row,) = world.rows(
            "select status from public.aivm_jobs where task_id = :t and challenge_id = :c",
            t=task,
            c=challenge,
        )
        seen.append(row["status"])
        if not network.step():
            break

    assert list(dict.fromkeys(seen)) == ["submitted", "committed", "revealed", "done"]
    others = world.rows("select status from public.aivm_jobs where challenge_id >= 900 order by id")
    assert [row["status"] for row in others] == ["canceled", "dead", "queued", "submitted"]
    (kept,) = world.rows("select * from pipeline.inference_requests")
    chain = client.request(request)
    assert kept["status"] == "finalized"
    assert (kept["request_id"], kept["task_id"]) == (request, task)
    assert (kept["response"], kept["response_hash"]) == (chain.response, chain.response_hash)
    assert kept["result_hash"] == chain.response_hash
    assert kept["worker"] == chain.worker
    assert kept["attestations"] == 2
    assert kept["finalized_block"] == client.node.block_number()
    assert kept["slot"] is not None and kept["transcript_hash"].startswith("0x")


def test_a_task_noted_after_its_events_were_indexed_moves_the_job_at_once(world: World) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    challenge = client.create_challenge(alice)
    request = client.request_inference(world.deployment.worker, challenge, alice.address)
    Network.of(world.deployment).run_until_idle()
    world.follow()
    insert = (
        "insert into public.aivm_jobs (challenge_id, status, attempts, task_id)"
        " values (:c, 'submitted', 1, :t)"
    )
    task = client.request(request).task_id
    world.run(insert, c=challenge, t=task)
    world.run(insert, c=900, t=task)
    world.run("update public.aivm_jobs set task_id = null where challenge_id = 900")

    with world.engine.begin() as connection:
        assert sync_jobs(connection, world.policy.chain_id) == 1

    world.run("update public.aivm_jobs set task_id = :t where challenge_id = 900", t=task)
    client.node.call("evm_mine")
    assert world.look().empty_blocks == 1
    assert world.rows("select distinct status from public.aivm_jobs") == [{"status": "done"}]


def test_the_last_word_of_the_registry_is_the_binding(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    client, worker = world.client, world.deployment.worker
    challenge = client.create_challenge(alice)
    first = client.request_inference(worker, challenge, alice.address)
    second = client.request_inference(worker, challenge, alice.address)
    client.bind(worker, challenge, alice.address, first)
    client.bind(worker, challenge, bob.address, first)
    client.bind(worker, challenge, alice.address, second)
    client.send(worker, "task_registry", "clearBinding", challenge, bob.address)

    world.follow()

    (row,) = world.rows("select * from pipeline.bindings")
    assert (row["challenge_id"], row["subject"]) == (challenge, alice.address)
    assert (row["request_id"], row["task_id"]) == (second, client.request(second).task_id)
    assert row["params_hash"] == client.request(second).det_config_hash
    assert row["schema_version"] == 1


def test_achievements_are_rows_by_token_whoever_minted_them(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = won(world, alice, bob)
    victory = world.client.mint_achievement(alice, challenge, "victory")
    completion = world.client.mint_achievement(bob, challenge, "completion")
    given = world.client.admin_mint(bob.address, challenge, "victory")

    world.follow()

    rows = world.rows("select * from public.achievement_mints order by token_id")
    assert [(r["token_id"], r["recipient"], r["achievement_type"]) for r in rows] == [
        (victory, alice.address, "victory"),
        (completion, bob.address, "completion"),
        (given, bob.address, "victory"),
    ]
    assert all(r["challenge_id"] == challenge and r["tx_hash"] for r in rows)


def test_the_type_of_a_lone_admin_mint_is_read_from_the_contract(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = won(world, alice)
    token = world.client.mint_achievement(alice, challenge, "victory")
    lone = log_from(
        world.client,
        [
            topic_of("ChallengeAchievement.AdminMinted"),
            word(token),
            word(int(bob.address, 16)),
            word(challenge),
        ],
    )
    world.client.node.transact(alice, lone, "0x")
    policy = replace(world.policy, addresses={**world.policy.addresses, "achievement": lone})

    world.follow(policy=policy)

    assert world.rows(
        "select token_id, recipient, achievement_type from public.achievement_mints"
    ) == [{"token_id": token, "recipient": bob.address, "achievement_type": "victory"}]
    assert index.rebuild(world.engine, policy, "achievement_mints").rows_changed == 0


def test_a_mint_of_a_type_nobody_named_makes_no_row_and_says_so(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    minted = topic_of("ChallengeAchievement.AchievementMinted")
    wallet = word(int(bob.address, 16))
    odd = log_from(world.client, [minted, word(5), word(2), wallet], word(7)[2:])
    world.client.node.transact(alice, odd, "0x")
    policy = replace(world.policy, addresses={**world.policy.addresses, "achievement": odd})

    report = world.follow(policy=policy)

    assert report.undecoded == 1
    (row,) = world.rows("select event, args, problem from pipeline.chain_logs where problem <> ''")
    assert row["event"] == "ChallengeAchievement.AchievementMinted"
    assert row["args"]["aType"] == "7"
    assert row["problem"].endswith("aType is 7, the largest known is 1")
    assert world.rows("select 1 from public.achievement_mints") == []


def test_a_lone_admin_mint_of_a_type_nobody_named_says_so(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    topics = [
        topic_of("ChallengeAchievement.AdminMinted"),
        word(5),
        word(int(bob.address, 16)),
        word(2),
    ]
    lone = log_from(world.client, topics)
    world.client.node.transact(alice, lone, "0x")
    policy = replace(world.policy, addresses={**world.policy.addresses, "achievement": lone})

    index.follow(
        world.engine,
        world.reader,
        policy,
        world.snapshot,
        achievement=lambda asked: [(2, bob.address, 3, 0) for _ in asked],
    )

    (row,) = world.rows("select event, problem from pipeline.chain_logs where problem <> ''")
    assert row["event"] == "ChallengeAchievement.AdminMinted"
    assert row["problem"] == "its type is 3, the largest known is 1"
    assert world.rows("select 1 from public.achievement_mints") == []


def test_a_mint_that_an_earlier_indexer_wrote_without_its_token_is_completed(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = won(world, alice, bob)
    world.run("alter table public.achievement_mints alter token_id drop not null")
    world.run(
        "alter table public.achievement_mints drop constraint if exists"
        " achievement_mints_achievement_type_check"
    )
    world.run(
        "insert into public.achievement_mints (challenge_id, recipient, achievement_type, tx_hash)"
        " values (:c, :a, 'victory', '0xold'), (:c, :a, 'early_bird', null),"
        " (:c, :b, 'victory', null)",
        c=challenge,
        a="0x" + alice.address[2:].upper(),
        b=bob.address,
    )
    before = world.table("public.achievement_mints")
    kept = world.client.node.call("evm_snapshot")
    victory = world.client.mint_achievement(alice, challenge, "victory")
    other = world.client.admin_mint(alice.address, challenge, "completion")

    world.follow()

    rows = world.rows("select * from public.achievement_mints order by token_id, id")
    assert [(r["token_id"], r["recipient"], r["achievement_type"]) for r in rows] == [
        (victory, alice.address, "victory"),
        (other, alice.address, "completion"),
        (None, "0x" + alice.address[2:].upper(), "early_bird"),
        (None, bob.address, "victory"),
    ]
    assert rows[0]["id"] < rows[2]["id"] < rows[1]["id"]
    assert index.rebuild(world.engine, world.policy, "achievement_mints").rows_changed == 0

    # The mints are orphaned: the row is again what the earlier indexer wrote.
    world.client.node.call("evm_revert", kept)
    world.client.node.call("anvil_mine", "0x5")
    world.follow()
    assert world.table("public.achievement_mints") == before


def test_times_beyond_a_bigint_mean_never_and_stop_nothing(world: World) -> None:
    (alice,) = world.funded("alice")
    challenge = world.client.create_challenge(alice, proof_deadline_ts=2**255)

    world.follow()

    assert world.rows("select challenge_id, proof_deadline_ts from pipeline.chain_challenges") == [
        {"challenge_id": challenge, "proof_deadline_ts": 2**63 - 1}
    ]


def test_the_creator_joining_in_the_block_of_the_creation_is_counted_once(world: World) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    challenge = client.create_challenge(alice, stake=2 * ETH)
    created = client.node.block_number()
    client.join(alice, challenge, ETH)

    def late(asked: Sequence[tuple[int, str, Point]]) -> Any:
        # As of a later block, the answer of a node without the older state.
        later = [(challenge, who, block.number + 1) for challenge, who, block in asked]
        return world.contracts.challenge_snapshot(later)

    index.follow(world.engine, world.reader, world.policy, late)

    assert world.rows("select amount_wei from pipeline.stakes") == [{"amount_wei": 3 * ETH}]
    assert created < client.node.block_number()
