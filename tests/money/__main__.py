"""``python -m tests.money``: see ``soak``."""

from __future__ import annotations

import sys

from tests.money.soak import main

if __name__ == "__main__":
    sys.exit(main())
