"""One difference between the tables and the chain, and what would repair it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Subject = Literal["status", "outcome", "winner", "binding", "job", "proof", "intent", "claim"]

#: What reconcile does by itself: ``rebuild:<projection>``, the outcome from the contract, the flags
#: of ``challenges.proof``, a request noted again, a hanging job queued again. No transaction.
Action = str
OUTCOME, FLAGS, NOTE, REQUEUE = "outcome", "flags", "note", "requeue"

#: A job in processing without a sign of life for so many minutes hangs.
HANG_MINUTES = 30.0


def rebuild(projection: str) -> Action:
    """Compute a table from the stored logs again."""
    return f"rebuild:{projection}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What the ``database`` says and what the ``chain`` does, and who ``repairs`` it.

    ``action`` None: it is left to the job or person that ``repair`` names. ``patch`` is what FLAGS
    and OUTCOME write. ``under_way``: nobody is late yet, the job that ``repair`` names comes to it.
    """

    about: Subject
    challenge_id: int | None
    wallet: str | None
    database: str
    chain: str
    repair: str
    action: Action | None = None
    patch: tuple[tuple[str, object], ...] = ()
    under_way: bool = False

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it the same difference when it is looked at again."""
        return (self.about, self.challenge_id, self.wallet, self.repair, self.database)
