"""``python -m tests.simulator``: see ``soak``."""

from __future__ import annotations

import sys

from tests.simulator.soak import main

if __name__ == "__main__":
    sys.exit(main())
