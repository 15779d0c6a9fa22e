"""Jobs and their requests, claims of the dead, and intents that are final here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from lightchallenge_dagster.rules.requests import COMMITTED, FINALIZED, REQUESTED, REVEALED, fate
from lightchallenge_dagster.steps.ops.difference import (
    FLAGS,
    NOTE,
    REQUEUE,
    Difference,
    rebuild,
)

if TYPE_CHECKING:
    from lightchallenge_dagster.chain.contracts import OnChainRequest
    from lightchallenge_dagster.storage.reconciling import ChallengeRow, FinalIntent, Picture

Requests = Mapping[str, tuple[int, "OnChainRequest"]]
"""Id and state by task."""

_JOB_WORDS = {REQUESTED: "submitted", COMMITTED: "committed", REVEALED: "revealed",
              FINALIZED: "done"}  # fmt: skip
_STAGES = {REQUESTED: "requested", COMMITTED: "committed", REVEALED: "revealed",
           FINALIZED: "finalized"}  # fmt: skip
_SENT = ("submitted", "committed", "revealed", "done")


def jobs(picture: Picture, requests: Requests, now_ts: int) -> Iterator[Difference]:
    """Jobs whose request is further, elsewhere, dead, or nowhere."""
    for row in picture.challenges:
        if row.job_status not in _SENT or row.task_id is None:
            continue
        said = f"{row.job_status}, task {row.task_id[:10]}…"
        if row.challenge_id in picture.misnoted:
            why = "note the request that our own transaction made"
            yield _job(row, said, "its transaction made another", why, NOTE)
            continue
        if row.task_id not in requests:
            why = "request_inferences gives it up once it is sure; else run_aivm_job"
            yield _job(row, said, "no such request", why)
            continue
        number, found = requests[row.task_id]
        ending = fate(found.facts, row.challenge_id, now_ts)
        word = _JOB_WORDS.get(found.status, "ended")
        if ending.dead is not None:
            back = " and takes the fee back" if ending.refund else ""
            why = f"request_inferences gives it up{back}, then asks anew"
            yield _job(row, said, f"request {number}: {ending.dead}", why)
        elif word != row.job_status:
            projection = (
                "aivm_jobs"
                if row.indexed_request == _STAGES.get(found.status)
                else "inference_requests"
            )
            chain = f"request {number} is {_STAGES.get(found.status, 'ended')}"
            yield _job(row, said, chain, f"rebuild {projection}", rebuild(projection))


def progress(rows: Iterable[ChallengeRow], requests: Requests) -> Iterator[Difference]:
    """Challenges whose ``proof`` names another request than their job, or another stage of it."""
    for row in rows:
        if row.proof is None or row.task_id is None or row.job_status not in _SENT:
            continue
        if row.task_id not in requests:
            continue
        number, found = requests[row.task_id]
        binding = row.proof.get("taskBinding")
        noted = binding.get("taskId") if isinstance(binding, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        stage = _STAGES.get(found.status)
        said = row.proof.get("verificationStatus")
        if str(noted or "").lower() != row.task_id:  # pyright: ignore[reportUnknownArgumentType]
            patch: dict[str, object] = {
                "taskBinding": {
                    "requestId": str(number),
                    "taskId": row.task_id,
                    "schemaVersion": 1,
                },
                "verificationStatus": stage or said,
            }
            yield Difference(
                "proof", row.challenge_id, None, f"taskBinding {noted or 'null'}"[:40],
                f"request {number}", f"set {', '.join(patch)}", FLAGS, tuple(patch.items()),
            )  # fmt: skip
        elif stage is not None and said != stage:
            yield Difference(
                "proof", row.challenge_id, None, f"verificationStatus {said}"[:60],
                f"request {number} is {stage}", "set verificationStatus", FLAGS,
                (("verificationStatus", stage),),
            )  # fmt: skip


def claims(picture: Picture) -> Iterator[Difference]:
    """Jobs in processing whose worker is gone."""
    for one in picture.hanging:
        if not one.ended:
            since = f"processing since {one.updated_at:%Y-%m-%d %H:%M}"
            yield Difference(
                "claim", one.challenge_id, None, since, "no worker's claim on it lives",
                "queue it again", REQUEUE,
            )  # fmt: skip


def intents(final: Iterable[FinalIntent], known: Mapping[str, str]) -> Iterator[Difference]:
    """Final intents whose receipt the node lacks, or has in another block (``known``: by hash)."""
    for one in final:
        block = known.get(one.hash)
        if block == one.block_hash:
            continue
        chain = "the node knows no receipt" if block is None else "mined in another block"
        yield Difference(
            "intent", one.challenge_id, None, f"{one.key} {one.status} in {one.block_number}",
            f"{chain}: {one.hash}",
            "ask another node: this one may have forgotten; the steps go by what is indexed",
        )  # fmt: skip


def _job(
    row: ChallengeRow, database: str, chain: str, repair: str, action: str | None = None
) -> Difference:
    return Difference("job", row.challenge_id, None, database, chain, repair, action)
