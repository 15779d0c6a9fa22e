"""One JSON-RPC endpoint: its URL, which nobody sees, and what we have learned about it."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import SplitResult, unquote, urlsplit

from lightchallenge_dagster.chain.failures import CALLS
from lightchallenge_dagster.chain.pacing import rest_s
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.ranges import RangeSize

_SHORTEST_SECRET = 6
_SOUND_AFTER = 20
"""So many good answers in a row end a streak of failures."""


class Endpoint:
    """What one URL of LCAI_RPC has shown of itself.

    ``label`` ("2-1f0c9a3e": its place in the list and a fingerprint of the URL) may be shown;
    ``counts`` holds ``calls`` and failures by kind (``chain.failures``), ``range`` the size of the
    ``eth_getLogs`` it serves. After failures it rests, longer each time: others are asked first,
    then it gets one try. ``good`` counts its answers since the last of ``failures`` in a row.
    ``aside`` is for ever: it follows another chain. Times are seconds of ``clock``.
    """

    def __init__(
        self, url: str, place: int, max_block_range: int, clock: Callable[[], float]
    ) -> None:
        self.fingerprint = hashlib.sha256(url.encode()).hexdigest()[:8]
        self.label = f"{place}-{self.fingerprint}"
        self.range = RangeSize.start(max_block_range)
        self.counts: Counter[str] = Counter()
        self.last_error: str | None = None
        self.last_error_at: datetime | None = None
        self.last_answer_at: datetime | None = None
        self.failures = 0
        self.good = 0
        self.aside = False
        self.verified = False
        self._url = url
        self._clock = clock
        self._rests_until = clock()
        self._wanted_until = self._rests_until
        self._saved_counts: Counter[str] = Counter()
        self._saved_range = self.range

    def __repr__(self) -> str:
        return f"Endpoint({self.label})"

    def secret_url(self) -> str:
        """The URL, for the one who sends to it."""
        return self._url

    def rest_left_s(self) -> float:
        """Seconds for which others should be asked first; 0 when it is awake."""
        return max(0.0, self._rests_until - self._clock())

    def wait_left_s(self) -> float:
        """Seconds for which the node has asked us to stay away."""
        return max(0.0, self._wanted_until - self._clock())

    def rest(self, seconds: float, failures: int) -> None:
        """Let it rest, after so many ``failures`` in a row."""
        self.failures = failures
        self._rests_until = self._clock() + seconds

    def answered(self) -> None:
        """Note a good answer; enough of them in a row make it sound again."""
        self.good = min(self.good + 1, _SOUND_AFTER)
        self.last_answer_at = datetime.now(UTC)
        if self.good >= _SOUND_AFTER:
            self.failures = 0

    def failed(self, kind: str, words: str, *, took_s: float, wait_s: float, chance: float) -> None:
        """Note a failure: count it, and let the endpoint rest.

        ``words`` must hold no secret. ``wait_s`` is how long the node asked not to be asked.
        """
        self.note(kind, words)
        self.good = 0
        self.verified = False
        failures = self.failures + 1
        self.rest(max(wait_s, rest_s(failures, took_s, chance)), failures)
        self._wanted_until = self._clock() + wait_s

    def note(self, kind: str, words: str) -> None:
        """Count what is no failure of the endpoint itself, such as a refused range."""
        self.counts[kind] += 1
        self.last_error = words
        self.last_error_at = datetime.now(UTC)

    # ── from one process to the next (storage.endpoints) ──

    @property
    def learned(self) -> bool:
        """Whether the range it serves has changed since it was saved or restored."""
        return self.range != self._saved_range

    def unsaved(self) -> dict[str, int]:
        """What ``counts`` has gained since it was saved."""
        return dict(self.counts - self._saved_counts)

    def saved(self) -> None:
        """All of it has been saved."""
        self._saved_counts = self.counts.copy()
        self._saved_range = self.range

    def restore(self, size: RangeSize, failures: int, good: int, rest_s: float) -> None:
        """Go on from what another process has learned, within this one's MAX_BLOCK_RANGE."""
        self.range = size.within(self.range.maximum)
        self._saved_range = self.range
        self.good = good
        self.rest(rest_s, failures)

    def limit_range(self, maximum: int) -> None:
        """Another MAX_BLOCK_RANGE, which is nothing that it has taught us."""
        learned = self.learned
        self.range = self.range.within(maximum)
        if not learned:
            self._saved_range = self.range

    def errors(self) -> dict[str, int]:
        """Failures by kind."""
        return {kind: count for kind, count in self.counts.items() if kind != CALLS and count}


def endpoints(
    urls: Sequence[str], max_block_range: int, clock: Callable[[], float]
) -> list[Endpoint]:
    """Endpoints in order of preference. Raises ``PermanentError``, without repeating a URL.

    One given twice is refused: it would be its own witness.
    """
    seen: dict[str, int] = {}
    for place, url in enumerate(urls, start=1):
        if _parts(url) is not None:
            if (first := seen.setdefault(url.rstrip("/"), place)) != place:
                raise PermanentError(
                    f"LCAI_RPC, address {place} of {len(urls)}, is the same as address {first}:"
                    " name each endpoint once"
                )
            continue
        if len(urls) == 1:
            raise PermanentError("LCAI_RPC is not an http(s) URL; expected https://host/path")
        raise PermanentError(
            f"LCAI_RPC, address {place} of {len(urls)}, is not an http(s) URL; expected"
            " https://host/path, and a comma inside an address written %2C"
        )
    if not urls:
        raise PermanentError("LCAI_RPC is not an http(s) URL but an empty list")
    return [Endpoint(url, place, max_block_range, clock) for place, url in enumerate(urls, start=1)]


class Scrubber:
    """Takes URLs, and the parts of them that can be a key or a password, out of a text."""

    def __init__(self, urls: Sequence[str]) -> None:
        secrets = {secret for url in urls for secret in _secrets(url)}
        longest_first = sorted(secrets, key=lambda secret: (-len(secret), secret))
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.I)

    def __call__(self, text: str) -> str:
        return self._pattern.sub("…", text)


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname else None


def _secrets(url: str) -> set[str]:
    parts = urlsplit(url)
    user, password = parts.username or "", parts.password or ""
    pieces = [user, password, parts.path, parts.query, parts.fragment, *parts.path.split("/")]
    for pair in parts.query.split("&"):
        pieces += [pair, *pair.split("=")[1:]]
    if user or password:
        login = f"{unquote(user)}:{unquote(password)}"
        pieces += [login, base64.b64encode(login.encode()).decode()]
    pieces.append(_telling_host(parts.hostname or ""))
    long_enough = {piece for piece in pieces if len(piece) >= _SHORTEST_SECRET}
    # What is left of "%" escapes is looked for as well: a node may repeat either.
    found = long_enough | {unquote(piece) for piece in long_enough}
    return {secret for secret in {url, url.rstrip("/"), parts.netloc, *found} if secret}


def _telling_host(host: str) -> str:
    """A host name can hold an account's name; this machine and bare addresses tell nothing."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "" if host == "localhost" else host
    return ""
