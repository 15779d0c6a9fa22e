"""The runbook's backfillRegistry: the metadata URI of each challenge, once, in MetadataRegistry.

``ownerSet`` writes once, and nothing here overwrites: another URI that is there is reported, and
one that the owner has cleared is not put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain import abi, batches
from lightchallenge_dagster.chain.contracts import CallReverted, Contracts, NotAContract
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.storage import ops
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage.outbox import Attempt, Intent

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.steps.outbox import Outbox, Outcome

_AT_ONCE = 200
# It may hold a foreign URI, which is as long as its writer liked.
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class MetadataPolicy:
    """``signer``: the registry's owner (lowercase). ``base_url`` without a slash at its end.

    At most ``batch`` URIs are sent in one run; those that are there already do not count.
    """

    signer: str
    base_url: str
    batch: int = 50

    def uri(self, challenge_id: int) -> str:
        """Where the web app serves the challenge's metadata."""
        return f"{self.base_url}/api/challenges/meta/{challenge_id}"


@dataclass(frozen=True, slots=True)
class MetadataLine:
    """What became of one challenge's URI."""

    challenge_id: int
    state: str
    transaction: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class MetadataReport:
    """Challenges by what became of them; ``left``: how many were not come to.

    ``set``: our transaction set the URI. ``there``: it was there. ``differs``: another URI is
    there, or the owner has cleared ours. ``unknown``: the contract has no such challenge.
    """

    set: list[int] = field(default_factory=list[int])
    there: list[int] = field(default_factory=list[int])
    pending: list[int] = field(default_factory=list[int])
    waiting: list[int] = field(default_factory=list[int])
    differs: list[int] = field(default_factory=list[int])
    refused: list[int] = field(default_factory=list[int])
    unknown: list[int] = field(default_factory=list[int])
    left: int = 0
    lines: list[MetadataLine] = field(default_factory=list[MetadataLine])

    def add(self, challenge_id: int, state: str, tx: str | None = None, note: str = "") -> None:
        """Note a challenge under one of the lists above."""
        getattr(self, state).append(challenge_id)
        self.lines.append(MetadataLine(challenge_id, state, tx, note or None))


def backfill_metadata_registry(
    engine: Engine, contracts: Contracts, outbox: Outbox, policy: MetadataPolicy
) -> MetadataReport:
    """Send the URIs that are missing, at most ``policy.batch``, and note what became of each.

    ``challenges.registry_status`` becomes ``success`` or ``failed`` (with ``registry_error``); it
    stays where the transaction is on its way or waits. Raises ``PermanentError`` when the wallet
    is not the registry's owner, ``RpcUnavailable`` when the node cannot say.
    """
    return _Backfill(engine, contracts, outbox, policy).run()


class _Backfill:
    def __init__(
        self, engine: Engine, contracts: Contracts, outbox: Outbox, policy: MetadataPolicy
    ) -> None:
        registry = contracts.addresses.metadata_registry
        if registry is None:
            raise PermanentError("METADATA_REGISTRY is not set: there is nothing to write to")
        self._registry = registry
        self._engine, self._contracts = engine, contracts
        self._outbox, self._policy = outbox, policy
        self._report = MetadataReport()

    def run(self) -> MetadataReport:
        self._require_owner()
        self._outbox.resume(only_own=True)
        with self._engine.begin() as connection:
            candidates = ops.without_uri(connection)
        intents: list[Intent] = []
        looked_at = 0
        for start in range(0, len(candidates), _AT_ONCE):
            if len(intents) == self._policy.batch:
                break
            ids = candidates[start : start + _AT_ONCE]
            looked_at += self._plan(ids, intents)
        outcomes = self._outbox.submit(intents)
        reached = [
            intent.challenge_id or 0
            for intent, outcome in zip(intents, outcomes, strict=True)
            if outcome.state in ("mined", "done")
        ]
        uris = batches.metadata_uris(self._contracts, self._registry, reached)
        for intent, outcome in zip(intents, outcomes, strict=True):
            self._record(intent, outcome, uris.get(intent.challenge_id or 0, ""))
        self._report.lines.sort(key=lambda one: one.challenge_id)
        return replace(self._report, left=len(candidates) - looked_at)

    def _require_owner(self) -> None:
        try:
            owner = self._contracts.metadata_owner()
        except (CallReverted, NotAContract):
            return  # this registry does not tell; its refusal will
        if owner != self._policy.signer:
            raise PermanentError(
                f"NotOwner: METADATA_REGISTRY_KEY is the key of {self._policy.signer}, and "
                f"MetadataRegistry {self._registry} takes URIs from its owner {owner} only; "
                "nothing was sent"
            )

    def _plan(self, ids: Sequence[int], intents: list[Intent]) -> int:
        """Settle what needs no transaction, plan the others; returns how many were come to."""
        uris = batches.metadata_uris(self._contracts, self._registry, ids)
        created = batches.challenges(self._contracts, [one for one in ids if not uris[one]])
        with self._engine.begin() as connection:
            attempts = stored.attempts(connection, ids, ["metadata"])
            sent = stored.transactions(connection, [one.key for one in attempts if one.signed])
        made: dict[int, list[Attempt]] = {}
        for one in attempts:
            if one.intent.to == self._registry and one.key.startswith(self._key("")):
                made.setdefault(one.challenge_id or 0, []).append(one)
        for place, challenge_id in enumerate(ids):
            if len(intents) == self._policy.batch:
                return place
            mine = made.get(challenge_id, [])
            if mine and mine[-1].status in ("signed", "broadcast"):
                intents.append(mine[-1].intent)  # asked about; the URI may be there by it
            elif uris[challenge_id]:
                ours = [
                    tx for one in mine for tx in sent.get(one.key, []) if tx.receipt_status == 1
                ]
                tx_hash = ours[-1].hash if ours else None
                self._compare(challenge_id, uris[challenge_id], tx_hash, "there")
            elif not created[challenge_id].exists:
                self._report.add(
                    challenge_id, "unknown", note="this ChallengePay has no such challenge"
                )
            elif mine and mine[-1].status == "confirmed":
                self._fail(challenge_id, "differs", "its URI was set, and cleared by the owner")
            else:
                intents.append(self._intent(challenge_id, mine))
        return len(ids)

    def _key(self, challenge_id: int | str) -> str:
        return f"metadata:{self._contracts.addresses.challengepay}:{challenge_id}"

    def _intent(self, challenge_id: int, made: Sequence[Attempt]) -> Intent:
        if made and made[-1].signed and not made[-1].spent:
            return made[-1].intent  # mined, with the URI that it was signed with
        number = len(made) + 1 if made and made[-1].spent else max(1, len(made))
        return Intent(
            key=self._key(challenge_id) + (f":{number}" if number > 1 else ""),
            kind="metadata",
            signer=self._policy.signer,
            to=self._registry,
            data=abi.metadata_registry("ownerSet").encode(
                self._contracts.addresses.challengepay,
                challenge_id,
                self._policy.uri(challenge_id),
            ),
            challenge_id=challenge_id,
        )

    def _record(self, intent: Intent, outcome: Outcome, uri: str) -> None:
        challenge_id = intent.challenge_id or 0
        if outcome.state in ("mined", "done") and uri:
            state = "set" if outcome.state == "mined" else "there"
            self._compare(challenge_id, uri, outcome.tx_hash, state)
        elif outcome.state in ("mined", "done", "pending"):
            self._report.add(challenge_id, "pending", outcome.tx_hash, outcome.error or "")
        elif outcome.state == "waiting":
            self._report.add(challenge_id, "waiting", note=outcome.error or "")
        else:
            error = outcome.error or outcome.state
            if error == "NotOwner":
                error = f"NotOwner: {intent.signer} is not the owner of MetadataRegistry"
            self._fail(challenge_id, "refused", error)

    def _compare(self, challenge_id: int, uri: str, tx_hash: str | None, state: str) -> None:
        if uri != self._policy.uri(challenge_id):
            self._fail(challenge_id, "differs", f"MetadataRegistry holds another URI: {uri}")
            return
        with self._engine.begin() as connection:
            ops.record_registry(connection, challenge_id, "success", tx_hash=tx_hash)
        self._report.add(challenge_id, state, tx_hash)

    def _fail(self, challenge_id: int, state: str, error: str) -> None:
        error = error[:_LONGEST_ERROR]
        with self._engine.begin() as connection:
            ops.record_registry(connection, challenge_id, "failed", error=error)
        self._report.add(challenge_id, state, note=error)
