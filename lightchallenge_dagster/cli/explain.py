"""``lightchallenge explain``: why did I lose?"""

from __future__ import annotations

import click

from lightchallenge_dagster.cli import surroundings


class _TextCommand(surroundings.DeploymentCommand):
    """Its arguments are text to look up, never file names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse what no text column can hold, before anything tries to print or send it."""
        for each in args:
            try:
                each.encode()
            except UnicodeEncodeError:
                raise click.UsageError(f"{each!a} is not UTF-8 text.", ctx) from None
        return super().parse_args(ctx, args)


@click.command(
    "explain",
    cls=_TextCommand,
    short_help="Why somebody passed, failed, won or lost.",
)
@click.argument("challenge_id", type=click.IntRange(0, 2**63 - 1))
@click.argument("subject", required=False)
def command(challenge_id: int, subject: str | None) -> None:
    """Say for a person why somebody passed, failed, won or lost a challenge.

    With SUBJECT (a wallet, in any case) its whole story: rule, evidence by provider, measured
    values, rank and tie-break, stake, proof, outcome on chain, and whether a reward is claimable,
    claimed, or why not. Without it a summary of the challenge and everybody in it.

    Reads the database only, as far as the chain is indexed; the answer says up to which block.
    Exit status 1 when there is no such challenge.

    \b
    Examples:
      lightchallenge explain 42
      lightchallenge explain 42 0x52908400098527886e0f7030069857d2e4169ee7
      lightchallenge explain 42 0x52908400098527886E0F7030069857D2E4169EE7 | less
    """
    from lightchallenge_dagster.cli.story import Page
    from lightchallenge_dagster.settings import Settings
    from lightchallenge_dagster.steps import explain

    engine = surroundings.engine(Settings.load())
    page = Page()
    if subject is None:
        page.challenge(explain.explain_challenge(engine, challenge_id))
    else:
        page.wallet(explain.explain_wallet(engine, challenge_id, subject))
    click.echo(page.text(), nl=False, color=True)
