"""The whole pipeline, from a ``.env``, an empty database and somebody else's contracts to payouts.

The tests act as web app, users and chain only; what the pipeline does about it, it finds by itself.
On-chain windows are long, so that a slow machine fits into them; once everything that belongs into
one has happened, the chain's clock is put forward to its end.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.client import (
    ACTIVE,
    FINALIZED,
    NATIVE,
    SUCCESS,
    ZERO_ADDRESS,
    ZERO_HASH,
)
from lightchallenge_dagster.devnet.demo import check, webapp
from lightchallenge_dagster.devnet.demo.facts import ChainFacts
from lightchallenge_dagster.devnet.processes import Postgres
from lightchallenge_dagster.devnet.supervisor import Supervisor
from lightchallenge_dagster.devnet.wallets import Wallet
from tests.e2e.stack import Stack, files, leaks, started, stored

LCAI = 10**18
JOIN_S, RUN_S, PROOF_S = 15, 400, 600
SETTINGS = {
    "CONFIRMATION_BLOCKS": "1",
    # From the end on: the ranking closes with the challenge.
    "COMPETITIVE_MARGIN": str(PROOF_S),
    "SUBMIT_RESERVE": "60",
    "EVIDENCE_EVALUATOR_POLL_MS": "5000",
    "CHALLENGE_DISPATCHER_POLL_MS": "4000",
}

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def stack(
    supervisor: Supervisor, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    base = tmp_path_factory.mktemp("e2e")
    with started(supervisor, postgres, base, SETTINGS) as stack:
        webapp.add_models(stack.database, stack.client.deployment.poi_verifier)
        yield stack


def people(stack: Stack, *names: str) -> list[Wallet]:
    """Wallets with coins."""
    users = [wallets.user(f"e2e {name}") for name in names]
    for user in users:
        stack.anvil.rpc("anvil_setBalance", user.address, hex(100 * LCAI))
    return users


def create(stack: Stack, creator: Wallet, rule: dict[str, Any], starts_in_s: int) -> int:
    """The creator stakes one coin on a challenge and the web app saves it; its id."""
    client = stack.client
    start = client.now() + starts_in_s
    end, deadline = start + RUN_S, start + RUN_S + PROOF_S
    params = (0, NATIVE, ZERO_ADDRESS, LCAI, 0, start, RUN_S, 0,
              client.deployment.poi_verifier, deadline, ZERO_HASH)  # fmt: skip
    receipt = client.send(creator, "challengepay", "createChallenge", params, value=LCAI)
    challenge = int(receipt.event("ChallengeCreated").args["id"])
    webapp.save_challenge(
        stack.database,
        challenge_id=challenge,
        title="Most kilometres",
        description="Whoever runs the most kilometres takes the pot.",
        creator=creator.address,
        tx_hash=receipt.transaction_hash,
        model=webapp.RUNNING,
        rule=rule,
        start_ts=start,
        end_ts=end,
        proof_deadline_ts=deadline,
        stake_wei=LCAI,
    )
    return challenge


def longest_run() -> dict[str, Any]:
    """The rule: one winner, by kilometres."""
    today = datetime.now(UTC).date()
    return {
        "challengeType": "run",
        "period": {
            "start": (today - timedelta(days=1)).isoformat(),
            "end": (today + timedelta(days=1)).isoformat(),
            "timezone": "UTC",
        },
        "mode": "competitive",
        "topN": 1,
        "competitiveMetric": "distance_km",
    }


def upload(stack: Stack, challenge: int, user: Wallet, kilometres: float) -> None:
    """A run that has just ended, put into the inbox as the web app does it."""
    now = datetime.now(UTC)
    record = {
        "activity_id": f"run-{user.address[:10]}",
        "type": "run",
        "start": (now - timedelta(minutes=6 * kilometres)).isoformat(),
        "end": now.isoformat(),
        "distance_km": kilometres,
        "duration_min": 6 * kilometres,
        "avg_hr_bpm": 151,
    }
    target = stack.inbox / f"{challenge}__{user.address}__strava.json"
    hidden = target.with_suffix(".part")
    hidden.write_text(json.dumps([record]), encoding="utf-8")
    hidden.rename(target)


def chain_facts(stack: Stack) -> ChainFacts:
    """Everything the contracts have said so far."""
    facts = ChainFacts()
    facts.add(stack.client.events())
    return facts


def claimed(stack: Stack, challenge: int) -> dict[tuple[int, str, str], int]:
    """The ``claims`` rows: (challenge, wallet, type) to wei."""
    return {
        (row[0], row[1], row[2]): int(row[3])
        for row in stack.rows(
            "select challenge_id, lower(subject), claim_type, amount_wei from public.claims "
            "where challenge_id = %s",
            challenge,
        )
    }


def test_a_challenge_pays_its_winner(stack: Stack) -> None:
    client = stack.client
    creator, winner, other = users = people(stack, "creator", "winner", "other")
    challenge = create(stack, creator, longest_run(), JOIN_S)
    client.join(winner, challenge, 2 * LCAI)
    client.join(other, challenge, LCAI)
    on_chain = client.challenge(challenge)
    stack.eventually("the challenge begins", lambda: client.now() > on_chain.start_ts, JOIN_S + 60)
    for user, kilometres in ((creator, 7.3), (winner, 11.8), (other, 9.6)):
        upload(stack, challenge, user, kilometres)
    stack.eventually(
        "three verdicts",
        lambda: (
            len(stack.rows("select 1 from public.verdicts where challenge_id = %s", challenge))
            == len(users)
        ),
        RUN_S - 30,
    )
    # Nobody is paid while somebody may still run further.
    assert client.now() < on_chain.end_ts
    assert not client.events("aivm_inference", name="InferenceRequestedV2")
    assert not client.events("task_registry", name="BindingRecorded")

    client.travel_to(on_chain.end_ts)
    stack.eventually(
        "a winner on chain", lambda: client.challenge(challenge).winners_count, PROOF_S - 60
    )
    assert client.now() < on_chain.proof_deadline_ts
    assert client.challenge(challenge).status == ACTIVE

    client.travel_to(on_chain.proof_deadline_ts)
    stack.eventually(
        "the challenge finalized on chain and in its row",
        lambda: stack.rows(
            "select 1 from public.challenges where id = %s and status = 'Finalized'", challenge
        ),
        240,
    )
    ended = client.challenge(challenge)
    assert (ended.status, ended.outcome, ended.winners_count) == (FINALIZED, SUCCESS, 1)
    assert stack.rows("select chain_outcome from public.challenges where id = %s", challenge) == [
        (SUCCESS,)
    ]
    assert [client.is_winner(challenge, user.address) for user in users] == [False, True, False]
    assert stack.rows(
        "select lower(subject), rank, winner from public.rankings where challenge_id = %s "
        "order by rank",
        challenge,
    ) == [(winner.address, 1, True), (other.address, 2, False), (creator.address, 3, False)]

    payout = client.claim_winner(winner, challenge)
    assert payout > 2 * LCAI
    assert client.claim_eth(winner, challenge) == payout
    for loser in (creator, other):
        cashback = client.claim_loser(loser, challenge)
        assert 0 < cashback < LCAI
        # The creator's part of the fees is granted beside the cashback.
        assert client.claim_eth(loser, challenge) >= cashback
    events = chain_facts(stack)
    assert len(events.claims) == 2 * len(users)
    stack.eventually(
        f"claims as on chain: {events.claims}",
        lambda: claimed(stack, challenge) == events.claims,
        120,
    )
    assert events.winners == {challenge: {winner.address}}
    assert events.bound == {challenge: {winner.address}}
    assert len(events.requests) == 1
    assert len(client.events("aivm_inference", name="InferenceRequestedV2")) == 1
    # What nothing happened to took no run: no account is linked, no season and no mint exist.
    assert {run.job for run in stack.runs()} == {
        "follow_chain",
        "take_in_uploads",
        "judge_and_rank",
        "request_inferences",
        "settle_winners",
        "finalize_challenges",
    }


def test_an_idle_chain_launches_nothing_and_one_join_launches_one_run(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    creator, late = people(stack, "host", "late")
    challenge = create(stack, creator, longest_run(), 3600)

    def participants() -> set[str]:
        return {
            row[0]
            for row in stack.rows(
                "select lower(subject) from public.participants where challenge_id = %s", challenge
            )
        }

    stack.eventually("the creator's row", lambda: creator.address in participants(), 60)
    before = stack.quiet(8, 120)

    block, idle = stack.anvil.block_number(), time.monotonic() + 60
    while time.monotonic() < idle:
        assert stack.runs() == before
        time.sleep(1)
    assert stack.anvil.block_number() > block + 30, "the chain stood still"

    stack.client.join(late, challenge, LCAI)
    joined, at = time.monotonic(), time.time()
    stack.eventually("the participant's row", lambda: late.address in participants(), 20)
    seconds = time.monotonic() - joined
    while time.monotonic() < joined + 35:
        assert len(stack.runs()) <= len(before) + 1, stack.runs()[len(before) :]
        time.sleep(1)
    (run,) = stack.runs()[len(before) :]
    assert (run.job, run.status) == ("follow_chain", "SUCCESS")
    launched, begun, ended = stack.times(run)
    with capsys.disabled():
        print(  # noqa: T201
            f"\na Joined became a row after {seconds:.1f} s: its run was requested after "
            f"{launched - at:.1f} s, began after {begun - at:.1f} s, ended after {ended - at:.1f} s"
        )


def test_every_check_is_green_and_no_run_failed(stack: Stack) -> None:
    last = max((run.ended or 0 for run in stack.quiet(5, 120)), default=0)
    stack.eventually(
        "the health sensor has looked", lambda: check.looked_after_since(stack.api, last), 120
    )
    assert [str(one) for one in check.of_dagster(stack.api) if not one.holds] == []


def test_no_secret_is_stored_logged_or_shown(stack: Stack) -> None:
    found = leaks(stack.secrets, stored(stack.history))
    found += leaks(stack.secrets, stored(stack.database))
    found += leaks(stack.secrets, files(stack.folder.parent, but=[stack.folder / ".env"]))
    log = stack.dagster.log.read_bytes()
    found += leaks(stack.secrets, iter([("the log of dagster dev", log)]))
    arguments = [
        (f"the arguments of {process.pid}", " ".join(process.cmdline()).encode())
        for process in psutil.Process(stack.dagster.pid).children(recursive=True)
    ]
    assert len(arguments) >= 3
    found += leaks(stack.secrets, iter(arguments))
    assert sorted(set(found)) == []
    key = bytes(range(200, 232))
    for shown in (key.hex(), repr(key), str(int.from_bytes(key)), f"{base64.b64encode(key)!r}"):
        assert leaks({"a key": key.hex()}, iter([("a text", shown.encode())])), shown
    # The search finds what is there, packed or not: names that Dagster surely stores.
    names = {"a job": "judge_and_rank", "a variable's name": "LCAI_WORKER_PK"}
    places = leaks(names, stored(stack.history))
    assert "a job in public.runs" in places
    assert "a job in public.event_logs" in places
    assert "a job in public.snapshots" in places
