"""Rewards: a claim comes first, then the outcome on chain, and only without one the verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.amounts import amount, lcai
from lightchallenge_dagster.rules.reward import FAIL, SUCCESS, Claim, Stand, reward

WON = Stand(
    status="Finalized",
    chain_outcome=SUCCESS,
    indexed=True,
    passed=True,
    chain_winner=True,
    stake_wei=10**18,
)


def claim(kind: str = "winner", wei: int = 5, source: str = "indexer") -> Claim:
    return Claim(kind, wei, "0xfeed", source, datetime(2026, 3, 9, tzinfo=UTC))


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({}, "claimable", "own claim call decides"),
        ({"chain_outcome": FAIL}, "none", "whatever the verdict says"),
        ({"chain_outcome": None}, "not final", "claimable once the challenge is finalized"),
        ({"chain_outcome": 0}, "not final", "no outcome yet"),
        ({"chain_outcome": None, "chain_winner": False}, "not final", "needs the proof on chain"),
        ({"chain_outcome": None, "passed": None}, "not final", "There is none"),
        ({"chain_outcome": None, "passed": False}, "not final", "does not pass"),
        (
            {"chain_outcome": None, "chain_winner": False, "leads": False},
            "not final",
            "ranking does not have the wallet win",
        ),
        ({"chain_winner": False}, "none", "no winner on chain"),
        ({"passed": False}, "none", "Contradiction"),
        ({"passed": False, "chain_winner": False}, "none", "cashback"),
        ({"stake_wei": 0, "chain_winner": False}, "none", "no stake"),
        ({"indexed": False, "stake_wei": 0, "chain_winner": False}, "claimable", "verdict"),
        ({"status": "Canceled", "chain_outcome": None}, "refundable", "claimRefund"),
        (
            {"status": "Canceled", "chain_outcome": 0, "stake_wei": 0, "chain_winner": False},
            "none",
            "no stake",
        ),
        ({"claims": [claim()]}, "claimed", "winner's reward"),
        ({"claims": [claim("refund")], "status": "Canceled"}, "claimed", "refund"),
        ({"claims": [claim("principal", source="ui", wei=0)]}, "claimed", "principal"),
    ],
)
def test_the_rules_in_their_order(changes: dict[str, object], state: str, says: str) -> None:
    found = reward(replace(WON, **changes))  # pyright: ignore[reportArgumentType]
    assert found.state == state
    assert says in found.why


def test_a_claim_comes_before_a_failed_outcome() -> None:
    assert reward(replace(WON, chain_outcome=FAIL, claims=[claim("treasury_eth")])).state == (
        "claimed"
    )


@pytest.mark.parametrize("other", [claim("loser", 0), claim("principal"), claim("cashback", 7)])
def test_a_cashback_of_nothing_and_claims_of_older_contracts_are_no_claim(other: Claim) -> None:
    assert reward(replace(WON, claims=[other])).state == "claimable"


def test_where_the_chain_is_not_indexed_an_older_claim_counts() -> None:
    assert reward(replace(WON, indexed=False, claims=[claim("principal")])).state == "claimed"


@given(st.integers(0, 10**30))
def test_an_amount_in_lcai_loses_no_wei(wei: int) -> None:
    whole, _, decimals = lcai(wei).removesuffix(" LCAI").partition(".")
    assert int(whole.replace(",", "")) * 10**18 + int(decimals.ljust(18, "0")) == wei
    assert not decimals.endswith("0")


def test_an_amount_of_a_token_is_in_its_units() -> None:
    assert amount(1234, "0xabc") == "1,234 units of 0xabc"
