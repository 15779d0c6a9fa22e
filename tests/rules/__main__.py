"""``python -m tests.rules``: see ``soak``."""

from __future__ import annotations

import sys

from tests.rules.soak import main

if __name__ == "__main__":
    sys.exit(main())
