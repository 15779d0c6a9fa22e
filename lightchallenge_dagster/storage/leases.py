"""Row leases: "one at a time" that outlives a dead process (``pipeline.leases``).

Dagster cannot promise it: a run whose host died stays STARTED. All instants are the database's
own clock, so the clocks of the machines involved do not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

# clock_timestamp() and not now(): a transaction may have waited long before it got here.
_ACQUIRE = text("""
    insert into pipeline.leases as lease (name, token, holder, expires_at)
    values (:name, 1, :holder, clock_timestamp() + make_interval(secs => :ttl_s))
    on conflict (name) do update
       set token = lease.token + 1, holder = excluded.holder, expires_at = excluded.expires_at
     where lease.expires_at <= clock_timestamp() or lease.holder = excluded.holder
    returning token
""")
_RENEW = text("""
    update pipeline.leases
       set expires_at = clock_timestamp() + make_interval(secs => :ttl_s)
     where name = :name and token = :token and expires_at > clock_timestamp()
    returning token
""")
# The row stays, so that the next holder's token is larger than every token before it.
_RELEASE = text("""
    update pipeline.leases set expires_at = '-infinity' where name = :name and token = :token
""")


def acquire(connection: Connection, name: str, holder: str, ttl_s: float) -> int | None:
    """Take the lease ``name`` for ``ttl_s`` seconds, from the moment the caller commits.

    Returns the fencing token: it grows with every acquisition, so a write guarded by it is refused
    to whoever lost the lease. None while another holder's lease lives. The same ``holder`` may take
    a living lease again and thereby fences out its earlier self; name holders uniquely.
    """
    return connection.execute(
        _ACQUIRE, {"name": name, "holder": holder, "ttl_s": ttl_s}
    ).scalar_one_or_none()


def renew(connection: Connection, name: str, token: int, ttl_s: float) -> bool:
    """Extend a lease that is still held: true, or false when it has expired or changed hands."""
    row = connection.execute(_RENEW, {"name": name, "token": token, "ttl_s": ttl_s})
    return row.scalar_one_or_none() is not None


def release(connection: Connection, name: str, token: int) -> None:
    """Give the lease back; does nothing when ``token`` no longer holds it."""
    connection.execute(_RELEASE, {"name": name, "token": token})
