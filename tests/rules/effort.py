"""How many examples a property is tried with: some in every test run, many in a soak."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

USUAL = 1000
"""Examples of the longest property in `make test`; the others take fewer."""

ASKED = int(os.environ.get("SOAK_EXAMPLES", str(USUAL)))


def examples(usual: int) -> settings:
    """Settings for a property that takes ``usual`` examples in `make test`.

    `make soak-rules` (``SOAK_EXAMPLES``) asks as many of the longest, the same multiple of others.
    """
    return settings(
        max_examples=max(1, usual * ASKED // USUAL),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
