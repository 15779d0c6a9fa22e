"""What can go wrong with a provider or an upload."""

from __future__ import annotations

from lightchallenge_dagster.errors import PermanentError, TransientError


class ProviderUnavailableError(TransientError):
    """The provider did not answer, or not with success: the same question may be answered later."""


class ProviderLimitedError(ProviderUnavailableError):
    """The provider refuses more questions for now; asking it about somebody else is useless too."""


class ProviderRefusedError(PermanentError):
    """The provider says that the question itself is wrong (an account id it does not take)."""


class ProviderMisreadError(PermanentError):
    """The answer does not have the shape that the provider documents."""


class UploadError(PermanentError):
    """The uploaded file cannot become evidence; the message is written for the one who sent it."""
