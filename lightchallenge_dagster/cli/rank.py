"""``lightchallenge rank``: who wins among given scores, without a database."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click


@click.command("rank", short_help="Rank scores: JSON lines to ranks and winners.")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--top-n",
    type=click.IntRange(1, 2**31 - 1),
    default=1,
    show_default=True,
    help="How many win in each challenge.",
)
def command(file: BinaryIO, top_n: int) -> None:
    """Rank wallets by score: JSON lines in, the same lines with rank and winner out.

    Reads FILE, or standard input without one or with "-". Needs no database and no settings.
    Each line is an object:

    \b
      challenge_id  a whole number; each challenge is ranked by itself
      subject       the wallet, in any case
      score         a number; null ranks last and never wins
      created_at    when the evidence was submitted: ISO text (UTC where it names no offset), or
                    epoch seconds or milliseconds

    The higher score comes first, then the earlier created_at, then the smaller wallet. The first
    --top-n with a score above 0 win. Lines come out by challenge and rank, other fields are kept.
    A line that cannot be ranked is named on standard error, the rest goes on, and the exit status
    is 1.

    \b
    Examples:
      lightchallenge rank --top-n 3 scores.jsonl
      lightchallenge rank < scores.jsonl | grep '"winner":true'
    """
    from lightchallenge_dagster.cli.json_lines import JsonLines, encoded
    from lightchallenge_dagster.cli.score_lines import Reader, ranked

    lines = JsonLines(file, exact=True)
    reader = Reader()
    entries = list(lines.each(reader.entry))
    for row in ranked(entries, top_n):
        click.echo(encoded(row))
    sys.exit(lines.exit_status)
