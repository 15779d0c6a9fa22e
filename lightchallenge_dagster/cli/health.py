"""``lightchallenge health``."""

from __future__ import annotations

import sys

import click

from lightchallenge_dagster.cli import surroundings


@click.command("health", cls=surroundings.DeploymentCommand)
def command() -> None:
    """Evaluate every health check; exit status 1 when one is red.

    \b
    Example:
      lightchallenge health || page-somebody
    """
    from lightchallenge_dagster.checks.catalog import CHECKS, Surroundings
    from lightchallenge_dagster.definitions import resources
    from lightchallenge_dagster.sensors.health import find

    made = {
        name: resource.process_config_and_initialize() for name, resource in resources().items()
    }
    around = Surroundings(made["database"], made["chain"], made["signers"], made["policy"])
    red = 0
    for check in CHECKS:
        findings = find(check, around)
        mark = click.style("✓", fg="green") if findings.healthy else click.style("✗", fg="red")
        click.echo(f"{mark} {check.asset}.{check.name}: {check.description}")
        if not findings.healthy:
            red += 1
            for row in findings.rows:
                pairs = zip(findings.columns, row, strict=True)
                line = ", ".join(f"{name} {value}" for name, value in pairs)
                click.echo(f"    {surroundings.printable(line)}")
            if not findings.blind:
                click.echo(f"    {check.recovery}")
    click.echo(f"{len(CHECKS) - red} green, {red} red")
    sys.exit(1 if red else 0)
