"""The table at the end: who took part, what was decided, who was paid what."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightchallenge_dagster.devnet.demo.facts import ChainFacts, DatabaseChallenge
from lightchallenge_dagster.devnet.demo.scenario import name_of

HEADINGS = ("challenge", "participant", "verdict", "rank", "on-chain winner", "claimed wei")
NUMBERS = {"rank", "claimed wei"}


def rows(challenges: Sequence[DatabaseChallenge], chain: ChainFacts) -> list[tuple[str, ...]]:
    """A row for each challenge and participant, ranked ones in their order."""
    found: list[tuple[str, ...]] = []
    for challenge in challenges:
        people = challenge.participants | chain.joined[challenge.id] | set(challenge.outcomes)

        def order(wallet: str, challenge: DatabaseChallenge = challenge) -> tuple[int, str]:
            outcome = challenge.outcomes.get(wallet)
            rank = outcome.rank if outcome is not None and outcome.rank is not None else 10**9
            return rank, name_of(wallet)

        for wallet in sorted(people, key=order):
            outcome = challenge.outcomes.get(wallet)
            verdict = "none"
            if outcome is not None and outcome.passed is not None:
                score = "" if outcome.score is None else f", score {outcome.score.normalize():f}"
                verdict = ("pass" if outcome.passed else "fail") + score
            rank = "" if outcome is None or outcome.rank is None else str(outcome.rank)
            found.append(
                (
                    f"#{challenge.id} {challenge.title} ({challenge.status})",
                    name_of(wallet),
                    verdict,
                    rank,
                    "yes" if wallet in chain.winners[challenge.id] else "no",
                    str(chain.paid_out(challenge.id, wallet)),
                )
            )
    return found


def show(console: Console, challenges: Sequence[DatabaseChallenge], chain: ChainFacts) -> None:
    """Print the table."""
    table = Table(title="What became of the stakes")
    for heading in HEADINGS:
        number = heading in NUMBERS
        table.add_column(
            heading, justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    last = None
    for row in rows(challenges, chain):
        if last is not None and row[0] != last:
            table.add_section()
        cells = row if row[0] != last else ("", *row[1:])
        last = row[0]
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
