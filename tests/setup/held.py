"""A parent for test_supervisor.py to kill: starts servers and awkward processes, then waits.

Prints one line of JSON: every process id it caused, and the folders that must disappear.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil

from lightchallenge_dagster.devnet.processes import start_anvil, start_postgres
from lightchallenge_dagster.devnet.supervisor import Supervisor

STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""

# Starts a process in a session of its own and leaves it behind, as a daemon does.
RUNAWAY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
print(child.pid, flush=True)
"""


def main() -> None:
    with Supervisor() as supervisor:
        start_postgres(supervisor)
        start_anvil(supervisor)
        stubborn = supervisor.spawn(
            "stubborn", [sys.executable, "-c", STUBBORN], cwd=Path("/"), grace_s=0.2
        )
        runaway = supervisor.spawn("runaway", [sys.executable, "-c", RUNAWAY], cwd=Path("/"))
        while runaway.alive or not stubborn.log_tail():
            time.sleep(0.02)
        pids = {child.pid for child in psutil.Process().children(recursive=True)}
        pids |= {os.getpid(), int(runaway.log_tail())}
        folders = [str(supervisor.directory)]
        sys.stdout.write(json.dumps({"pids": sorted(pids), "folders": folders}) + "\n")
        sys.stdout.flush()
        time.sleep(600)


if __name__ == "__main__":
    main()
