"""Real servers for the tests: one PostgreSQL and one anvil for each test process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.processes import Anvil, Postgres, start_anvil, start_postgres
from lightchallenge_dagster.devnet.supervisor import Supervisor
from lightchallenge_dagster.storage.database import connect
from lightchallenge_dagster.storage.migrate import migrate

if TYPE_CHECKING:
    from lightchallenge_dagster.devnet.deploy import Deployment

_numbers = itertools.count(1)

# A session's tests mine thousands of blocks; by its defaults anvil forgets the first ones' states.
REMEMBERING = ("--max-persisted-states", "20000")


@pytest.fixture(scope="session")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """Holds this test process's servers; they end with it, even when it is killed."""
    with Supervisor(tmp_path_factory.mktemp("servers")) as supervisor:
        yield supervisor


@pytest.fixture(scope="session")
def postgres(supervisor: Supervisor) -> Postgres:
    """The PostgreSQL server of this test process."""
    return start_postgres(supervisor, in_memory=True)


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """The name of a migrated database to copy; nobody may stay connected to it."""
    engine = connect(postgres.create("template_migrated"))
    try:
        migrate(engine)
    finally:
        engine.dispose()
    return "template_migrated"


@pytest.fixture
def empty_database_url(postgres: Postgres) -> Iterator[str]:
    """The URL of a database without any table of ours."""
    name = f"empty_{next(_numbers)}"
    yield postgres.create(name)
    postgres.drop(name)


@pytest.fixture
def database_url(postgres: Postgres, migrated_template: str) -> Iterator[str]:
    """The URL of this test's own, freshly migrated database."""
    name = f"test_{next(_numbers)}"
    yield postgres.create(name, template=migrated_template)
    postgres.drop(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """An engine on this test's own, freshly migrated database."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def _blank_node(supervisor: Supervisor) -> Anvil:
    return start_anvil(supervisor, arguments=REMEMBERING)


@pytest.fixture(scope="session")
def _deployed(supervisor: Supervisor) -> tuple[Anvil, Deployment]:
    from lightchallenge_dagster.devnet.deploy import deploy

    node = start_anvil(supervisor, name="anvil-devnet", arguments=REMEMBERING)
    return node, deploy(node.url)


@pytest.fixture
def anvil(request: pytest.FixtureRequest) -> Iterator[Anvil]:
    """A chain (id 504) that is set back after the test: blank, or the one ``devnet`` is on.

    The node itself is shared, so a test must not reset it or roll back behind its first block;
    such a test takes ``fresh_anvil``.
    """
    node: Anvil
    if "devnet" in request.fixturenames:
        node = request.getfixturevalue("_deployed")[0]
    else:
        node = request.getfixturevalue("_blank_node")
    # Tests that need no chain ran meanwhile: a start "two minutes after the latest block" would
    # lie in the past of the next one.
    node.resume_clock()
    # Blocks of its own: anvil keeps states by block hash, and an earlier test's clock was the same.
    node.rpc("anvil_setCoinbase", f"0x{next(_numbers):040x}")
    snapshot = node.snapshot()
    yield node
    # A snapshot knows nothing of them: they would be mined in a later test's blocks.
    node.rpc("anvil_dropAllTransactions")
    node.revert(snapshot)


@pytest.fixture
def devnet(anvil: Anvil, _deployed: tuple[Anvil, Deployment]) -> Deployment:
    """The contracts, freshly deployed on ``anvil``."""
    return _deployed[1]


@pytest.fixture
def fresh_anvil(supervisor: Supervisor) -> Iterator[Callable[..., Anvil]]:
    """Starts a node of the test's own: ``fresh_anvil("--slots-in-an-epoch", "1")``."""
    nodes: list[Anvil] = []

    def start(*arguments: str) -> Anvil:
        nodes.append(start_anvil(supervisor, name="anvil-own", arguments=arguments))
        return nodes[-1]

    yield start
    for node in nodes:
        node.handle.stop()
