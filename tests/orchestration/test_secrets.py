"""No secret's value reaches the UI, the event log, an error or a snapshot."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from dagster._utils.error import serializable_error_info_from_exc_info
from sqlalchemy import Engine

from lightchallenge_dagster.assets.metadata import endpoints_metadata
from lightchallenge_dagster.chain.rpc import RpcError
from lightchallenge_dagster.checks.catalog import CHECKS, Surroundings
from lightchallenge_dagster.definitions import build_defs, resources
from lightchallenge_dagster.sensors.health import find
from lightchallenge_dagster.settings import NOT_USED, Settings, variables
from lightchallenge_dagster.storage import endpoints
from tests import builders as b
from tests.chain.http_node import HttpNode
from tests.orchestration.conftest import World

PASSWORD = "dbpassw0rd"
NODE_KEY = "rpc-k3y"
NODE_USER, NODE_PASSWORD = "rpc-us3r", "rpc-passw0rd"
WORKER, FINALIZER, REGISTRAR = "ab12" * 16, "cd34" * 16, "ef56" * 16
SECOND_USER, SECOND_PASSWORD = "s3cond-us3r", "s3cond-passw0rd"
SECOND_PATH, SECOND_QUERY = "s3cond-path-k3y", "s3cond-query-k3y"
NODE_SECRETS = (
    NODE_KEY, NODE_USER, NODE_PASSWORD, SECOND_USER, SECOND_PASSWORD, SECOND_PATH, SECOND_QUERY,
)  # fmt: skip
SECRETS = (PASSWORD, *NODE_SECRETS, WORKER, FINALIZER, REGISTRAR)

NODE = f"http://{NODE_USER}:{NODE_PASSWORD}@127.0.0.1:9/v2/{NODE_KEY}?apikey={NODE_KEY}"
SECOND = f"http://{SECOND_USER}:{SECOND_PASSWORD}@127.0.0.1:9/{SECOND_PATH}/?id=1&k={SECOND_QUERY}"
ENVIRONMENT = {
    "DATABASE_URL": f"postgresql://lightchallenge:{PASSWORD}@127.0.0.1:1/web",
    "LCAI_RPC": f"{NODE}, {SECOND}",
    "LCAI_WORKER_PK": f"0x{WORKER}",
    "LCAI_FINALIZE_PK": f"0x{FINALIZER}",
    "METADATA_REGISTRY_KEY": f"0x{REGISTRAR}",
    "METADATA_REGISTRY": f"0x{99:040x}",
    "BASE_URL": "https://app.example",
    **{
        name: "0x" + f"{number:02x}" * 20
        for number, name in enumerate(
            (
                "CHALLENGEPAY_ADDRESS",
                "TREASURY_ADDRESS",
                "AIVM_INFERENCE_V2_ADDRESS",
                "AIVM_TASK_REGISTRY_ADDRESS",
            ),
            start=1,
        )
    },
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(n for f in Settings.model_fields for n in variables(f)), *NOT_USED]:
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def made() -> dict[str, Any]:
    """The resources as a run gets them, secrets resolved."""
    return {name: one.process_config_and_initialize() for name, one in resources().items()}


def leaked(text: str) -> list[str]:
    lowered = text.lower()
    return [secret for secret in SECRETS if secret.lower() in lowered]


def told_by(action: Callable[[], object]) -> str:
    """Everything that Dagster and a terminal would show of the error, causes included."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - every one is looked at
        shown = serializable_error_info_from_exc_info(sys.exc_info()).to_string()
        return shown + "".join(traceback.format_exception(error)) + repr(error)
    raise AssertionError("this was to fail")


def test_the_repository_snapshot_holds_the_names_of_secrets_and_no_value() -> None:
    snapshot = serialize_value(RepositorySnap.from_def(build_defs().get_repository_def()))
    for name in (
        "DATABASE_URL", "LCAI_RPC", "LCAI_WORKER_PK", "LCAI_FINALIZE_PK", "METADATA_REGISTRY_KEY"
    ):  # fmt: skip
        assert name in snapshot
    assert leaked(snapshot) == []


def test_the_resources_as_definitions_print_no_value() -> None:
    assert leaked(repr(resources()) + str(resources()) + repr(Settings.load())) == []


ERRORS: dict[str, Callable[[], object]] = {
    "database": lambda: made()["database"].engine().connect(),
    "head": lambda: made()["chain"].now_ts(),
    "batch": lambda: made()["chain"].rpc().batch([("eth_chainId", []), ("eth_blockNumber", [])]),
    "balances": lambda: made()["chain"].rpc().call("eth_getBalance", ["0x", "latest"]),
    "logs": lambda: made()["chain"].reader().logs(["0x" + "11" * 20], [], 0, 1),
    "view": lambda: made()["chain"].contracts().get_challenge(1),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_unreachable_server_is_told_without_its_password_or_key(name: str) -> None:
    told = told_by(ERRORS[name])
    assert leaked(told) == []
    assert "127.0.0.1" in told or "LCAI_RPC" in told, "which server it was"


@pytest.mark.parametrize(
    "url",
    [f"http://[::1/{NODE_KEY}", f"htp://h/{NODE_KEY}", f"http://h:{NODE_KEY}/", NODE_KEY,
     f"http://{'a' * 100}.example/{NODE_KEY}", f"http://u:{NODE_PASSWORD}@/{NODE_KEY}",
     f"http://127.0.0.1:9/{NODE_KEY}\n", f"ws://127.0.0.1:9/{NODE_KEY}", f"{NODE},", f",{SECOND}",
     f"{NODE},{NODE}", f"{SECOND},{NODE_KEY}", f"{NODE_KEY},{SECOND}", f"{NODE};{SECOND}x"],
)  # fmt: skip
def test_a_node_address_that_is_none_is_refused_without_being_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("LCAI_RPC", url)
    told = told_by(lambda: made()["chain"].now_ts())
    assert leaked(told) == []
    assert "LCAI_RPC" in told


def echo(body: Any) -> tuple[int, Any]:
    """A node that repeats all that it knows of us, in every place that it can."""
    said = " ".join([NODE, SECOND, *NODE_SECRETS])
    error = {"code": -32000, "message": said, "data": {"payload": said}}
    calls = body if isinstance(body, list) else [body]
    answers = [
        {"id": call["id"], "result": hex(504)}
        if call["method"] == "eth_chainId"
        else {"id": call["id"], "error": error}
        for call in calls
    ]
    return 200, answers if isinstance(body, list) else answers[0]


@pytest.fixture
def echoing(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The first endpoint is down, the second tells everybody both addresses."""
    node = HttpNode(echo)
    second = SECOND.replace("127.0.0.1:9", node.url.rpartition("@")[2].partition("/")[0])
    monkeypatch.setenv("LCAI_RPC", f"{NODE}, {second}")
    yield second
    node.stop()


@pytest.mark.parametrize("name", ["head", "batch", "balances", "logs", "view"])
def test_a_node_that_repeats_addresses_and_keys_is_not_passed_on(name: str, echoing: str) -> None:
    told = told_by(ERRORS[name])
    assert leaked(told) == []
    assert echoing not in told
    assert "…" in told, "something was taken out"


def test_what_is_kept_and_shown_of_the_endpoints_tells_no_secret(
    database: Engine, database_url: str, echoing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    rpc = made()["chain"].rpc()
    for _ in range(2):
        with pytest.raises(RpcError):
            rpc.call("eth_blockNumber")
        rpc.distrust("bad_answer", f"it said {echoing}")
    with database.begin() as connection:
        endpoints.save(connection, 504, rpc)
        stored = endpoints.rows(connection, 504)
    shown = endpoints_metadata(rpc)
    assert [set(one.errors()) for one in rpc.endpoints] == [{"unreachable"}, {"bad_answer"}]
    everything = repr(rpc) + repr(rpc.endpoints) + str(stored) + str(shown)
    assert leaked(everything) == []
    assert all(one.label in str(stored) for one in rpc.endpoints)


@pytest.mark.parametrize(
    "url",
    [f"postgresql://u:{PASSWORD}@h:{PASSWORD}@127.0.0.1:1/db", f"postgresql://u:{PASSWORD}@[::1/x",
     f"mysql://u:{PASSWORD}@127.0.0.1/x", PASSWORD, f"postgresql://u:{PASSWORD}@127.0.0.1:1/x?a=b",
     f"postgresql://u:{PASSWORD}@{'a' * 100}.example/db"],
)  # fmt: skip
def test_a_database_address_that_is_none_is_refused_without_being_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert leaked(told_by(lambda: made()["database"].engine().connect())) == []


@pytest.mark.parametrize(
    "variable", ["LCAI_WORKER_PK", "LCAI_FINALIZE_PK", "METADATA_REGISTRY_KEY"]
)
@pytest.mark.parametrize("spoil", ["{}00", "{}zz", "x{}", "{} {}", "-{}"])
def test_a_key_that_is_none_is_refused_without_being_repeated(
    monkeypatch: pytest.MonkeyPatch, variable: str, spoil: str
) -> None:
    key = ENVIRONMENT[variable]
    monkeypatch.setenv(variable, spoil.replace("{}", key))
    told = told_by(lambda: made()["signers"].wallets())
    assert leaked(told) == []
    assert variable in told, "which of the two it was"


def test_no_check_that_cannot_look_tells_a_secret() -> None:
    ready = made()
    around = Surroundings(ready["database"], ready["chain"], ready["signers"], ready["policy"])
    assert leaked("".join(str(find(check, around)) for check in CHECKS)) == []


@pytest.mark.parametrize(
    "job",
    ["follow_chain", "request_inferences", "settle_winners", "finalize_challenges",
     "take_in_uploads", "collect_evidence", "backfill_metadata_registry",
     "backfill_chain_outcome", "reconcile"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("reachable", "talks"),
    [(True, True), (True, False), (False, False)],
    ids=["talking node", "no node", "no database"],
)
def test_no_event_of_a_run_that_fails_holds_a_secret(
    job: str, reachable: bool, talks: bool, database: Engine, database_url: str,
    instance: DagsterInstance, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Any,
) -> None:  # fmt: skip
    if reachable:
        monkeypatch.setenv("DATABASE_URL", database_url)
    if talks:
        request.getfixturevalue("echoing")
    monkeypatch.setenv("EVIDENCE_INBOX", str(tmp_path))
    result = (
        build_defs()
        .resolve_job_def(job)
        .execute_in_process(instance=instance, raise_on_error=False)
    )
    run = instance.get_run_by_id(result.run_id)
    events = instance.all_logs(result.run_id)
    assert events
    written = "".join(serialize_value(event) for event in events) + serialize_value(run)
    captured = capfd.readouterr()
    assert leaked(written + caplog.text + captured.out + captured.err) == []


def test_no_event_of_a_run_that_pays_holds_a_key(
    world: World, instance: DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    b.challenge(world.database, 7)
    keys = [world.resources["signers"].worker_key, world.resources["signers"].finalize_key]
    definitions = build_defs(Settings.load(), resource_overrides=world.resources)
    with partition_loading_context(dynamic_partitions_store=instance):
        for job in ("follow_chain", "finalize_challenges"):
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance, raise_on_error=False
            )
            written = "".join(serialize_value(e) for e in instance.all_logs(result.run_id))
            for key in keys:
                assert key.removeprefix("0x") not in written + caplog.text
