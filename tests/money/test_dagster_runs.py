"""Runs of Dagster's that are killed while money moves: the next run ends it, with one effect.

Each is a real run in a process of its own (``dagster job execute``), recorded in Dagster's own
storage, and killed by a real SIGKILL at a boundary of the outbox. ``test_crash_matrix`` has all the
boundaries, in plain processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from lightchallenge_dagster.devnet.deploy import Deployment, deploy
from lightchallenge_dagster.devnet.processes import Postgres, start_anvil
from lightchallenge_dagster.devnet.supervisor import Supervisor
from tests.conftest import REMEMBERING
from tests.money.hatchery import Hatchery
from tests.money.ladder import Case, Ladder
from tests.money.oracle import read_chain

ROOT = Path(__file__).parents[2]
DAGSTER = Path(sys.executable).parent / "dagster"
# Read by ``mortal``, which is not imported here: it changes the outbox.
DIE_AT = "LIGHTCHALLENGE_TEST_DIE_AT"
HISTORY = "money_crash_dagster"
RUN_S = 120.0


@dataclass
class Office:
    """Where the runs happen: a DAGSTER_HOME, its storage, the ladder of worlds."""

    home: Path
    history_url: str
    deployment: Deployment
    ladder: Ladder

    def run(self, case: Case, job: str, *, die_at: str | None = None) -> None:
        """One run of the job in a process of its own: it succeeds, or dies there by SIGKILL."""
        done = subprocess.run(
            [DAGSTER, "job", "execute", "-m", "tests.money.mortal", "-j", job],
            cwd=self.home,
            env={
                "PATH": os.defpath,
                "HOME": str(self.home),
                "PYTHONPATH": str(ROOT),
                "DAGSTER_HOME": str(self.home),
                "DAGSTER_POSTGRES_URL": self.history_url.replace(
                    "postgresql:", "postgresql+psycopg2:"
                ),
                "DATABASE_URL": case.url,
                "CONFIRMATION_BLOCKS": "1",
                **self.deployment.env(),
                **self.deployment.secret_env(),
                **({DIE_AT: die_at} if die_at else {}),
            },
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == (-9 if die_at else 0), done.stderr[-4000:]

    def statuses(self, job: str) -> list[str]:
        """What Dagster's storage says of the job's runs, oldest first."""
        with psycopg.connect(self.history_url) as connection:
            found = connection.execute(
                "select status from runs where pipeline_name = %s order by id", (job,)
            )
            return [row[0] for row in found]


@pytest.fixture(scope="module")
def office(
    supervisor: Supervisor,
    postgres: Postgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    home = tmp_path_factory.mktemp("money-crash")
    shutil.copy(ROOT / "dagster.yaml", home)
    anvil = start_anvil(supervisor, name="anvil-crash", arguments=REMEMBERING)
    deployment = deploy(anvil.url)
    history_url = postgres.create(HISTORY)
    with Hatchery.of(deployment) as hatchery:
        ladder = Ladder(postgres, anvil, deployment, hatchery, migrated_template)
        yield Office(home, history_url, deployment, ladder)
        ladder.close()
    anvil.handle.stop()
    postgres.drop(HISTORY)


@pytest.mark.parametrize(
    ("job", "rung", "kind", "boundary"),
    [
        pytest.param(
            "request_inferences", "request", "request", "stored",
            id="a request, stored and not broadcast",
        ),
        pytest.param(
            "settle_winners", "proof", "batch", "broadcast",
            id="a batch of proofs, broadcast, its receipt unread",
        ),
        pytest.param(
            "finalize_challenges", "finalize", "finalize", "mined",
            id="finalize, its receipt recorded, the challenge's row not",
        ),
    ],
)  # fmt: skip
def test_a_run_killed_while_money_moves_is_ended_by_the_next_one(
    office: Office, job: str, rung: str, kind: str, boundary: str
) -> None:
    with office.ladder.case(rung) as case:
        before = effects(office, kind)
        office.run(case, job, die_at=f"{kind}.{boundary}")
        # Dagster itself does not know that the process is gone.
        assert office.statuses(job) == ["STARTED"]
        case.time_passes()
        office.run(case, job)
        assert office.statuses(job) == ["STARTED", "SUCCESS"]
        assert effects(office, kind) == before + {"request": 2, "batch": 1, "finalize": 3}[kind]
        case.finish()
        assert case.differences() == []


def effects(office: Office, kind: str) -> int:
    """Our successful transactions of a kind on chain."""
    chain = read_chain(office.ladder.client, office.ladder.first_block)
    return sum(one.kind == kind and one.succeeded for one in chain.sent)
