"""The root of every error this package raises on purpose."""

from __future__ import annotations


class LightChallengeError(Exception):
    """Something a person can act on: the message says what, where and what to do."""


class PermanentError(LightChallengeError):
    """Trying again cannot help: an input or a configuration has to change first."""


class TransientError(LightChallengeError):
    """An outage: the same call may go through later, and does not count as an attempt."""
