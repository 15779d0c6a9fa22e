"""One measurement in a process of its own: its peak memory is its own too.

``python -m benchmarks.child PART``, arguments as JSON on stdin, progress and result as JSON lines.
A part that checks its result afterwards takes its ``peak_memory`` itself, before.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from benchmarks.common import peak_memory

PARTS = {
    "raw": "benchmarks.raw",
    "side": "benchmarks.side_by_side",
    "empty": "benchmarks.empty",
    "order-rows": "benchmarks.judgement.order_rows",
    "order-polars": "benchmarks.judgement.order_polars",
    "order-postgres": "benchmarks.judgement.order_postgres",
    "order-pandas": "benchmarks.judgement.order_pandas",
    "ranking-rows": "benchmarks.judgement.ranking_rows",
    "ranking-ours": "benchmarks.judgement.ranking_ours",
    "ranking-loop": "benchmarks.judgement.ranking_loop",
    "season-rows": "benchmarks.judgement.season_rows",
    "season-ours": "benchmarks.judgement.season_ours",
    "season-loop": "benchmarks.judgement.season_loop",
    "evidence-rows": "benchmarks.judgement.evidence_rows",
    "evaluation-ours": "benchmarks.judgement.evaluation_ours",
    "evaluation-loop": "benchmarks.judgement.evaluation_loop",
    "queue-rows": "benchmarks.queue.rows",
    "queue-worker": "benchmarks.queue.worker",
    "queue-feeder": "benchmarks.queue.feeder",
}


def _say(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _tell(share: float, label: str) -> None:
    _say(progress=[share, label])


def main() -> None:
    """Run the part that the command line names."""
    part = importlib.import_module(PARTS[sys.argv[1]])
    arguments = json.load(sys.stdin)
    result = part.run(arguments, _tell)
    result.setdefault("peak_memory", peak_memory())
    _say(result=result)


if __name__ == "__main__":
    main()
