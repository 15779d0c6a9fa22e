"""Ask providers about the accounts of running challenges' participants, and keep what is new."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from lightchallenge_dagster.errors import LightChallengeError
from lightchallenge_dagster.providers.errors import (
    ProviderLimitedError,
    ProviderUnavailableError,
)
from lightchallenge_dagster.rules.evidence import evidence_hash
from lightchallenge_dagster.storage import evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Engine

    from lightchallenge_dagster.providers.collector import Collector, Record
    from lightchallenge_dagster.storage.evidence import Target

COLLECTED: Mapping[str, str | None] = {"opendota": "steam"}
"""The providers that can be asked, and the ``identity_bindings.platform`` that knows the account id
when ``linked_accounts.external_id`` does not."""

_GIVE_UP_AFTER = 3


@dataclass(frozen=True, slots=True)
class CollectReport:
    """What one collection did.

    ``accounts``: different accounts asked about. ``fetched``: records they had. ``inserted`` (or,
    on a database with one row a provider, replaced), ``unchanged`` and ``empty`` count (challenge,
    wallet) pairs. ``failed``: a message for each account that could not be collected. ``skipped``:
    records left out, by reason. ``by_provider``: the same counts for each. ``challenges`` and
    ``partitions`` (their days, or ``unscheduled``) have new evidence.
    """

    accounts: int
    fetched: int
    inserted: int
    unchanged: int
    empty: int
    failed: list[str] = field(default_factory=list[str])
    skipped: dict[str, int] = field(default_factory=dict[str, int])
    by_provider: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    challenges: list[int] = field(default_factory=list[int])
    partitions: list[str] = field(default_factory=list[str])


def collection_due(engine: Engine, now: datetime | None = None) -> int:
    """How many (challenge, participant, linked account) can be collected now: 0 launches no run.

    One query. 0 once every challenge is finalized, canceled, or past its proof deadline.
    """
    with engine.connect() as connection:
        found = evidence.targets(connection, COLLECTED, now)
    return sum(1 for target in found if target.external_id is not None)


def collect(
    engine: Engine,
    clients: Mapping[str, Collector],
    lookback_days: int,
    now: datetime,
    heartbeat: Callable[[], None] | None = None,
    *,
    partitions: Sequence[str] | None = None,
) -> CollectReport:
    """Fetch each account once and store it for every challenge that it is due for.

    Only records that overlap the challenge's time are stored. Records that an earlier collection
    found and that are now older than ``lookback_days`` stay in the evidence. A provider that says
    "too many requests", or does not answer for three accounts in a row, is not asked further in
    this run; an account that fails otherwise stops nobody else. Each wallet's evidence is a
    transaction of its own. ``heartbeat`` is called before each account; ``partitions`` narrows the
    work to challenges that end on those days.
    """
    with engine.connect() as connection:
        found = evidence.targets(
            connection, {p: COLLECTED.get(p) for p in clients}, now, partitions
        )
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    skipped: dict[str, int] = defaultdict(int)
    failed: list[str] = []
    challenges: set[int] = set()
    for provider, client in clients.items():
        mine = counts[provider]
        accounts = _by_account(client, [t for t in found if t.provider == provider], failed)
        unanswered = 0
        for position, (account, due) in enumerate(accounts.items()):
            mine["accounts"] += 1
            if heartbeat is not None:
                heartbeat()
            try:
                fetched = client.fetch(account, lookback_days, now)
            except LightChallengeError as error:
                failed.append(f"{provider} account {account}: {error}")
                mine["failed"] += 1
                limited = isinstance(error, ProviderLimitedError)
                unanswered += isinstance(error, ProviderUnavailableError)
                left = len(accounts) - position - 1
                if left and (limited or unanswered >= _GIVE_UP_AFTER):
                    failed.append(f"{provider}: {left} more accounts not asked about in this run")
                    mine["failed"] += left
                    break
                continue
            unanswered = 0
            mine["fetched"] += len(fetched.records)
            for reason, count in fetched.skipped.items():
                skipped[f"{provider}: {reason}"] += count
            for target in due:
                try:
                    outcome = _keep(
                        engine, client, target, account, fetched.records, lookback_days, now
                    )
                except (LightChallengeError, DataError, IntegrityError) as error:
                    # What the database refuses about one wallet must not hold up the others.
                    said = error.orig if isinstance(error, DBAPIError) else error
                    failed.append(
                        f"{provider} evidence of {target.subject} for challenge "
                        f"{target.challenge_id} cannot be stored: {str(said).splitlines()[0]}"
                    )
                    mine["failed"] += 1
                    continue
                mine[outcome] += 1
                if outcome == "inserted":
                    challenges.add(target.challenge_id)

    with engine.connect() as connection:
        touched = evidence.partitions(connection, challenges)

    def total(name: str) -> int:
        return sum(count.get(name, 0) for count in counts.values())

    return CollectReport(
        accounts=total("accounts"),
        fetched=total("fetched"),
        inserted=total("inserted"),
        unchanged=total("unchanged"),
        empty=total("empty"),
        failed=failed,
        skipped=dict(skipped),
        by_provider={provider: dict(mine) for provider, mine in counts.items()},
        challenges=sorted(challenges),
        partitions=touched,
    )


def _by_account(
    client: Collector, due: Sequence[Target], failed: list[str]
) -> dict[str, list[Target]]:
    accounts: dict[str, list[Target]] = defaultdict(list)
    complaints: dict[str, None] = {}
    for target in due:
        if target.external_id is None:
            complaints[
                f"{target.provider} account of {target.subject}: linked without an account id, and "
                "no identity binding has one; the wallet's owner has to link it again"
            ] = None
            continue
        try:
            accounts[client.account(target.external_id)].append(target)
        except LightChallengeError as error:
            complaints[f"{target.provider} account of {target.subject}: {error}"] = None
    failed.extend(complaints)
    return accounts


def _keep(
    engine: Engine,
    client: Collector,
    target: Target,
    account: str,
    fetched: Sequence[Record],
    lookback_days: int,
    now: datetime,
) -> str:
    """Store one wallet's evidence: "inserted", "unchanged" or "empty"."""
    raw_ref = f"{target.provider}:{account}"
    records = [record for record in fetched if _overlaps(client, record, target)]
    if not records:
        # Also what a player sees to it that we find by hiding the match history later: what was
        # collected before stays.
        return "empty"
    since = (now - timedelta(days=lookback_days)).timestamp()
    with engine.begin() as connection:
        evidence.lock(connection, target.challenge_id, target.subject, target.provider)
        before = evidence.latest(connection, target.challenge_id, target.subject, target.provider)
        # Only what this collector found itself, about this account: an upload is no such thing.
        if before is not None and before.raw_ref == raw_ref:
            known = {client.key(record) for record in records}
            kept = [
                record
                for record in before.records
                # Others write such rows too; what this provider never said is not carried over.
                if client.recognises(record)
                and client.span(record)[0] < since
                and client.key(record) not in known
            ]
            records = kept + records
        outcome = evidence.store(
            connection,
            challenge_id=target.challenge_id,
            subject=target.subject,
            provider=target.provider,
            records=records,
            evidence_hash=evidence_hash(records),
            raw_ref=raw_ref,
            at=now,
        )
    return "unchanged" if outcome == "unchanged" else "inserted"


def _overlaps(client: Collector, record: Record, target: Target) -> bool:
    started, ended = client.span(record)
    after_start = target.starts_at is None or ended >= target.starts_at.timestamp()
    return after_start and (target.ends_at is None or started <= target.ends_at.timestamp())
