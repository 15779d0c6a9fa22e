"""Each check is turned red by putting the real thing into that state, and green by mending it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from lightchallenge_dagster.assets.catalog import TABLES
from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.checks.catalog import CHECKS, Check, Surroundings
from lightchallenge_dagster.checks.evaluate import evaluation
from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.resources.signers import SignersResource
from lightchallenge_dagster.rules.events import topic_of
from lightchallenge_dagster.sensors.health import find
from lightchallenge_dagster.steps import index, plan, reputation, standings, verify
from lightchallenge_dagster.steps.health import Findings
from lightchallenge_dagster.steps.outbox import Outbox, OutboxPolicy
from lightchallenge_dagster.steps.set_checkpoint import set_checkpoint
from lightchallenge_dagster.storage.outbox import Intent
from tests import builders as b
from tests.orchestration.conftest import NO_NODE, World
from tests.steps.bent_node import BentNode, denying

ANN, BOB = b.wallet(1), b.wallet(2)

#: Handmade logs and blocks lie beyond the ones that the test chain really has.
LATER = 1_000_000
BY_NAME = {check.name: check for check in CHECKS}


@dataclass(frozen=True)
class Case:
    """How to make one check fail, and how to make it hold again.

    ``state`` tells cases of one check apart.
    """

    check: str
    sick: Callable[[World], Any]
    cured: Callable[[World], Any]
    state: str = ""


def sql(statement: str, **values: Any) -> Callable[[World], Any]:
    return lambda world: b.execute(world.database, statement, **values)


def in_order(*steps: Callable[[World], Any]) -> Callable[[World], None]:
    def run(world: World) -> None:
        for step in steps:
            step(world)

    return run


def at(build: Callable[..., Any], *args: Any, **values: Any) -> Callable[[World], Any]:
    return lambda world: build(world.database, *args, **values)


def log(event: str | None, number: int = 0, **columns: Any) -> Callable[[World], Any]:
    """A stored log, decoded as the indexer leaves it."""
    values: dict[str, Any] = {
        "chain_id": b.CHAIN_ID,
        "block_number": LATER,
        "log_index": number,
        "block_hash": b.HASH,
        "block_timestamp": b.ts(b.STARTS),
        "tx_hash": b.HASH,
        "tx_index": 0,
        "address": b.wallet(77),
        "topics": [b.HASH],
        "data": "0x",
        "event": event,
    }
    return at(b.insert, "pipeline.chain_logs", **(values | columns))


def block(
    timestamp: datetime, number: int = LATER, block_hash: str = b.HASH
) -> Callable[[World], Any]:
    return at(
        b.insert,
        "pipeline.chain_blocks",
        chain_id=b.CHAIN_ID,
        number=LATER,
        hash=block_hash,
        parent_hash=b.HASH,
        timestamp=b.ts(timestamp),
    )


def job(status: str, *, hours_ago: float = 0) -> Callable[[World], Any]:
    return at(
        b.insert,
        "public.aivm_jobs",
        challenge_id=7,
        status=status,
        attempts=1,
        created_at=ago(hours_ago),
        updated_at=ago(hours_ago),
    )


def ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def intent(status: str, *, hours_ago: float = 0, key: str = "proof:7") -> Callable[[World], Any]:
    return at(
        b.insert,
        "pipeline.intents",
        key=key,
        chain_id=b.CHAIN_ID,
        kind="proof",
        challenge_id=7,
        subject=ANN,
        signer=BOB,
        to_address=BOB,
        data="0x",
        status=status,
        created_at=ago(hours_ago),
        updated_at=ago(hours_ago),
    )


def ranking(subject: str, rank: int, score: Any, *, winner: bool) -> Callable[[World], Any]:
    return at(
        b.insert,
        "public.rankings",
        challenge_id=7,
        subject=subject,
        rank=rank,
        score=score,
        winner=winner,
        tie_break_at=b.STARTS,
        top_n=1,
        state="closed",
        inputs_hash="inputs",
    )


def closed(ranked: int, winners: int) -> Callable[[World], Any]:
    return at(
        b.insert,
        "pipeline.ranking_states",
        challenge_id=7,
        state="closed",
        inputs_hash="inputs",
        ranked=ranked,
        winners=winners,
    )


ORDERED = in_order(ranking(ANN, 1, 9, winner=True), ranking(BOB, 2, 8, winner=False))


def ranks(first: int, second: int) -> Callable[[World], Any]:
    """The ranks of the two, best first."""
    return sql(
        "update public.rankings set rank = case subject when :ann then :first else :second end",
        ann=ANN,
        first=first,
        second=second,
    )


def a_computed_season(world: World) -> None:
    """One of every kind of result: match, draw by scores, team, bye, challenges of both modes."""
    database = world.database
    season = b.season(database, scoring_config={"win": 2.5, "draw": 0.7, "loss": -1})
    for challenge_id, mode in ((7, "competitive"), (8, "threshold")):
        b.plan(database, challenge_id, mode=mode)
        b.on_chain(database, challenge_id, status="Finalized")
        b.stake(database, challenge_id, ANN, BOB)
        b.chain_winner(database, challenge_id, ANN)
        b.chain_winner(database, challenge_id, BOB)
        b.verdict(database, challenge_id, ANN.upper().replace("X", "x"))
        b.verdict(database, challenge_id, BOB, passed=False)
    ranking(ANN, 1, 9, winner=True)(world)
    b.plan(database, 9)
    b.on_chain(database, 9)
    b.stake(database, 9, ANN, BOB)
    cup = b.competition(database, season, weight=0.1, challenge_ids=[7, 8, 8, 9])
    league = b.competition(database, season, weight=3, challenge_ids=[8])
    club = b.team(database, ANN, f" {ANN} ", BOB.upper().replace("X", "x"))
    nobody = b.team(database)
    b.match(database, cup, f" {ANN}\t", BOB, number=1, winner=f"{BOB} ", score_a=3, score_b=1)
    b.match(database, cup, ANN, BOB, number=2, score_a=1, score_b=1)
    b.match(database, cup, club.upper(), b.wallet(3), number=3, score_a=1, score_b=2)
    b.match(database, cup, club, nobody, number=4, winner=nobody)
    b.match(database, league, b.wallet(4), None, number=5, winner=b.wallet(4))
    b.match(database, league, "", b.wallet(4), number=6, winner=b.wallet(4), score_a=0, score_b=0)
    b.match(database, league, ANN, BOB, number=7, status="pending")
    assert standings.compute(database, season).problem is None


def computed_again(world: World) -> None:
    for (season,) in b.rows(world.database, "select id::text from public.seasons"):
        standings.compute(world.database, season)


def tampered(change: str) -> Case:
    return Case(
        "standings_conserved",
        in_order(a_computed_season, sql(change)),
        computed_again,
        change.split("public.season_standings ")[1],
    )


def planned(world: World) -> None:
    plan.refresh_plans(world.database, plan.PlanPolicy(7200, 600))


def indexed(world: World) -> None:
    chain = world.resources["chain"]
    index.follow(
        world.database,
        chain.reader(),
        chain.index_policy(),
        chain.contracts().challenge_snapshot,
    )


def emptied(role: str) -> Callable[[World], Any]:
    wallet = getattr(wallets, role)().address
    return lambda world: world.anvil.rpc("anvil_setBalance", wallet, hex(10**17 - 1))


def funded(role: str) -> Callable[[World], Any]:
    wallet = getattr(wallets, role)().address
    return lambda world: world.anvil.rpc("anvil_setBalance", wallet, hex(10**17))


def dispatcher(enabled: bool) -> Callable[[World], Any]:
    def call(world: World) -> None:
        client = Client(world.devnet)
        client.send(
            world.devnet.admin,
            "challengepay",
            "setDispatcher",
            wallets.finalizer().address,
            enabled,
        )

    return call


def recorder(enabled: bool) -> Callable[[World], Any]:
    """The worker's role in the registry of bindings."""
    return lambda world: Client(world.devnet).send(
        world.devnet.admin, "task_registry", "setDispatcher", wallets.worker().address, enabled
    )


def owner_of_metadata(world: World) -> None:
    signers = world.resources["signers"].model_dump()
    signers["metadata_key"] = wallets.metadata_owner().key
    world.resources["signers"] = SignersResource(**signers)


def limits(**policy: Any) -> Callable[[World], Any]:
    def set_them(world: World) -> None:
        world.resources["policy"] = Policy(**policy)

    return set_them


def mined(world: World, wallet: str) -> int:
    return int(world.anvil.rpc("eth_getTransactionCount", wallet, "latest"), 16)


def signed(
    key: str,
    *,
    wallet: str = ANN,
    nonce: Callable[[World], int] = lambda _world: 0,
    kind: str = "request",
    minutes_ago: float = 0,
    wei: int = 10**15,
    **intent_columns: Any,
) -> Callable[[World], Any]:
    """An intent and its transaction, sent and not mined."""

    def write(world: World) -> None:
        number = nonce(world)
        values: dict[str, Any] = {
            "key": key,
            "chain_id": b.CHAIN_ID,
            "kind": kind,
            "challenge_id": 7,
            "signer": wallet,
            "to_address": BOB,
            "data": "0x",
            "value_wei": wei,
            "nonce": number,
            "status": "broadcast",
        }
        b.insert(world.database, "pipeline.intents", **(values | intent_columns))
        b.insert(
            world.database,
            "pipeline.transactions",
            hash=f"hash of {key}",
            intent_key=key,
            chain_id=b.CHAIN_ID,
            signer=wallet,
            nonce=number,
            raw="0x",
            gas=1,
            max_fee_per_gas=1,
            signed_at=ago(minutes_ago / 60),
        )

    return write


def planned_request(error: str, *, hours_ago: float = 0) -> Callable[[World], Any]:
    return at(
        b.insert,
        "pipeline.intents",
        key="request:7:1",
        chain_id=b.CHAIN_ID,
        kind="request",
        challenge_id=7,
        signer=BOB,
        to_address=BOB,
        data="0x",
        status="planned",
        last_error=error,
        created_at=ago(hours_ago),
    )


#: Why the outbox signs nothing: its policy, and the intent's own fields.
WAITS_FOR: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "the cap on gas": ({"max_fee_per_gas_wei": 1}, {}),
    "the most that one may carry": ({"max_value_wei": 1}, {}),
    "coins for what it carries": ({}, {"value_wei": 10**30}),
    "coins for its gas": ({}, {"value_wei": 10**22}),
    "a contract": ({}, {"to": b.wallet(78), "data": "0x12345678"}),
}


def held_back_for(what: str) -> Callable[[World], None]:
    """An intent that the real outbox did not sign, planned eleven minutes ago."""
    policy, fields = WAITS_FOR[what]

    def write(world: World) -> None:
        chain, signer = world.resources["chain"], Signer(wallets.finalizer().key)
        world.anvil.rpc("anvil_setBalance", signer.address, hex(10**22))
        outbox = Outbox(
            world.database, chain.rpc(), [signer], OutboxPolicy(chain.chain_id, **policy)
        )
        values: dict[str, Any] = {"to": signer.address, "data": "0x", "value_wei": 2, **fields}
        intent = Intent("finalize:7", "finalize", signer.address, challenge_id=7, **values)
        assert outbox.submit([intent])[0].state == "waiting"
        b.execute(
            world.database,
            "update pipeline.intents set created_at = now() - interval '11 minutes'",
        )

    return write


def dead_request(chain_status: int, *, requester: str = BOB) -> Callable[[World], Any]:
    return at(
        b.insert,
        "pipeline.request_watch",
        request_id=3,
        challenge_id=7,
        task_id="task",
        requester=requester,
        fee_wei=10**15,
        chain_status=chain_status,
        commit_deadline=1,
        reveal_deadline=0,
        finalize_deadline=0,
        seen_status="requested",
        dead="nobody committed to it in time",
        died_at=ago(1),
    )


def reclaim_intent(status: str) -> Callable[[World], Any]:
    return at(
        b.insert,
        "pipeline.intents",
        key="reclaim:7:3",
        chain_id=b.CHAIN_ID,
        kind="reclaim",
        challenge_id=7,
        signer=BOB,
        to_address=BOB,
        data="0x",
        status=status,
    )


ADMIN = wallets.admin().address

NOTHING: Callable[[World], Any] = in_order()


def a_look(world: World) -> None:
    """What the block sensor does in a tick; an outage is for the checks to tell."""
    chain = world.resources["chain"]
    with contextlib.suppress(TransientError):
        index.look(world.database, chain.reader(), chain.index_policy())


def rest_is_over(world: World) -> None:
    b.execute(world.database, "update pipeline.rpc_endpoints set rests_until = null")


def read_again(world: World) -> None:
    chain = world.resources["chain"]
    verify.verify(
        world.database,
        chain.reader(),
        chain.index_policy(),
        chain.contracts().challenge_snapshot,
        behind=chain.verify_behind_blocks,
    )


def a_challenge(world: World) -> None:
    client = Client(world.devnet)
    creator = wallets.user("creator")
    client.fund(creator)
    client.create_challenge(creator)
    world.anvil.mine(2)


def only_endpoint_down(world: World) -> None:
    front = world.front()
    front.down = True
    world.read_from(front.url)
    a_look(world)


def only_endpoint_up_again(world: World) -> None:
    world.servers.close()
    front = world.resources["chain"].rpc_url
    port = int(front.rsplit(":", 1)[1])
    world.servers.enter_context(BentNode(world.anvil.url, port).serving())
    a_look(world)


def first_endpoint_down(world: World) -> None:
    front = world.front()
    front.down = True
    world.read_from(front.url, world.anvil.url)
    for _ in range(3):
        a_look(world)
        rest_is_over(world)


def first_endpoint_up_again(world: World) -> None:
    front, other = world.resources["chain"].rpc_url.split(",")
    world.servers.close()
    port = int(front.rsplit(":", 1)[1])
    world.servers.enter_context(BentNode(other, port).serving())
    a_look(world)


def two_endpoints_that_differ(world: World) -> None:
    front = world.front()
    world.read_from(world.anvil.url, front.url)
    a_challenge(world)
    indexed(world)
    front.bend = denying(topic_of("ChallengePay.ChallengeCreated"))
    read_again(world)


def the_liar_is_taken_out(world: World) -> None:
    world.read_from(world.anvil.url)
    read_again(world)


def a_log_left_out(world: World) -> None:
    a_challenge(world)
    indexed(world)
    b.execute(
        world.database,
        "delete from pipeline.chain_logs where event = 'ChallengePay.ChallengeCreated'",
    )
    read_again(world)


def a_reorg_deeper_than_the_window(world: World) -> None:
    fork = world.anvil.snapshot()
    world.anvil.mine(300)
    indexed(world)
    world.anvil.revert(fork)
    world.anvil.rpc("evm_increaseTime", 11)
    world.anvil.mine(320)
    chain = world.resources["chain"]
    with pytest.raises(index.ReorgTooDeep):
        index.look(world.database, chain.reader(), chain.index_policy())


def set_back_below_the_fork(world: World) -> None:
    chain = world.resources["chain"]
    set_checkpoint(
        world.database,
        chain.reader(),
        chain.index_policy(),
        block=world.anvil.block_number() - 320,
    )
    indexed(world)


def finalized(days_ago: int) -> Callable[[World], Any]:
    """Every challenge finalized at its deadline, so many days of chain time ago."""
    return sql(
        """update pipeline.chain_challenges set status = 'Finalized', outcome = 1,
                  proof_deadline_ts = (select max(timestamp) from pipeline.chain_blocks)
                                      - 86400 * :days""",
        days=days_ago,
    )


A_MISSED_WINNER = in_order(
    at(b.plan, 7),
    at(b.on_chain, 7),
    at(b.stake, 7, ANN),
    at(b.verdict, 7, ANN),
    at(b.judgement, 7, ANN),
    block(b.DEADLINE - timedelta(minutes=59)),
)

CASES = [
    Case(
        "indexer_lag",
        lambda world: world.anvil.mine(101),
        indexed,
    ),
    Case("indexer_stopped", a_reorg_deeper_than_the_window, set_back_below_the_fork),
    Case("endpoints_answer", only_endpoint_down, only_endpoint_up_again),
    Case("endpoints_sound", first_endpoint_down, first_endpoint_up_again),
    Case(
        "verification_keeps_up",
        in_order(lambda world: world.anvil.mine(1100), indexed),
        read_again,
    ),
    Case("blocks_undisputed", two_endpoints_that_differ, the_liar_is_taken_out),
    Case(
        "logs_complete",
        a_log_left_out,
        sql("update pipeline.verification_findings set found_at = found_at - interval '1 day'"),
    ),
    Case(
        "events_decoded",
        log(None, problem="data is too short for Joined"),
        sql("update pipeline.chain_logs set event = 'ChallengePay.Joined', problem = null"),
    ),
    Case(
        "logs_match_blocks",
        in_order(block(b.STARTS, block_hash="0x" + "22" * 32), log("ChallengePay.Paused")),
        sql(
            "update pipeline.chain_logs set block_hash = :hash where block_number = :number",
            hash="0x" + "22" * 32,
            number=LATER,
        ),
    ),
    Case(
        "status_follows_chain",
        in_order(
            at(b.challenge, 7),
            sql("update pipeline.chain_challenges set status = 'Finalized', outcome = 1"),
        ),
        sql("update public.challenges set status = 'Finalized', chain_outcome = 1"),
    ),
    Case(
        "rules_readable",
        in_order(
            at(b.challenge, 7, {"rules": {"type": "fitness", "metric": "smiles", "threshold": 1}}),
            planned,
        ),
        in_order(
            sql(
                "update public.challenges set proof = jsonb_set(proof,"
                " '{params,rules}', cast(:rule as jsonb))",
                rule='{"type":"fitness","metric":"steps","threshold":1,"period":"total"}',
            ),
            planned,
        ),
    ),
    Case(
        "finalized_has_outcome",
        at(b.on_chain, 7, status="Finalized"),
        sql("update pipeline.chain_challenges set outcome = 2"),
    ),
    Case(
        "finalize_held_back",
        in_order(
            at(b.challenge, 7, b.distance_rule(1)),
            planned,
            at(b.stake, 7, ANN),
            at(b.verdict, 7, ANN),
            at(b.judgement, 7, ANN),
        ),
        at(b.chain_winner, 7, ANN),
    ),
    Case(
        "stakers_are_participants",
        at(b.stake, 7, ANN),
        at(
            b.insert,
            "public.participants",
            challenge_id=7,
            subject=ANN,
            source="onchain_join",
            tx_hash=b.HASH,
        ),
    ),
    Case(
        "stakes_match_events",
        in_order(
            at(b.stake, 7, ANN, wei=5),
            log("ChallengePay.Joined", challenge_id=7, account=ANN, args={"amount": "7"}),
        ),
        sql("update pipeline.stakes set amount_wei = 7"),
    ),
    Case(
        "claims_match_events",
        log("Treasury.ClaimedETH", challenge_id=7, account=ANN, args={"amount": "7"}),
        at(
            b.insert,
            "public.claims",
            challenge_id=7,
            subject=ANN,
            claim_type="treasury_eth",
            amount_wei=7,
            source="indexer",
        ),
    ),
    Case(
        "winners_have_verdicts",
        in_order(at(b.plan, 7), at(b.verdict, 7, ANN, passed=False), at(b.chain_winner, 7, ANN)),
        sql("update public.verdicts set pass = true"),
    ),
    Case("winners_missing_on_chain", A_MISSED_WINNER, at(b.chain_winner, 7, ANN)),
    Case(
        "winners_missing_on_chain",
        in_order(A_MISSED_WINNER, finalized(days_ago=6)),
        finalized(days_ago=7),
        "lost, and shown for a week",
    ),
    Case(
        "requests_progress",
        in_order(
            job("submitted"),
            sql("update public.aivm_jobs set task_id = 'task'"),
            at(
                b.insert,
                "pipeline.inference_requests",
                request_id=1,
                task_id="task",
                requester=BOB,
                model="m",
                prompt_hash=b.HASH,
                prompt_id=b.HASH,
                model_digest=b.HASH,
                det_config_hash=b.HASH,
                status="committed",
                requested_block=1,
                requested_tx=b.HASH,
                requested_ts=b.ts(ago(2)),
            ),
        ),
        sql("update pipeline.inference_requests set status = 'finalized'"),
    ),
    Case(
        "requests_dead",
        in_order(dead_request(1), reclaim_intent("planned")),
        sql("update pipeline.intents set status = 'mined'"),
        "its fee is to be taken back",
    ),
    Case(
        "requests_dead",
        dead_request(4),
        sql("update pipeline.request_watch set died_at = died_at - interval '1 day'"),
        "its fee is earned",
    ),
    Case(
        "requests_dead",
        dead_request(1, requester=ANN),
        sql("update pipeline.request_watch set chain_status = 5"),
        "its fee is a stranger's",
    ),
    Case(
        "bindings_are_winners",
        in_order(at(b.plan, 7), at(b.binding, 7, ANN)),
        at(b.verdict, 7, ANN),
    ),
    Case(
        "mints_match_events",
        log(
            "ChallengeAchievement.AchievementMinted",
            challenge_id=7,
            account=ANN,
            args={"tokenId": "1"},
        ),
        at(b.mint, 1, ANN),
    ),
    Case(
        "jobs_stuck", job("submitted", hours_ago=1.1), sql("update aivm_jobs set status = 'done'")
    ),
    Case(
        "jobs_stuck",
        in_order(job("queued"), planned_request("the wallet holds 0 wei", hours_ago=1.1)),
        sql("update pipeline.intents set status = 'confirmed'"),
        "tried again and again",
    ),
    Case("jobs_dead", job("dead"), sql("update aivm_jobs set status = 'queued'")),
    Case(
        "dispatch_fields",
        in_order(
            at(b.challenge, 7, b.distance_rule(1), model_id="strava.distance@1"),
            at(b.stake, 7, ANN),
            at(b.verdict, 7, ANN),
            at(b.judgement, 7, ANN),
            planned,
        ),
        sql(
            "update public.challenges set model_hash = :hash, proof = proof || jsonb_build_object("
            " 'backend', 'lightchain_poi', 'paramsHash', cast(:hash as text),"
            " 'benchmarkHash', cast(:hash as text))",
            hash=b.HASH,
        ),
    ),
    Case("wallet_balances", emptied("worker"), funded("worker")),
    Case(
        "wallet_balances",
        in_order(owner_of_metadata, emptied("metadata_owner")),
        funded("metadata_owner"),
        "the metadata wallet",
    ),
    Case("dispatcher_roles", dispatcher(False), dispatcher(True), "ChallengePay"),
    Case("dispatcher_roles", recorder(False), recorder(True), "the registry"),
    Case(
        "nonce_gaps",
        signed("bind:7", nonce=lambda world: mined(world, ANN) + 1),
        signed("bind:7:2", nonce=lambda world: mined(world, ANN)),
        "a hole",
    ),
    Case(
        "nonce_gaps",
        signed("bind:7", wallet=ADMIN, minutes_ago=10),
        sql("update pipeline.intents set status = 'confirmed'"),
        "used by another program",
    ),
    Case(
        "request_spend",
        signed("request:7:1", wei=8 * 10**17),
        sql("update pipeline.transactions set signed_at = now() - interval '24 hours'"),
        "near the limit",
    ),
    Case(
        "request_spend",
        planned_request("1 more is above the limit of 5 wei a day"),
        sql("update pipeline.intents set last_error = null"),
        "a request held back",
    ),
    Case(
        "request_spend",
        limits(request_fee_wei=10**17 + 1),
        limits(),
        "a fee that may not be carried",
    ),
    Case(
        "intents_stuck",
        intent("broadcast", hours_ago=0.2),
        sql("update pipeline.intents set status = 'confirmed'"),
    ),
    Case(
        "intents_stuck",
        signed("bind:7", minutes_ago=12, updated_at=ago(0)),
        sql("update pipeline.intents set status = 'confirmed'"),
        "sent again and again",
    ),
    *(
        Case(
            "intents_waiting",
            held_back_for(what),
            sql("update pipeline.intents set last_error = null"),
            what,
        )
        for what in WAITS_FOR
    ),
    Case(
        "intents_waiting",
        held_back_for("a contract"),
        sql("update pipeline.intents set updated_at = now() - interval '31 minutes'"),
        "until nobody tries any more",
    ),
    Case(
        "intents_refused",
        intent("refused", hours_ago=1),
        intent("mined", key="proof:7:2"),
    ),
    Case(
        "evidence_pending",
        at(b.evidence, 0, ANN, [b.run(5)], at=ago(0.3)),
        at(b.verdict, 0, ANN),
    ),
    Case(
        "evidence_has_participant",
        at(b.evidence, 7, ANN, [b.run(5)]),
        at(
            b.insert,
            "public.participants",
            challenge_id=7,
            subject=ANN,
            source="evidence_intake",
        ),
    ),
    Case(
        "verdict_evidence_exists",
        at(b.verdict, 7, ANN, evidence_hash="0x" + "33" * 32),
        in_order(
            at(b.evidence, 7, ANN, [b.run(5)]),
            sql("update public.evidence set evidence_hash = :hash", hash="0x" + "33" * 32),
        ),
    ),
    Case(
        "ranking_conserved",
        in_order(ranking(ANN, 1, 9, winner=False), ranking(BOB, 2, 8, winner=False)),
        sql("update public.rankings set winner = true where rank = 1"),
        "no winner",
    ),
    Case("ranking_conserved", in_order(ORDERED, ranks(1, 3)), ranks(1, 2), "a gap in the ranks"),
    Case("ranking_conserved", in_order(ORDERED, ranks(1, 1)), ranks(1, 2), "a rank twice"),
    Case(
        "ranking_conserved",
        in_order(ranking(ANN, 1, 8, winner=True), ranking(BOB, 2, 9, winner=False)),
        in_order(ranks(2, 1), sql("update public.rankings set winner = subject = :bob", bob=BOB)),
        "the lower score first",
    ),
    Case(
        "ranking_conserved",
        in_order(ranking(BOB, 1, 9, winner=True), ranking(ANN, 2, 9, winner=False)),
        sql(
            "update public.rankings set tie_break_at = tie_break_at - interval '1 second'"
            " where subject = :bob",
            bob=BOB,
        ),
        "equals out of order",
    ),
    Case(
        "ranking_conserved",
        ranking(ANN, 1, 0, winner=True),
        sql("update public.rankings set winner = false"),
        "a winner without a score",
    ),
    Case(
        "ranking_conserved",
        ranking(ANN, 1, Decimal("NaN"), winner=True),
        sql("update public.rankings set score = 9"),
        "a winner whose score is no number",
    ),
    Case(
        "ranking_conserved",
        in_order(ORDERED, closed(3, 1)),
        sql("update pipeline.ranking_states set ranked = 2"),
        "a row lost after closing",
    ),
    Case(
        "ranking_conserved",
        closed(2, 1),
        ORDERED,
        "every row lost after closing",
    ),
    Case(
        "rankings_quarantined",
        at(
            b.insert,
            "pipeline.ranking_states",
            challenge_id=7,
            state="provisional",
            inputs_hash="inputs",
            ranked=2,
            winners=0,
            problem="the score of 0xab is NaN",
        ),
        sql("update pipeline.ranking_states set problem = null"),
    ),
    Case(
        "ranked_have_stake",
        in_order(ranking(ANN, 1, 9, winner=True), at(b.verdict, 7, ANN)),
        at(b.stake, 7, ANN),
        "no stake",
    ),
    Case(
        "ranked_have_stake",
        in_order(
            ranking(ANN, 1, 9, winner=True), at(b.verdict, 7, ANN), at(b.stake, 7, ANN, wei=0)
        ),
        sql("update pipeline.stakes set amount_wei = 1"),
        "a stake of nothing",
    ),
    Case(
        "ranked_have_stake",
        in_order(ranking(ANN, 1, 9, winner=True), at(b.stake, 7, ANN)),
        at(b.verdict, 7, ANN),
        "no verdict",
    ),
    Case(
        "ranking_window_fits",
        in_order(at(b.challenge, 7, b.competitive(), deadline=b.ENDS), planned),
        in_order(
            sql("update pipeline.chain_challenges set proof_deadline_ts = end_ts + 86400"), planned
        ),
    ),
    Case(
        "standings_quarantined",
        lambda world: b.insert(
            world.database,
            "pipeline.standings_states",
            season_id=b.season(world.database),
            inputs_hash="inputs",
            problem="scoring_config.win is 'three'",
        ),
        sql("update pipeline.standings_states set problem = null"),
    ),
    tampered("update public.season_standings set wins = wins + 1"),
    tampered("update public.season_standings set wins = losses, losses = wins"),
    tampered("update public.season_standings set draws = 0"),
    tampered("update public.season_standings set points = points + 1"),
    tampered("update public.season_standings set competitions_entered = 0"),
    tampered("delete from public.season_standings where draws > 0"),
    tampered("update public.season_standings set wallet = wallet || '0'"),
    Case(
        "reputation_equals_mints",
        at(b.mint, 1, ANN, "victory"),
        lambda world: reputation.compute(world.database),
        "a mint not counted",
    ),
    *(
        Case(
            "reputation_equals_mints",
            in_order(
                at(b.mint, 1, ANN, "victory"),
                at(b.mint, 2, ANN),
                lambda world: reputation.compute(world.database),
                sql(f"update public.reputation set {column} = {column} + 1"),  # noqa: S608
            ),
            lambda world: reputation.compute(world.database),
            column,
        )
        for column in ("points", "level", "completions", "victories")
    ),
    Case(
        "reputation_equals_mints",
        at(b.insert, "public.reputation", subject=ANN),
        sql("delete from public.reputation"),
        "a wallet without mints",
    ),
]


def surroundings(world: World, **others: Any) -> Surroundings:
    resources = world.resources | others
    return Surroundings(
        resources["database"], resources["chain"], resources["signers"], resources["policy"]
    )


def find_in(world: World, name: str) -> Findings:
    return find(BY_NAME[name], surroundings(world))


def evaluate(world: World, name: str) -> bool:
    return find_in(world, name).healthy


@pytest.mark.parametrize("case", CASES, ids=[f"{case.check} {case.state}" for case in CASES])
def test_a_check_is_red_in_the_state_it_is_for_and_green_when_that_is_mended(
    case: Case, world: World
) -> None:
    indexed(world)
    assert evaluate(world, case.check), "green before anything is wrong"
    case.sick(world)
    assert not evaluate(world, case.check), "red"
    case.cured(world)
    assert evaluate(world, case.check), "green again"


def test_the_standings_of_every_kind_of_result_are_conserved_as_they_were_computed(
    world: World,
) -> None:
    indexed(world)
    a_computed_season(world)
    findings = find_in(world, "standings_conserved")
    assert findings.healthy, findings
    assert findings.facts == {"seasons_waiting": 0}
    decided = b.rows(
        world.database, "select sum(wins), sum(draws), sum(losses) from public.season_standings"
    )
    # Wins: matches 1 and 3, two byes, Ann in challenge 7, twice in 8. Losses: match 1, the club's
    # two players in matches 3 and 4, Bob in the challenges.
    assert decided == [(7, 2, 8)]


def test_a_season_whose_results_just_changed_waits_and_is_not_red(world: World) -> None:
    indexed(world)
    a_computed_season(world)
    b.execute(world.database, "update public.season_standings set wins = wins + 1")
    b.execute(world.database, "update public.bracket_matches set winner = participant_a")
    findings = find_in(world, "standings_conserved")
    assert findings.healthy
    assert findings.facts == {"seasons_waiting": 1}
    computed_again(world)
    assert find_in(world, "standings_conserved").facts == {"seasons_waiting": 0}


def test_a_quarantined_season_is_not_held_against_its_standings(world: World) -> None:
    indexed(world)
    a_computed_season(world)
    b.execute(world.database, "update public.bracket_matches set winner = 'somebody else'")
    computed_again(world)
    assert evaluate(world, "standings_conserved")
    assert not evaluate(world, "standings_quarantined")


def test_achievement_types_are_compared_case_insensitively(world: World) -> None:
    indexed(world)
    b.execute(
        world.database,
        "alter table public.achievement_mints"
        " drop constraint achievement_mints_achievement_type_check",
    )
    b.mint(world.database, 1, ANN.upper().replace("X", "x"), "Victory")
    b.mint(world.database, 2, ANN, "of its own kind")
    reputation.compute(world.database)
    assert b.rows(world.database, "select points, victories from reputation") == [(150, 1)]
    assert evaluate(world, "reputation_equals_mints")


def test_the_owner_of_the_registry_and_the_admin_need_no_dispatcher_role(world: World) -> None:
    indexed(world)
    recorder(False)(world)
    dispatcher(False)(world)
    assert find_in(world, "dispatcher_roles").count == 2
    admin = wallets.admin().key
    world.resources["signers"] = SignersResource(worker_key=admin, finalize_key=admin)
    assert evaluate(world, "dispatcher_roles")


def test_a_stuck_transaction_is_shown_with_its_nonce_and_every_fee_it_offered(world: World) -> None:
    indexed(world)
    signed("bind:7", minutes_ago=12, nonce=lambda _world: 5)(world)
    b.execute(
        world.database,
        "insert into pipeline.transactions (hash, intent_key, chain_id, signer, nonce, raw, gas,"
        " max_fee_per_gas) select 'bumped', intent_key, chain_id, signer, nonce, raw, gas, 2"
        " from pipeline.transactions",
    )
    findings = find_in(world, "intents_stuck")
    (row,) = [dict(zip(findings.columns, row, strict=True)) for row in findings.rows]
    assert (row["nonce"], row["replacements"], row["wei_per_gas"]) == (5, 1, "1, 2")


def test_a_hole_is_shown_with_how_many_wait_for_it(world: World) -> None:
    indexed(world)
    for place in (2, 3):
        number = mined(world, ANN) + place
        signed(f"bind:{place}", nonce=lambda _world, number=number: number)(world)
    findings = find_in(world, "nonce_gaps")
    first = mined(world, ANN)
    assert [(row[1], row[4]) for row in findings.rows] == [(first, 2), (first + 1, 2)]


def test_what_was_spent_today_is_told_while_all_is_well(world: World) -> None:
    indexed(world)
    signed("request:7:1", wei=10**17)(world)
    findings = find_in(world, "request_spend")
    assert findings.healthy
    assert findings.facts["limit"] == "1 LCAI"
    assert findings.facts["percent"] == 10.0


def test_every_check_has_such_a_test() -> None:
    assert {case.check for case in CASES} == set(BY_NAME)


def test_every_table_has_a_check() -> None:
    assert {check.asset for check in CHECKS} == set(TABLES)


def test_a_check_that_cannot_look_is_red_and_says_why(world: World) -> None:
    around = surroundings(world, chain=world.without_a_node()["chain"])
    findings = find(BY_NAME["indexer_lag"], around)
    assert not findings.healthy
    assert NO_NODE not in str(findings.rows), "the node's address may hold a key"


@pytest.mark.parametrize("name", ["wallet_balances", "dispatcher_roles", "nonce_gaps"])
def test_a_check_that_a_silent_node_cannot_answer_gives_no_advice_about_violations(
    world: World, name: str
) -> None:
    indexed(world)
    signed("bind:7")(world)
    around = surroundings(world, chain=world.without_a_node()["chain"])
    findings = find(BY_NAME[name], around)
    assert (findings.healthy, findings.blind) == (False, True)
    assert "how_to_recover" not in evaluation(BY_NAME[name], findings).metadata


def test_a_violation_is_shown_with_how_to_recover(world: World) -> None:
    indexed(world)
    emptied("worker")(world)
    findings = find_in(world, "wallet_balances")
    assert "how_to_recover" in evaluation(BY_NAME["wallet_balances"], findings).metadata


def test_every_violation_is_counted_and_the_first_are_shown(database: Engine, world: World) -> None:
    for number in range(1, 31):
        b.evidence(database, 7, b.wallet(number), [b.run(5)])
    findings = find_in(world, "evidence_has_participant")
    assert (findings.count, len(findings.rows)) == (30, 20)


def test_every_check_says_how_to_recover() -> None:
    silent: list[Check] = [check for check in CHECKS if len(check.recovery) < 20]
    assert not silent


def test_the_operators_table_names_every_check() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    missing = [check.name for check in CHECKS if f"`{check.asset}.{check.name}`" not in text]
    assert not missing


def test_the_newest_logs_are_read_off_an_index_and_not_sorted(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("set local enable_seqscan = off"))
        plan = "\n".join(connection.scalars(text(f"explain {TABLES['chain_logs'].top}")))
    assert "Index Scan Backward using chain_logs_pkey" in plan
    assert "Sort" not in plan
