"""An explanation laid out for a terminal, or for a pipe: no colours and no cut addresses there."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightchallenge_dagster.cli.surroundings import printable
from lightchallenge_dagster.rules.amounts import amount
from lightchallenge_dagster.rules.instants import instant
from lightchallenge_dagster.rules.placement import shown
from lightchallenge_dagster.rules.reward import CLAIM_WORDS, counts

if TYPE_CHECKING:
    from lightchallenge_dagster.steps.explain import (
        ChallengeFacts,
        ChallengeStory,
        WalletLine,
        WalletStory,
    )
    from lightchallenge_dagster.storage.explanation import WalletRow

_PIPED_WIDTH = 160
_NARROWEST = 100
_OLD_SHOWN = 10

_OUTCOMES = {None: "null, not final on chain", 0: "0, none", 1: "1, success", 2: "2, fail"}

Fact = tuple[str, str | None]


class Page:
    """Collects what is printed. Sections are headings over pairs of a name and a value."""

    def __init__(self) -> None:
        terminal = sys.stdout.isatty()
        width = max(_NARROWEST, shutil.get_terminal_size().columns) if terminal else _PIPED_WIDTH
        self._file = io.StringIO()
        self._plain = not terminal
        self._console = Console(
            file=self._file,
            width=width,
            force_terminal=terminal,
            color_system="auto" if terminal else None,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def text(self) -> str:
        """Everything so far; without trailing spaces where no terminal shows it."""
        lines = self._file.getvalue().splitlines()
        return "".join(f"{line.rstrip() if self._plain else line}\n" for line in lines)

    def challenge(self, story: ChallengeStory) -> None:
        """A challenge and everybody in it."""
        self._challenge(story.challenge)
        self._heading(f"Wallets ({len(story.wallets):,})")
        if story.wallets:
            self._console.print(_everybody(story.challenge, story.wallets))
        else:
            self._console.print("  Nobody has a stake, took part or submitted evidence.")
        self._as_of(story.challenge)

    def wallet(self, story: WalletStory) -> None:
        """The whole story of one wallet."""
        self._console.print(Text(f"Wallet {printable(story.subject)}", style="bold"))
        self._console.print(Text(printable(story.answer)))
        self._challenge(story.challenge)
        if story.row is not None:
            self._facts("Stake", _stake(story.challenge, story.row))
            self._facts("Evidence", _evidence(story))
            self._facts("Verdict", _verdict(story, story.row))
            self._facts("Ranking", [("", sentence) for sentence in story.ranking])
            self._facts("Proof and payment on chain", _on_chain(story, story.row))
            self._facts("Reward", _reward(story, story.row))
        self._as_of(story.challenge)

    def _challenge(self, facts: ChallengeFacts) -> None:
        title = f"Challenge {facts.row.challenge_id}"
        if facts.row.title:
            title += f": {printable(facts.row.title)}"
        self._facts(title, _challenge(facts))

    def _facts(self, heading: str, facts: Iterable[Fact]) -> None:
        known = [(name, value) for name, value in facts if value]
        if not known:
            return
        self._heading(heading)
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in known:
            table.add_row(Text(f"  {name}", style="dim"), Text(printable(value)))
        self._console.print(table)

    def _heading(self, text: str) -> None:
        if self._file.tell():
            self._console.print()
        self._console.print(Text(text, style="bold"))

    def _as_of(self, facts: ChallengeFacts) -> None:
        self._console.print()
        row = facts.row
        if row.indexed_block is None:
            self._console.print("Nothing of the chain is indexed yet.")
            return
        when = f", {instant(row.indexed_at)}" if row.indexed_at else ""
        self._console.print(f"As of block {row.indexed_block}{when}; what came later is not in it.")


def _token(facts: ChallengeFacts) -> str | None:
    return facts.row.token if facts.row.currency == 1 else None


def _challenge(facts: ChallengeFacts) -> list[Fact]:
    row, config = facts.row, facts.config
    status = row.status or "unknown"
    if row.chain_status and row.chain_status.lower() != status.lower():
        status += f" (on chain: {row.chain_status})"
    return [
        ("status", status),
        ("chain outcome", _OUTCOMES.get(row.chain_outcome, str(row.chain_outcome))),
        ("mode", config.mode),
        *(("rule", sentence) for sentence in facts.rule),
        ("accepted sources", ", ".join(facts.sources) or None),
        ("starts", instant(config.starts_at) if config.starts_at else None),
        ("ends", instant(config.ends_at) if config.ends_at else None),
        ("proof deadline", instant(config.proof_deadline) if config.proof_deadline else None),
        (
            "ranking closes",
            instant(row.ranking_closes_at)
            if row.ranking_closes_at and config.competitive
            else None,
        ),
        *(("beware", sentence) for sentence in facts.contradictions),
    ]


def _stake(facts: ChallengeFacts, row: WalletRow) -> list[Fact]:
    if row.stake_wei:
        joined = f", joined {instant(row.joined_at)}" if row.joined_at else ""
        return [
            ("stake", f"{amount(row.stake_wei, _token(facts))}{joined}"),
            ("transaction", row.stake_tx),
        ]
    if facts.row.chain_status is None:
        return [("", "Not known: the chain's record of this challenge is not indexed.")]
    listed = {
        "evidence_intake": " It is a participant because it submitted evidence.",
        "onchain_join": " Yet it is listed as joined on chain: its block may not be indexed.",
    }
    return [("", f"No stake on chain.{listed.get(row.participant_source or '', '')}")]


def _evidence(story: WalletStory) -> list[Fact]:
    if not story.parts:
        return [("", "No evidence was submitted.")]
    replaced = [part for part in story.parts if part.replaced]
    left_out = {part.submission.id for part in replaced[_OLD_SHOWN:]}
    facts: list[Fact] = [
        (
            printable(part.submission.provider),
            f"{instant(part.submission.created_at)} ({part.use}): {part.shows}",
        )
        for part in story.parts
        if part.submission.id not in left_out
    ]
    if left_out:
        facts.append(("", f"and {len(left_out):,} older ones, all replaced"))
    return facts


def _verdict(story: WalletStory, row: WalletRow) -> list[Fact]:
    if row.passed is None:
        return [("", "There is no verdict.")]
    result = "passes" if row.passed else "fails"
    if row.own_pass is not None and row.own_pass != row.passed:
        result += f" by the ranking; the evidence itself {'passes' if row.own_pass else 'fails'}"
    return [
        ("verdict", result),
        ("score", shown(row.score)),
        *(("reason", reason) for reason in row.reasons or ()),
        *(("measured", sentence) for sentence in story.verdict),
        ("evaluator", row.evaluator),
        ("judged", instant(row.judged_at) if row.judged_at else None),
        ("submitted", instant(row.submitted_at) if row.submitted_at else None),
        ("final", story.finality),
    ]


def _on_chain(story: WalletStory, row: WalletRow) -> list[Fact]:
    challenge = story.challenge.row
    job = request = None
    if challenge.job_status:
        error = f"; last error: {challenge.job_error}" if challenge.job_error else ""
        job = f"{challenge.job_status}, {challenge.job_attempts or 0} failed attempts{error}"
    if challenge.request_id is not None:
        request = f"{challenge.request_id:f}, {challenge.request_status}"
    bound = None
    if row.bound_request is not None:
        bound = f"to request {row.bound_request:f}, transaction {row.binding_tx}"
    won = f"yes, transaction {row.winner_tx}" if row.chain_winner else "no"
    final = challenge.finalize_status
    if final and challenge.finalize_error:
        final += f"; last error: {challenge.finalize_error}"
    return [
        ("job", job or "none yet"),
        ("inference request", request),
        ("binding", bound),
        *(
            (
                f"{order.kind} order",
                order.status
                + (f", transaction {order.tx_hash}" if order.tx_hash else "")
                + (f", block {order.block_number}" if order.block_number else "")
                + (f"; last error: {order.last_error}" if order.last_error else ""),
            )
            for order in story.orders
        ),
        ("winner on chain", won if challenge.chain_status else None),
        ("finalize order", final),
    ]


def _reward(story: WalletStory, row: WalletRow) -> list[Fact]:
    token, indexed = _token(story.challenge), story.challenge.row.chain_status is not None
    facts: list[Fact] = [("reward", story.reward.why)] if story.reward else []
    for claim in story.claims:
        unknown = claim.source != "indexer" and not claim.amount_wei
        what = "amount unknown" if unknown else amount(claim.amount_wei, token)
        words = CLAIM_WORDS.get(claim.claim_type, f"{claim.claim_type}, of the pre-V1 contracts")
        beside = "" if counts(claim, indexed) else "; no reward of this challenge"
        seen = "" if claim.source == "indexer" else "; noted by the web app, not seen on chain yet"
        facts.append(
            (
                "claim",
                f"{what}: {words}, {instant(claim.claimed_at)}, "
                f"transaction {claim.tx_hash or 'unknown'}{beside}{seen}",
            )
        )
    if row.waiting_wei:
        facts.append(
            ("in the Treasury", f"{amount(row.waiting_wei, token)} granted and not yet withdrawn")
        )
    return facts


def _everybody(facts: ChallengeFacts, wallets: Iterable[WalletLine]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=True, header_style="dim")
    table.add_column("wallet", no_wrap=True, min_width=42)
    for name in ("stake", "evidence", "verdict", "score", "rank", "on chain", "reward"):
        side = "right" if name in ("score", "rank") else "left"
        table.add_column(name, justify=side, overflow="fold")
    for line in wallets:
        row = line.row
        verdict = {None: "-", True: "pass", False: "fail"}[row.passed]
        rank = "-" if row.rank is None else f"{row.rank:,}{' wins' if row.winner else ''}"
        cells = (
            row.subject,
            amount(row.stake_wei, _token(facts)) if row.stake_wei else "none",
            ", ".join(row.providers or ()) or "none",
            verdict,
            "-" if row.score is None else shown(row.score),
            rank,
            "winner" if row.chain_winner else "-",
            line.reward.state,
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table
