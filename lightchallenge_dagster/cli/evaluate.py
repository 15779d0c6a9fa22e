"""``lightchallenge evaluate``: what the rules say about evidence, without a database."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click


@click.command("evaluate", short_help="Judge evidence by the rules: JSON lines to verdicts.")
@click.argument("file", type=click.File("rb"), default="-")
def command(file: BinaryIO) -> None:
    """Judge evidence by the rules alone: JSON lines in, one verdict a line out, in order.

    Reads FILE, or standard input without one or with "-". Needs no database and no settings.
    Each line is an object:

    \b
      provider   where the records come from: strava, apple, opendota, manual, …
      records    the list of records, as public.evidence.data holds it
      challenge  {"params", "proof", "timeline"} as public.challenges holds them, and "model"
                 {"sources": […]} where its model restricts providers; null is a preview

    So a line is {"provider": "strava", "records": [{"type": "run", "start":
    "2026-03-02T08:00:00Z", "distance_km": 5}], "challenge": null}.

    A verdict has pass, score (null: none), reasons, evaluator and metadata. A line that cannot be
    read is named on standard error, the rest goes on, and the exit status is 1.

    \b
    Examples:
      lightchallenge evaluate evidence.jsonl
      lightchallenge evaluate < evidence.jsonl | grep '"pass":false'
    """
    from lightchallenge_dagster.cli.evidence_lines import judged
    from lightchallenge_dagster.cli.json_lines import JsonLines

    lines = JsonLines(file)
    for verdict in lines.each(judged):
        click.echo(verdict)
    sys.exit(lines.exit_status)
