"""Payout arithmetic on the chain against the same formula in whole numbers of Python."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lightchallenge_dagster.devnet import wallets
from tests.devnet.world import World

SCALE = 10**18
BPS = 10**4


@dataclass(frozen=True)
class Payout:
    winners: list[int]
    losers: list[int]
    protocol: int
    creator: int


def expected(winners: list[int], losers: list[int], fees: tuple[int, int, int, int]) -> Payout:
    forfeit_bps, _, creator_bps, cashback_bps = fees
    winners_pool, losers_pool = sum(winners), sum(losers)
    cashback = losers_pool * cashback_bps // BPS
    rest = losers_pool - cashback
    fee = rest * forfeit_bps // BPS
    bonus = (rest - fee) * SCALE // winners_pool
    back = cashback * SCALE // losers_pool if losers_pool else 0
    creator = rest * creator_bps // BPS
    return Payout(
        winners=[stake + stake * bonus // SCALE for stake in winners],
        losers=[stake * back // SCALE for stake in losers],
        protocol=fee - creator,
        creator=creator,
    )


@st.composite
def fee_configs(draw: st.DrawFn) -> tuple[int, int, int, int]:
    protocol = draw(st.integers(0, BPS))
    creator = draw(st.integers(0, BPS - protocol))
    return protocol + creator, protocol, creator, draw(st.integers(0, BPS))


stakes = st.one_of(st.integers(1, 20), st.integers(1, 40 * SCALE))


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    winners=st.lists(stakes, min_size=1, max_size=2),
    losers=st.lists(stakes, min_size=1, max_size=2),
    fees=fee_configs(),
)
@example(winners=[3], losers=[7], fees=(500, 300, 200, 1000))
@example(winners=[SCALE, SCALE], losers=[3 * SCALE + 1], fees=(0, 0, 0, 0))
@example(winners=[1], losers=[1], fees=(BPS, 1, BPS - 1, BPS))
@example(winners=[7, 11], losers=[13, 17], fees=(333, 111, 222, 777))
def test_everyone_gets_what_the_formula_says_and_no_bucket_is_overdrawn(
    world: World, winners: list[int], losers: list[int], fees: tuple[int, int, int, int]
) -> None:
    client = world.client
    people = {name: wallets.user(name) for name in ("alice", "bob", "carol", "dave")}
    client.node.batch(
        [("anvil_setBalance", [one.address, hex(100 * SCALE)]) for one in people.values()]
    )
    client.send(world.admin, "challengepay", "setFeeConfig", fees)
    names = list(people)[: len(winners) + len(losers)]
    sizes = dict(zip(names, [*losers, *winners], strict=True))
    challenge_id = client.create_challenge(world.alice, stake=sizes["alice"])
    for name in names[1:]:
        client.join(people[name], challenge_id, sizes[name])
    # Fees are those of the creation, whatever comes after.
    client.send(world.admin, "challengepay", "setFeeConfig", (0, 0, 0, 5000))
    won = [people[name] for name in names[len(losers) :]]
    lost = [people[name] for name in names[: len(losers)]]
    world.win(challenge_id, *won)
    booked = world.finish(challenge_id).event("FeesBooked").args

    payout = expected(winners, losers, fees)
    assert booked["protocolAmt"] == payout.protocol
    assert booked["creatorAmt"] == payout.creator
    assert booked["cashback"] == sum(losers) * fees[3] // BPS
    receipt = client.auto_distribute(
        world.stranger,
        challenge_id,
        [one.address for one in won],
        [one.address for one in lost],
    )
    amounts = {
        name: [event.args["amount"] for event in receipt.events if event.name == name]
        for name in ("WinnerClaimed", "LoserClaimed")
    }
    assert amounts == {"WinnerClaimed": payout.winners, "LoserClaimed": payout.losers}
    for one, wei in ((wallets.protocol(), payout.protocol), (world.alice, payout.creator)):
        assert client.eth_allowance(challenge_id, one.address) == wei
        if wei:
            client.claim_eth(one, challenge_id)
    left = client.view("treasury", "ethBalanceOf", challenge_id)
    paid = sum(payout.winners) + sum(payout.losers) + payout.protocol + payout.creator
    assert left == sum(winners) + sum(losers) - paid >= 0


def test_where_everybody_wins_everybody_gets_the_stake_back(world: World) -> None:
    client = world.client
    challenge_id = world.challenge({"bob": 5})
    world.win(challenge_id, world.alice, world.bob)
    names = [event.name for event in world.finish(challenge_id).events]
    assert "FeesBooked" not in names
    assert client.claim_winner(world.bob, challenge_id) == 5
    assert client.claim_winner(world.alice, challenge_id) == SCALE
