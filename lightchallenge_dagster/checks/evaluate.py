"""A check as Dagster sees it: run from the UI, or evaluated by the health sensor without a run."""

from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetKey,
    MetadataValue,
    asset_check,
)

from lightchallenge_dagster.assets.metadata import markdown_table
from lightchallenge_dagster.checks.catalog import Check, Surroundings
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.resources.signers import SignersResource

if TYPE_CHECKING:
    from lightchallenge_dagster.steps.health import Findings


def definition(check: Check) -> AssetChecksDefinition:
    """The check as a Dagster definition."""

    @asset_check(
        name=check.name,
        asset=AssetKey(check.asset),
        description=f"{check.description}\n\nWhen it fails: {check.recovery}",
    )
    def evaluate(
        context: AssetCheckExecutionContext,
        database: DatabaseResource,
        chain: ChainResource,
        signers: SignersResource,
        policy: Policy,
    ) -> AssetCheckResult:
        findings = check.find(Surroundings(database, chain, signers, policy))
        return AssetCheckResult(
            passed=findings.healthy, severity=check.severity, metadata=_metadata(check, findings)
        )

    return evaluate


def evaluation(check: Check, findings: "Findings") -> AssetCheckEvaluation:
    """The outcome as an event that needs no run."""
    return AssetCheckEvaluation(
        asset_key=AssetKey(check.asset),
        check_name=check.name,
        passed=findings.healthy,
        severity=check.severity,
        metadata={
            key: MetadataValue.int(value) if isinstance(value, int) else value
            for key, value in _metadata(check, findings).items()
        },
    )


def _metadata(check: Check, findings: "Findings") -> dict[str, Any]:
    metadata: dict[str, Any] = {"violations": findings.count, **findings.facts}
    if not findings.healthy:
        metadata["found"] = markdown_table(findings.columns, findings.rows)
        if not findings.blind:
            metadata["how_to_recover"] = check.recovery
    return metadata
