"""Exactly once, whatever dies: the outbox on a real chain and a real database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from lightchallenge_dagster.chain.abi import selector
from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcTimeout
from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.devnet.processes import Anvil
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.steps.outbox import Outbox, OutboxPolicy, Outcome, advanceable
from lightchallenge_dagster.storage import outbox as stored_intents
from lightchallenge_dagster.storage.outbox import Intent
from lightchallenge_dagster.storage.rehearsal import rehearsal
from tests import builders

RECIPIENT = "0x00000000000000000000000000000000000a11ce"
CONTRACT = "0x00000000000000000000000000000000000c0de5"
POLICY = OutboxPolicy(chain_id=504, confirmations=3, receipt_timeout_s=20, poll_s=0.02)
BOUNDARIES = (
    "planned", "simulated", "signed", "stored", "sent", "broadcast", "receipt", "mined",
)  # fmt: skip


class Killed(BaseException):
    """Stands for the process's end: nothing in the package may catch it."""


def kill_at(boundary: str) -> Callable[[str, str], None]:
    def observe(reached: str, key: str) -> None:
        if reached == boundary:
            raise Killed(f"{boundary} of {key}")

    return observe


def outbox(
    database: Engine,
    anvil: Anvil,
    *,
    policy: OutboxPolicy = POLICY,
    keys: Sequence[str] | None = None,
    rpc: Rpc | None = None,
    **options: Any,
) -> Outbox:
    signers = [Signer(key) for key in (keys or anvil.keys[:1])]
    return Outbox(database, rpc or Rpc(anvil.url), signers, policy, **options)


def a_gift(anvil: Anvil, key: str = "gift:1", wei: int = 7, **changes: Any) -> Intent:
    values: dict[str, Any] = {
        "key": key,
        "kind": "proof",
        "signer": anvil.accounts[0],
        "to": RECIPIENT,
        "data": "0x",
        "value_wei": wei,
    }
    return Intent(**{**values, **changes})


def received(anvil: Anvil, wallet: str = RECIPIENT) -> int:
    return int(anvil.rpc("eth_getBalance", wallet, "latest"), 16)


def refuse(anvil: Anvil, error: str) -> None:
    """Put a contract at CONTRACT that refuses everything with the custom error."""
    four = selector(f"{error}()").hex()
    # PUSH4 error, PUSH1 224, SHL, PUSH1 0, MSTORE, then revert(0, 4)
    anvil.rpc("anvil_setCode", CONTRACT, f"0x63{four}60e01b60005260046000fd")


def accept(anvil: Anvil) -> None:
    anvil.rpc("anvil_setCode", CONTRACT, "0x00")


def rows(database: Engine, table: str) -> list[dict[str, Any]]:
    with database.begin() as connection:
        found = connection.execute(text(f"select * from pipeline.{table} order by 1"))  # noqa: S608
        return [dict(row._mapping) for row in found]


def intent_row(database: Engine, key: str = "gift:1") -> dict[str, Any]:
    return next(row for row in rows(database, "intents") if row["key"] == key)


def state_of(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


def test_an_intent_is_sent_once_however_often_it_is_submitted(
    database: Engine, anvil: Anvil
) -> None:
    sender = outbox(database, anvil)
    (first,) = sender.submit([a_gift(anvil)])
    (again,) = sender.submit([a_gift(anvil)])
    assert (first.state, again.state) == ("mined", "mined")
    assert first.tx_hash == again.tx_hash
    assert again.receipt is not None
    assert received(anvil) == 7


def test_many_intents_take_successive_nonces_and_share_the_wait(
    database: Engine, anvil: Anvil
) -> None:
    anvil.rpc("evm_setAutomine", False)
    try:
        anvil.rpc("evm_setIntervalMining", 1)
        gifts = [a_gift(anvil, f"gift:{n:02}") for n in range(12)]
        assert set(state_of(outbox(database, anvil).submit(gifts))) == {"mined"}
    finally:
        anvil.rpc("evm_setIntervalMining", 0)
        anvil.rpc("evm_setAutomine", True)
    assert received(anvil) == 12 * 7
    nonces = [
        tx["nonce"] for tx in sorted(rows(database, "transactions"), key=lambda t: t["nonce"])
    ]
    assert nonces == list(range(nonces[0], nonces[0] + 12))


def test_a_refusal_is_known_by_name_and_nothing_is_signed(database: Engine, anvil: Anvil) -> None:
    refuse(anvil, "NotAdmin")
    (outcome,) = outbox(database, anvil).submit([a_gift(anvil, to=CONTRACT)])
    assert (outcome.state, outcome.error) == ("refused", "NotAdmin")
    row = intent_row(database)
    assert (row["status"], row["refusals"], row["last_error"]) == ("refused", 1, "NotAdmin")
    assert row["retry_at"] is not None
    assert rows(database, "transactions") == []
    assert rows(database, "signers") == []


def test_what_clears_by_itself_waits_and_counts_as_no_attempt(
    database: Engine, anvil: Anvil
) -> None:
    refuse(anvil, "BeforeDeadline")
    (outcome,) = outbox(database, anvil).submit([a_gift(anvil, to=CONTRACT)])
    assert outcome.state == "waiting"
    assert intent_row(database)["refusals"] == 0
    accept(anvil)
    (outcome,) = outbox(database, anvil).submit([a_gift(anvil, to=CONTRACT)])
    assert outcome.state == "mined"


def test_an_effect_that_is_there_already_is_done(database: Engine, anvil: Anvil) -> None:
    refuse(anvil, "AlreadyWinner")
    (outcome,) = outbox(database, anvil).submit([a_gift(anvil, to=CONTRACT)])
    assert outcome.state == "done"
    assert rows(database, "transactions") == []


def test_one_refused_intent_does_not_hold_up_the_others(database: Engine, anvil: Anvil) -> None:
    refuse(anvil, "NotEligible")
    outcomes = outbox(database, anvil).submit(
        [a_gift(anvil, "gift:1"), a_gift(anvil, "gift:2", to=CONTRACT), a_gift(anvil, "gift:3")]
    )
    assert state_of(outcomes) == ["mined", "refused", "mined"]
    assert received(anvil) == 14


def test_an_empty_wallet_sends_nothing_and_says_what_it_needs(
    database: Engine, anvil: Anvil
) -> None:
    poor = anvil.accounts[3]
    anvil.rpc("anvil_setBalance", poor, hex(10**12))
    sender = outbox(database, anvil, keys=[anvil.keys[3]])
    outcomes = sender.submit([a_gift(anvil, f"gift:{n}", signer=poor) for n in (1, 2)])
    assert state_of(outcomes) == ["waiting", "waiting"]
    assert poor in str(outcomes[0].error)
    assert rows(database, "transactions") == []
    assert intent_row(database)["refusals"] == 0
    anvil.rpc("anvil_setBalance", poor, hex(10**18))
    assert state_of(sender.submit([a_gift(anvil, signer=poor)])) == ["mined"]


def test_a_price_above_our_maximum_waits(database: Engine, anvil: Anvil) -> None:
    cheap = OutboxPolicy(chain_id=504, confirmations=3, max_fee_per_gas_wei=10)
    (outcome,) = outbox(database, anvil, policy=cheap).submit([a_gift(anvil)])
    assert outcome.state == "waiting"
    assert "maximum" in str(outcome.error)
    assert received(anvil) == 0


def test_a_transaction_that_reverts_is_never_believed_and_is_final_only_at_depth(
    database: Engine, anvil: Anvil
) -> None:
    accept(anvil)

    def spoil(boundary: str, _key: str) -> None:
        if boundary == "stored":
            refuse(anvil, "NotActive")

    patient = OutboxPolicy(chain_id=504, confirmations=3, receipt_timeout_s=0)
    (outcome,) = outbox(database, anvil, policy=patient, observe=spoil).submit(
        [a_gift(anvil, to=CONTRACT)]
    )
    assert outcome.state == "pending"
    sender = outbox(database, anvil, policy=patient)
    sender.resume()
    assert intent_row(database)["status"] == "mined"
    (outcome,) = sender.submit([a_gift(anvil, to=CONTRACT)])
    assert (outcome.state, outcome.final) == ("pending", False)
    anvil.mine(3)
    assert sender.resume().reverted == 1
    assert intent_row(database)["status"] == "reverted"
    (outcome,) = sender.submit([a_gift(anvil, to=CONTRACT)])
    assert outcome.state == "reverted"
    assert len(rows(database, "transactions")) == 1


def test_a_mined_intent_is_confirmed_at_depth(database: Engine, anvil: Anvil) -> None:
    sender = outbox(database, anvil)
    sender.submit([a_gift(anvil)])
    assert intent_row(database)["status"] == "mined"
    assert sender.resume().confirmed == 0
    anvil.mine(2)
    assert sender.resume().confirmed == 1
    assert intent_row(database)["status"] == "confirmed"
    assert sender.resume().looked_at == 0


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("how", ["submit again", "resume first"])
def test_a_death_at_any_boundary_ends_in_one_effect(
    database: Engine, anvil: Anvil, boundary: str, how: str
) -> None:
    gifts = [a_gift(anvil, f"gift:{n}") for n in (1, 2, 3)]
    with pytest.raises(Killed):
        outbox(database, anvil, observe=kill_at(boundary)).submit(gifts)
    sender = outbox(database, anvil)
    if how == "resume first":
        sender.resume()
    assert state_of(sender.submit(gifts)) == ["mined"] * 3
    assert received(anvil) == 21
    assert len(rows(database, "transactions")) == 3
    assert {row["status"] for row in rows(database, "intents")} <= {"mined", "confirmed"}


_VICTIM = """
import os, signal, sys
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.steps.outbox import Outbox, OutboxPolicy
from lightchallenge_dagster.storage.database import connect
from lightchallenge_dagster.storage import outbox as stored_intents
from lightchallenge_dagster.storage.outbox import Intent

boundary, key_to_die_at, recipient = sys.argv[1:]
signer = Signer(os.environ["KEY"])

def observe(reached, key):
    if (reached, key) == (boundary, key_to_die_at):
        os.kill(os.getpid(), signal.SIGKILL)

gifts = [
    Intent(key=f"gift:{n}", kind="proof", signer=signer.address, to=recipient, data="0x",
           value_wei=7)
    for n in (1, 2)
]
Outbox(
    connect(os.environ["DATABASE_URL"]), Rpc(os.environ["RPC"]), [signer],
    OutboxPolicy(chain_id=504, confirmations=3, receipt_timeout_s=5, poll_s=0.02),
    observe=observe,
).submit(gifts)
"""


@pytest.mark.parametrize("boundary", ["signed", "stored", "sent", "broadcast", "receipt"])
def test_a_killed_process_leaves_exactly_one_effect_behind(
    database: Engine, database_url: str, anvil: Anvil, boundary: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _VICTIM, boundary, "gift:2", RECIPIENT],
        env={
            **os.environ,
            "KEY": anvil.keys[0],
            "DATABASE_URL": database_url,
            "RPC": anvil.url,
        },
        check=False,
        timeout=60,
    )
    assert ended.returncode == -signal.SIGKILL
    sender = outbox(database, anvil)
    sender.resume()
    assert state_of(sender.submit([a_gift(anvil, "gift:1"), a_gift(anvil, "gift:2")])) == [
        "mined",
        "mined",
    ]
    assert received(anvil) == 14
    assert len(rows(database, "transactions")) == 2


class Miscounting(Rpc):
    """The real node, with transactions in its pending count that nobody will ever mine."""

    def __init__(self, url: str, too_many: int) -> None:
        super().__init__(url)
        self.too_many = too_many

    def call(self, method: str, params: Sequence[Any]) -> Any:
        answer = super().call(method, params)
        if method == "eth_getTransactionCount" and params[1] == "pending":
            return hex(int(answer, 16) + self.too_many)
        return answer


class Misstating(Rpc):
    """Says that its blocks hold so little gas."""

    def __init__(self, url: str, gas_limit: int) -> None:
        super().__init__(url)
        self._gas_limit = gas_limit

    def call(self, method: str, params: Sequence[Any]) -> Any:
        said = super().call(method, params)
        if method == "eth_getBlockByNumber":
            said["gasLimit"] = hex(self._gas_limit)
        return said


class Hiding(Rpc):
    """The real node, without any transaction and any receipt."""

    def call(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_getTransactionByHash":
            return None
        return super().call(method, params)

    def batch(self, calls: Any) -> Any:
        answers = super().batch(calls)
        return [
            None if method == "eth_getTransactionReceipt" else answer
            for (method, _), answer in zip(calls, answers, strict=True)
        ]


class Unreliable(Rpc):
    """The real node behind a line that misbehaves when a transaction is sent."""

    def __init__(self, url: str, fault: str, times: int = 1) -> None:
        super().__init__(url)
        self.fault = fault
        self.left = times

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method != "eth_sendRawTransaction" or self.left == 0:
            return super().call(method, params)
        self.left -= 1
        if self.fault == "timeout after acceptance":
            super().call(method, params)
            raise RpcTimeout("eth_sendRawTransaction: no answer in 20 s")
        if self.fault == "dropped":
            return "0x" + "00" * 32
        if self.fault == "known after acceptance":
            super().call(method, params)
        raise RpcError(method, -32000, "already known")


@pytest.mark.parametrize(
    "fault",
    ["timeout after acceptance", "dropped", "known after acceptance", "falsely known"],
)
def test_what_a_node_says_about_a_broadcast_is_checked_on_the_chain(
    database: Engine, anvil: Anvil, fault: str
) -> None:
    hasty = OutboxPolicy(chain_id=504, confirmations=3, receipt_timeout_s=0.2, poll_s=0.02)
    rpc = Unreliable(anvil.url, fault)
    (outcome,) = outbox(database, anvil, policy=hasty, rpc=rpc).submit([a_gift(anvil)])
    accepted = fault in ("timeout after acceptance", "known after acceptance")
    assert outcome.state == ("mined" if accepted else "pending")
    sender = outbox(database, anvil)
    sender.resume()
    assert state_of(sender.submit([a_gift(anvil)])) == ["mined"]
    assert received(anvil) == 7
    assert len(rows(database, "transactions")) == 1


class Gone(Rpc):
    """A node that is lost as soon as a transaction was sent."""

    lost = False

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if self.lost:
            raise RpcTimeout(f"{method}: no answer in 20 s")
        answer = super().call(method, params)
        self.lost = method == "eth_sendRawTransaction"
        return answer

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        if self.lost:
            raise RpcTimeout("a batch: no answer in 20 s")
        return super().batch(calls)


def test_a_node_that_is_lost_after_signing_leaves_pending_intents_and_no_error(
    database: Engine, anvil: Anvil
) -> None:
    hasty = OutboxPolicy(chain_id=504, confirmations=3, receipt_timeout_s=0.1, poll_s=0.02)
    gifts = [a_gift(anvil, "gift:1"), a_gift(anvil, "gift:2")]
    outcomes = outbox(database, anvil, policy=hasty, rpc=Gone(anvil.url)).submit(gifts)
    assert state_of(outcomes) == ["pending", "pending"]
    assert "no answer" in str(outcomes[1].error)
    assert state_of(outbox(database, anvil).submit(gifts)) == ["mined", "mined"]
    assert received(anvil) == 14


def test_a_reorg_reopens_a_mined_intent_and_it_is_mined_again_once(
    database: Engine, anvil: Anvil
) -> None:
    before = anvil.rpc("evm_snapshot")
    sender = outbox(database, anvil)
    sender.submit([a_gift(anvil)])
    anvil.rpc("evm_revert", before)
    assert received(anvil) == 0
    report = sender.resume()
    assert (report.reopened, report.broadcast) == (1, 1)
    assert state_of(sender.submit([a_gift(anvil)])) == ["mined"]
    assert received(anvil) == 7
    assert len(rows(database, "transactions")) == 1


def test_a_nonce_used_elsewhere_is_noticed_at_depth_and_the_intent_signed_anew(
    database: Engine, anvil: Anvil
) -> None:
    with pytest.raises(Killed):
        outbox(database, anvil, observe=kill_at("stored")).submit([a_gift(anvil)])
    # Somebody else uses the same key by hand.
    anvil.rpc(
        "eth_sendTransaction",
        {"from": anvil.accounts[0], "to": anvil.accounts[5], "value": "0x1"},
    )
    sender = outbox(database, anvil, policy=OutboxPolicy(504, 3, receipt_timeout_s=0))
    assert sender.resume().ousted == 0
    assert intent_row(database)["status"] == "signed"
    anvil.mine(3)
    assert sender.resume().ousted == 1
    assert state_of(outbox(database, anvil).submit([a_gift(anvil)])) == ["mined"]
    assert received(anvil) == 7


def test_nonces_used_elsewhere_in_the_meantime_are_stepped_over(
    database: Engine, anvil: Anvil
) -> None:
    sender = outbox(database, anvil)
    sender.submit([a_gift(anvil, "gift:1")])
    anvil.rpc(
        "eth_sendTransaction",
        {"from": anvil.accounts[0], "to": anvil.accounts[5], "value": "0x1"},
    )
    assert state_of(sender.submit([a_gift(anvil, "gift:2")])) == ["mined"]
    assert received(anvil) == 14


def passed_over(database: Engine, anvil: Anvil, policy: OutboxPolicy, blocks: int) -> int:
    """Sign a gift that the next ``blocks`` blocks find too cheap; its fee, in wei per gas."""
    anvil.rpc("evm_setAutomine", False)
    outbox(database, anvil, policy=policy).submit([a_gift(anvil)])
    (stored,) = rows(database, "transactions")
    fee = int(stored["max_fee_per_gas"])
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(fee * 3))
    anvil.mine(blocks)
    return fee


@pytest.fixture
def automine_again(anvil: Anvil) -> Iterator[None]:
    price = anvil.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"]
    yield
    anvil.rpc("evm_setAutomine", True)
    # A snapshot does not remember it.
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", price)


IMPATIENT = OutboxPolicy(504, 3, receipt_timeout_s=0)


@pytest.mark.usefixtures("automine_again")
def test_a_transaction_that_three_blocks_pass_over_is_replaced_at_its_nonce(
    database: Engine, anvil: Anvil
) -> None:
    passed_over(database, anvil, IMPATIENT, 2)
    assert outbox(database, anvil, policy=IMPATIENT).resume().bumped == 0
    anvil.mine()
    assert outbox(database, anvil, policy=IMPATIENT).resume().bumped == 1
    stored = rows(database, "transactions")
    assert len(stored) == 2
    assert len({tx["nonce"] for tx in stored}) == 1
    low, high = sorted(stored, key=lambda tx: tx["max_fee_per_gas"])
    assert high["max_fee_per_gas"] >= low["max_fee_per_gas"] * 120 / 100
    assert high["max_priority_fee_per_gas"] >= low["max_priority_fee_per_gas"] * 120 / 100
    # The next replacement has to be passed over by three blocks of its own.
    assert outbox(database, anvil, policy=IMPATIENT).resume().bumped == 0
    anvil.mine()
    (outcome,) = outbox(database, anvil).submit([a_gift(anvil)])
    assert outcome.state == "mined"
    assert received(anvil) == 7
    assert sum(tx["receipt_status"] == 1 for tx in rows(database, "transactions")) == 1


@pytest.mark.usefixtures("automine_again")
@pytest.mark.parametrize(("room_percent", "bumped"), [(119, 0), (121, 1)])
def test_a_replacement_never_pays_more_than_the_cap_nor_too_little_to_be_taken(
    database: Engine, anvil: Anvil, room_percent: int, bumped: int
) -> None:
    fee = passed_over(database, anvil, IMPATIENT, 3)
    capped = replace(IMPATIENT, max_fee_per_gas_wei=fee * room_percent // 100)
    assert outbox(database, anvil, policy=capped).resume().bumped == bumped
    stored = rows(database, "transactions")
    assert len(stored) == 1 + bumped
    assert max(tx["max_fee_per_gas"] for tx in stored) <= fee * room_percent // 100


def test_a_hole_among_the_nonces_is_taken_by_the_next_intent(
    database: Engine, anvil: Anvil
) -> None:
    """A pending count that named somebody's transactions which were never mined."""
    first = outbox(database, anvil, rpc=Miscounting(anvil.url, 3), policy=IMPATIENT)
    first.submit([a_gift(anvil, "gift:1")])
    assert [row["nonce"] for row in rows(database, "intents")] == [3]
    assert state_of(outbox(database, anvil).submit([a_gift(anvil, "gift:2")])) == ["mined"]
    assert intent_row(database, "gift:2")["nonce"] == 0
    assert received(anvil) == 7


def test_a_hole_that_keeps_ours_waiting_is_filled_by_empty_transactions(
    database: Engine, anvil: Anvil
) -> None:
    first = outbox(database, anvil, rpc=Miscounting(anvil.url, 3), policy=IMPATIENT)
    first.submit([a_gift(anvil)])
    sender = outbox(database, anvil)
    assert sender.resume().filled == 0, "the others may still be on their way"
    anvil.mine(3)
    assert sender.resume().filled == 3
    assert state_of(sender.submit([a_gift(anvil)])) == ["mined"]
    assert received(anvil) == 7
    fills = [row for row in rows(database, "intents") if row["kind"] == "fill"]
    assert [row["nonce"] for row in fills] == [0, 1, 2]
    assert {row["to_address"] for row in fills} == {anvil.accounts[0]}
    assert sender.resume().filled == 0


def test_a_pending_count_beyond_belief_is_not_believed(database: Engine, anvil: Anvil) -> None:
    lied_to = outbox(database, anvil, rpc=Miscounting(anvil.url, 10**6), policy=IMPATIENT)
    lied_to.submit([a_gift(anvil)])
    assert intent_row(database)["nonce"] <= 8


def test_a_node_that_hides_a_mined_transaction_gets_no_second_one(
    database: Engine, anvil: Anvil
) -> None:
    """Receipt and transaction are gone, the nonce is used, and blocks are on top."""
    with pytest.raises(Killed):
        outbox(database, anvil, observe=kill_at("broadcast")).submit([a_gift(anvil)])
    anvil.mine(5)
    hiding = outbox(database, anvil, rpc=Hiding(anvil.url), policy=IMPATIENT)
    assert hiding.resume().ousted == 0
    assert state_of(hiding.submit([a_gift(anvil)])) == ["pending"]
    assert state_of(outbox(database, anvil).submit([a_gift(anvil)])) == ["mined"]
    assert received(anvil) == 7
    assert len(rows(database, "transactions")) == 1


def test_requests_wait_for_the_daily_limit_and_nothing_else_does(
    database: Engine, anvil: Anvil
) -> None:
    limited = replace(POLICY, max_request_spend_per_day_wei=10**16)
    wei = 6 * 10**15
    sender = outbox(database, anvil, policy=limited)
    asked = [a_gift(anvil, f"request:{n}", wei, kind="request") for n in (1, 2)]
    first, second = sender.submit(asked)
    assert (first.state, second.state) == ("mined", "waiting")
    assert "more is above the limit of 10000000000000000 wei a day" in str(second.error)
    assert intent_row(database, "request:2")["refusals"] == 0
    assert state_of(sender.submit([a_gift(anvil, "proof:1", wei)])) == ["mined"]
    builders.execute(
        database, "update pipeline.transactions set signed_at = now() - interval '25 hours'"
    )
    assert state_of(sender.submit(asked[1:])) == ["mined"]
    assert received(anvil) == 3 * wei


def test_a_dry_run_shows_what_would_be_sent_and_leaves_no_trace(
    database: Engine, anvil: Anvil
) -> None:
    refuse(anvil, "NotAdmin")
    with rehearsal(database) as stage:
        dry = outbox(database=stage, anvil=anvil, dry_run=True)
        states = state_of(dry.submit([a_gift(anvil), a_gift(anvil, "gift:2", to=CONTRACT)]))
    assert states == ["pending", "refused"]
    (preview,) = dry.previews
    assert preview.intent.key == "gift:1"
    assert preview.cost_wei == 7 + preview.gas * preview.max_fee_per_gas
    assert rows(database, "intents") == rows(database, "signers") == []
    assert received(anvil) == 0


def test_workers_that_race_for_the_same_intents_send_each_once(
    database: Engine, anvil: Anvil
) -> None:
    gifts = [a_gift(anvil, f"gift:{n}") for n in range(5)]
    results: list[list[str]] = []

    def work() -> None:
        results.append(state_of(outbox(database, anvil).submit(gifts)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["mined"] * 5] * 4
    assert received(anvil) == 35
    nonces = sorted(tx["nonce"] for tx in rows(database, "transactions"))
    assert nonces == list(range(nonces[0], nonces[0] + 5))


def test_a_call_to_an_address_without_a_contract_is_not_signed(
    database: Engine, anvil: Anvil
) -> None:
    lost = a_gift(anvil, "gift:lost", to=CONTRACT, data="0x12345678")
    outcome, sent = outbox(database, anvil).submit([lost, a_gift(anvil)])
    assert (outcome.state, sent.state) == ("waiting", "mined")
    assert f"no contract is at {CONTRACT}: check the configured address" in str(outcome.error)
    assert received(anvil, CONTRACT) == 0
    accept(anvil)
    assert state_of(outbox(database, anvil).submit([lost])) == ["mined"]


def burn(anvil: Anvil, gas: int) -> None:
    """Put a contract at CONTRACT that takes about so much gas and does nothing."""
    # PUSH3 rounds, and at 4: JUMPDEST, PUSH1 1, SWAP1, SUB, DUP1, PUSH1 4, JUMPI; 26 gas a round
    anvil.rpc("anvil_setCode", CONTRACT, f"0x62{gas // 26:06x}5b60019003806004575b00")


def test_what_takes_too_much_gas_is_refused_and_keeps_no_nonce(
    database: Engine, anvil: Anvil
) -> None:
    burn(anvil, 17_000_000)
    hog = a_gift(anvil, "gift:hog", 0, to=CONTRACT)
    refused, sent = outbox(database, anvil).submit([hog, a_gift(anvil)])
    assert (refused.state, sent.state) == ("refused", "mined")
    assert "more than the 16000000 that a transaction may take" in str(refused.error)
    assert intent_row(database, "gift:hog")["refusals"] == 1


def test_what_no_block_holds_now_waits_and_counts_as_no_attempt(
    database: Engine, anvil: Anvil
) -> None:
    burn(anvil, 1_000_000)
    hog = a_gift(anvil, "gift:hog", 0, to=CONTRACT)
    small = Misstating(anvil.url, 900_000)
    (outcome,) = outbox(database, anvil, rpc=small).submit([hog])
    assert outcome.state == "waiting"
    assert "more than the 900000 of a block" in str(outcome.error)
    assert intent_row(database, "gift:hog")["refusals"] == 0
    assert state_of(outbox(database, anvil).submit([hog])) == ["mined"]


@pytest.mark.usefixtures("automine_again")
def test_a_gas_limit_that_was_misstated_once_binds_no_later_replacement(
    database: Engine, anvil: Anvil
) -> None:
    passed_over(database, anvil, IMPATIENT, 3)
    small = Misstating(anvil.url, 20_000)
    assert outbox(database, anvil, policy=IMPATIENT, rpc=small).resume().bumped == 1
    anvil.mine(3)
    assert outbox(database, anvil, policy=IMPATIENT).resume().bumped == 1
    signed = sorted(rows(database, "transactions"), key=lambda tx: tx["signed_at"])
    first, low, last = (tx["gas"] for tx in signed)
    assert (low, last) == (20_000, first)


def test_no_transaction_asks_for_more_gas_than_a_block_holds(
    database: Engine, anvil: Anvil
) -> None:
    limit = int(anvil.rpc("eth_getBlockByNumber", "latest", False)["gasLimit"], 16)
    burn(anvil, limit * 9 // 10)
    generous = replace(POLICY, max_gas=2 * limit)
    intents = [a_gift(anvil, "gift:hog", 0, to=CONTRACT), a_gift(anvil)]
    assert state_of(outbox(database, anvil, policy=generous).submit(intents)) == ["mined"] * 2
    assert max(one["gas"] for one in rows(database, "transactions")) == limit


def test_a_transaction_that_no_block_holds_any_more_is_replaced_by_one_that_fits(
    database: Engine, anvil: Anvil
) -> None:
    limit = anvil.rpc("eth_getBlockByNumber", "latest", False)["gasLimit"]
    anvil.rpc("evm_setAutomine", False)
    try:
        outbox(database, anvil, policy=IMPATIENT).submit([a_gift(anvil)])
        (signed,) = rows(database, "transactions")
        anvil.rpc("evm_setBlockGasLimit", hex(signed["gas"] - 1))
        anvil.mine(IMPATIENT.bump_after_blocks)
        assert received(anvil) == 0
        assert outbox(database, anvil, policy=IMPATIENT).resume().bumped == 1
        anvil.mine()
        assert received(anvil) == 7
    finally:
        anvil.rpc("evm_setBlockGasLimit", limit)
        anvil.rpc("evm_setAutomine", True)


def test_an_intent_that_another_pipeline_plans_for_another_wallet_meanwhile_is_not_signed(
    database: Engine, anvil: Anvil
) -> None:
    other = a_gift(anvil, signer=anvil.accounts[1])

    def planned_anew(boundary: str, _key: str) -> None:
        if boundary == "simulated":
            with database.begin() as connection:
                stored_intents.plan(connection, POLICY.chain_id, [other])

    (outcome,) = outbox(database, anvil, observe=planned_anew).submit([a_gift(anvil)])
    assert (outcome.state, outcome.error) == ("waiting", "it was planned anew meanwhile")
    assert rows(database, "transactions") == []


@pytest.mark.usefixtures("automine_again")
def test_a_run_that_looks_after_its_own_wallets_puts_nobody_elses_off(
    database: Engine, anvil: Anvil
) -> None:
    anvil.rpc("evm_setAutomine", False)
    outbox(database, anvil, policy=IMPATIENT).submit([a_gift(anvil)])
    before = intent_row(database)["retry_at"]
    stranger = outbox(database, anvil, policy=IMPATIENT, keys=anvil.keys[1:2])
    assert stranger.resume(only_own=True).looked_at == 0
    assert intent_row(database)["retry_at"] == before
    assert stranger.resume().looked_at == 1


def test_a_chain_without_base_fees_gets_legacy_transactions(
    database: Engine, fresh_anvil: Callable[..., Anvil]
) -> None:
    node = fresh_anvil("--hardfork", "berlin")
    assert state_of(outbox(database, node).submit([a_gift(node)])) == ["mined"]
    (tx,) = rows(database, "transactions")
    assert tx["max_priority_fee_per_gas"] is None
    assert received(node) == 7


def test_a_node_on_another_chain_is_sent_nothing(database: Engine, anvil: Anvil) -> None:
    with pytest.raises(PermanentError, match="chain 504, not 505"):
        outbox(database, anvil, policy=OutboxPolicy(chain_id=505)).submit([a_gift(anvil)])
    assert received(anvil) == 0


def test_a_wallet_without_a_key_is_named(database: Engine, anvil: Anvil) -> None:
    with pytest.raises(PermanentError, match=anvil.accounts[4]):
        outbox(database, anvil).submit([a_gift(anvil, signer=anvil.accounts[4])])


def test_a_signed_intent_keeps_its_content_when_it_is_planned_with_another(
    database: Engine, anvil: Anvil
) -> None:
    sender = outbox(database, anvil)
    sender.submit([a_gift(anvil)])
    (outcome,) = sender.submit([a_gift(anvil, wei=1000)])
    assert outcome.state == "mined"
    assert intent_row(database)["value_wei"] == 7
    assert received(anvil) == 7


def test_intents_can_be_advanced_only_when_there_is_something_to_see(
    database: Engine, anvil: Anvil
) -> None:
    def confirm(block: int) -> None:
        with database.begin() as connection:
            connection.execute(
                text("""
                    insert into pipeline.checkpoints
                        (chain_id, stream, block_number, block_hash, first_block)
                    values (504, 'live', :block, '0x00', 0)
                    on conflict (chain_id, stream) do update set block_number = :block
                """),
                {"block": block},
            )

    assert advanceable(database) == []
    with pytest.raises(Killed):
        outbox(database, anvil, observe=kill_at("stored")).submit([a_gift(anvil)])
    # Whoever signed it is left the time to send it.
    assert advanceable(database) == []
    with database.begin() as connection:
        connection.execute(text("update pipeline.intents set retry_at = now()"))
    assert advanceable(database) == ["gift:1"]
    sender = outbox(database, anvil)
    sender.submit([a_gift(anvil)])
    block = anvil.block_number()
    confirm(block - 1)
    assert advanceable(database) == []
    confirm(block)
    assert advanceable(database) == ["gift:1"]
    anvil.mine(3)
    sender.resume()
    assert advanceable(database) == []


def test_the_indexers_confirmation_is_enough_and_another_block_is_not(
    database: Engine, anvil: Anvil
) -> None:
    deep = OutboxPolicy(504, confirmations=50, receipt_timeout_s=5, poll_s=0.02)
    (outcome,) = outbox(database, anvil, policy=deep).submit([a_gift(anvil)])
    assert outcome.receipt is not None
    number, block_hash = outcome.receipt.block_number, outcome.receipt.block_hash
    with database.begin() as connection:
        connection.execute(
            text("""
                insert into pipeline.chain_blocks (chain_id, number, hash, parent_hash, timestamp)
                values (504, :number, '0xother', '0x00', 1);
            """),
            {"number": number},
        )
        connection.execute(
            text(
                "insert into pipeline.checkpoints"
                " (chain_id, stream, block_number, block_hash, first_block)"
                " values (504, 'live', :number, '0x00', 0)"
            ),
            {"number": number},
        )
    assert advanceable(database) == ["gift:1"]
    assert intent_row(database)["status"] == "mined"
    with database.begin() as connection:
        connection.execute(
            text("update pipeline.chain_blocks set hash = :hash"), {"hash": block_hash}
        )
    assert advanceable(database) == []
    assert intent_row(database)["status"] == "confirmed"
