"""JSON from outside, with a bounded depth.

Python's parser goes one C stack frame deeper for each bracket. Its own guard follows the recursion
limit, and where a library has raised that, a small file of brackets ends the whole process.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 64

_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|([\]}])', re.DOTALL)


def loads(data: bytes, text: str | None = None, **hooks: Any) -> Any:
    """``json.loads`` of ``data`` (or of ``text``, its decoded form) with the given hooks.

    Raises ``ValueError`` for what is no JSON or not UTF-8, and when it nests deeper than
    ``MAX_DEPTH``.
    """
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        depth = 0
        for found in _STRUCTURE.finditer(data):
            if found.lastindex == 1:
                depth += 1
                if depth > MAX_DEPTH:
                    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
            elif found.lastindex == 2:
                depth -= 1
    return json.loads(data.decode("utf-8") if text is None else text, **hooks)
