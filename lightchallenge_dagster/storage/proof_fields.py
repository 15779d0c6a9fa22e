"""The keys inside ``challenges.proof`` that the pipeline writes, and nothing else there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb
from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

# One statement, so keys that the web app writes at the same moment are not lost. A proof that is no
# object belongs to somebody else's idea of the column and is left alone.
_MERGE = text("""
    update public.challenges
       set proof = coalesce(proof, '{}') || cast(:patch as jsonb), updated_at = now()
     where id = :challenge_id
       and jsonb_typeof(coalesce(proof, '{}')) = 'object'
       and coalesce(proof, '{}') is distinct from coalesce(proof, '{}') || cast(:patch as jsonb)
""")


def merge(connection: Connection, challenge_id: int, patch: Mapping[str, Any]) -> bool:
    """Set the keys of ``patch`` in the challenge's proof; true when that changed the row."""
    result = connection.execute(_MERGE, {"challenge_id": challenge_id, "patch": Jsonb(dict(patch))})
    return result.rowcount > 0
