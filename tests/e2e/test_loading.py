"""What loading the definitions touches: only this package and its libraries."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lightchallenge_dagster

PACKAGE = Path(lightchallenge_dagster.__file__).parent
DEVNET = "lightchallenge_dagster.devnet"

#: Told by the interpreter itself (PEP 578), so nothing can be opened past it.
LOAD = """
import json, os, sys

seen = []

def hear(event, args):
    if event.startswith("socket."):
        seen.append((event, ""))
    elif event == "open" and isinstance(args[0], (str, bytes)):
        seen.append((event, os.path.abspath(os.fsdecode(args[0]))))

sys.addaudithook(hear)
from lightchallenge_dagster.definitions import defs
defs.get_repository_def()
print(json.dumps({"seen": seen, "modules": sorted(sys.modules)}))
"""

IMPORT = """
import importlib, json, sys

for name in {names!r}:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


def pipeline_sources() -> list[Path]:
    """Every module of the package but the local chain's."""
    return [path for path in PACKAGE.rglob("*.py") if PACKAGE / "devnet" not in path.parents]


def run(code: str, home: Path) -> Any:
    """What ``code`` prints in a fresh interpreter without environment, working in ``home``."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The definitions, loaded where a user has files that are none of the pipeline's business."""
    home = tmp_path_factory.mktemp("home")
    for name in (".env", ".pgpass", "dagster.yaml", "workspace.yaml"):
        (home / name).write_text("", encoding="utf-8")
    (home / "inbox").mkdir()
    return {**run(LOAD, home), "home": home}


def test_definitions_load_without_network(loaded: dict[str, Any]) -> None:
    assert [event for event, _ in loaded["seen"] if event.startswith("socket.")] == []


def test_definitions_load_without_reading_or_writing_a_file_of_the_users(
    loaded: dict[str, Any],
) -> None:
    opened = [Path(path) for event, path in loaded["seen"] if event == "open"]
    assert any(PACKAGE in path.parents for path in opened), "the hook heard nothing"
    allowed = [
        *(Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)),
        PACKAGE.resolve(),
        Path("/dev"),
    ]
    strange = [
        str(path)
        for path in opened
        if loaded["home"] in path.parents
        or not any(folder in path.resolve().parents for folder in allowed)
    ]
    assert strange == []


@pytest.mark.parametrize("library", ["polars", "pandas", "web3", "matplotlib", "eth_account"])
def test_definitions_load_without_a_heavy_library(loaded: dict[str, Any], library: str) -> None:
    # Each costs a good part of a second in every run's process; steps import them when they work.
    assert library not in loaded["modules"]


def test_definitions_load_without_the_local_chain(loaded: dict[str, Any]) -> None:
    assert [name for name in loaded["modules"] if name.startswith(DEVNET)] == []


def test_no_module_of_the_pipeline_brings_the_local_chain_with_it(tmp_path: Path) -> None:
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in pipeline_sources()
    ]
    modules = run(IMPORT.format(names=names), tmp_path)
    assert set(names) <= set(modules)
    assert [name for name in modules if name.startswith(DEVNET)] == []


def test_no_function_of_the_pipeline_imports_the_local_chain_when_called() -> None:
    sources = pipeline_sources()
    assert len(sources) > 50
    found = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in sources
        for name in imports(path)
        if "devnet" in name.split(".")
    ]
    assert found == []


def imports(path: Path) -> Iterator[str]:
    """Every module a source file imports, anywhere in it, as it is written."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)
