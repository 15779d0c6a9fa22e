"""The installation: which Python it takes, what it repeats, what the lock files promise."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "bootstrap.sh"


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH with nothing on it but what the script itself needs."""
    dirname = shutil.which("dirname")
    assert dirname is not None
    (tmp_path / "dirname").symlink_to(dirname)
    return tmp_path


def bootstrap(machine: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", SCRIPT],
        env={"PATH": str(machine), **extra},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_too_old_or_a_shim_with_nothing_behind_it_is_passed_over(machine: Path) -> None:
    program(machine, "python3", "exit 1")
    program(machine, "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    program(machine, "python3.12", 'case "$1" in -c) exit 0;; *) echo "took $*";; esac')
    done = bootstrap(machine)
    assert done.returncode == 0
    assert done.stdout.strip() == f"took -B {SCRIPT.parent}/bootstrap.py"
    assert done.stderr == ""


def test_a_machine_without_python_is_told_what_to_install(machine: Path) -> None:
    program(machine, "python3", "exit 1")
    done = bootstrap(machine)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "LIGHTCHALLENGE_PYTHON" in done.stderr


def test_the_python_that_is_named_is_taken(machine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    program(folder, "mine", 'case "$1" in -c) exit 0;; *) echo mine;; esac')
    assert bootstrap(machine, LIGHTCHALLENGE_PYTHON=str(folder / "mine")).stdout == "mine\n"


def project(folder: Path) -> Path:
    """A copy of what the installation reads."""
    (folder / "tools").mkdir(parents=True)
    for name in ("requirements.lock", "pyproject.toml", "package.json", "package-lock.json"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "tools" / "bootstrap.py", folder / "tools")
    return folder


def test_what_cannot_be_installed_stops_with_the_installers_words_and_is_started_over(
    tmp_path: Path,
) -> None:
    folder = project(tmp_path / "a place")
    left_behind = folder / ".venv" / "left-behind-by-an-interrupted-run"
    left_behind.parent.mkdir()
    left_behind.touch()
    nowhere = "http://127.0.0.1:9/simple"
    environment = {**os.environ, "PIP_INDEX_URL": nowhere, "PIP_RETRIES": "0", "HOME": "/nowhere"}
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        environment.pop(name, None)
    environment["PIP_CONFIG_FILE"] = os.devnull
    done = subprocess.run(
        [sys.executable, "-B", "tools/bootstrap.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert not left_behind.exists()
    assert "Installation stopped: python failed with exit code 1" in done.stderr
    assert "uv==" in done.stderr
    assert not list(folder.glob(".venv/.*-installed"))
    # A HOME that cannot be written is replaced by a folder of the project's own.
    assert (folder / ".local" / "home").is_dir()


@pytest.mark.skipif(
    not (ROOT / ".venv" / ".project-installed").exists(), reason="not installed by `make install`"
)
def test_a_second_installation_does_nothing_and_takes_no_time() -> None:
    command = ["make", "--silent", "install"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    started = time.monotonic()
    assert subprocess.check_output(command, cwd=ROOT, text=True) == ""
    assert time.monotonic() - started < 5


def test_every_locked_python_package_has_hashes_and_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text()
    packages = re.findall(
        r"^[a-z0-9][^=\n]*==\S+.*\n(?:    --hash=sha256:[0-9a-f]{64}.*\n?)+", text, re.M
    )
    names = re.findall(r"^[a-z0-9][^=\s]*==", text, re.M)
    assert len(packages) == len(names) > 100
    assert "://" not in text


def test_every_locked_node_package_has_a_hash_and_no_registry() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    packages = {name: facts for name, facts in lock["packages"].items() if name}
    assert {"node_modules/solc", "node_modules/@foundry-rs/anvil-linux-amd64"} <= set(packages)
    for name, facts in packages.items():
        assert facts["integrity"].startswith("sha512-"), name
        assert "resolved" not in facts, name


def test_make_lists_every_target_with_its_purpose() -> None:
    listed = subprocess.check_output(["make", "--silent"], cwd=ROOT, text=True)
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert declared is not None
    assert re.findall(r"^  make ([\w-]+)\s+\S", listed, re.M) == declared[1].split()
