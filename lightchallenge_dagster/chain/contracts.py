"""Typed views of the deployed contracts (``eth_call``), as PROTOCOL.md describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from eth_abi.exceptions import DecodingError

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.abi import Function
from lightchallenge_dagster.chain.revert import Revert, decode_revert
from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcTimeout, RpcUnavailable
from lightchallenge_dagster.errors import LightChallengeError, PermanentError
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.rules.requests import RequestFacts

ZERO_ADDRESS = "0x" + "00" * 20

STATUS_ACTIVE, STATUS_FINALIZED, STATUS_CANCELED = 0, 1, 2
REQUEST_NONE, REQUEST_FINALIZED = 0, 4

_BATCH = 200
_BAD_PARAMS = {-32600, -32602}


class CallReverted(LightChallengeError):
    """A contract refused a call; ``revert`` names the error and what it means."""

    def __init__(self, where: str, revert: Revert) -> None:
        super().__init__(f"{where} was refused: {revert}")
        self.revert = revert


class NotAContract(PermanentError):
    """The address holds no such contract: it is misconfigured, or the node is on another chain."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the contracts are, lowercase. Optional ones are None when they are not configured."""

    challengepay: str
    treasury: str
    aivm_inference: str
    task_registry: str
    poi_verifier: str | None = None
    achievement: str | None = None
    metadata_registry: str | None = None
    legacy_challengepay: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                object.__setattr__(self, field.name, value.lower())
        object.__setattr__(
            self, "legacy_challengepay", tuple(one.lower() for one in self.legacy_challengepay)
        )


@dataclass(frozen=True, slots=True)
class OnChainChallenge:
    """``ChallengePay.getChallenge``; money in wei, times in epoch seconds, ``duration`` seconds."""

    id: int
    kind: int
    status: int
    outcome: int
    creator: str
    currency: int
    token: str
    stake: int
    join_closes_ts: int
    start_ts: int
    duration: int
    max_participants: int
    pool: int
    participants_count: int
    verifier: str
    proof_deadline_ts: int
    winners_count: int
    winners_pool: int
    paused: bool
    canceled: bool
    payouts_done: bool

    @property
    def end_ts(self) -> int:
        """When the challenge ends: start plus duration."""
        return self.start_ts + self.duration

    @property
    def exists(self) -> bool:
        """False for an id that was never created (the contract answers with zeros)."""
        return self.creator != ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class OnChainBinding:
    """``ChallengeTaskRegistry.getBinding`` where it exists."""

    request_id: int
    task_id: str
    model_digest: str
    params_hash: str
    benchmark_hash: str
    schema_version: int


@dataclass(frozen=True, slots=True)
class OnChainRequest:
    """``AIVMInferenceV2.requests``; ``fee`` in wei, times in epoch seconds."""

    requester: str
    model: str
    model_digest: str
    det_config_hash: str
    prompt_hash: str
    prompt_id: str
    task_id: str
    fee: int
    created_at: int
    commit_deadline: int
    reveal_deadline: int
    finalize_deadline: int
    status: int
    worker: str
    commitment: str
    committed_at: int
    response_hash: str
    response: str
    revealed_at: int
    finalized_at: int

    @property
    def facts(self) -> RequestFacts:
        """What its fate depends on."""
        return RequestFacts(
            self.status,
            self.commit_deadline,
            self.reveal_deadline,
            self.finalize_deadline,
            self.response_hash,
        )


@dataclass(frozen=True, slots=True)
class _View:
    """One ``eth_call`` to make: where, what, and how to name it in an error."""

    address: str
    function: Function
    arguments: tuple[Any, ...]

    def params(self, block: int | str | Point) -> list[Any]:
        data = self.function.encode(*self.arguments)
        return [{"to": self.address, "data": data}, _at(block)]

    def decoded(self, answer: Any) -> tuple[Any, ...]:
        if answer == "0x":
            raise NotAContract(
                f"{self.address} answered {self.function.name} with nothing: no contract is there; "
                "check the address and LCAI_CHAIN_ID"
            )
        try:
            return self.function.decode(cast("str", answer))
        except (DecodingError, OverflowError) as error:
            raise NotAContract(
                f"{self.address} answered {self.function.name} with something else; "
                "check the address"
            ) from error


class Contracts:
    """Reads of ChallengePay, Treasury, AIVMInferenceV2, the registries and the verifier.

    ``block`` is a number or a tag and defaults to the latest block. Every method raises
    ``CallReverted`` when the contract refuses, ``NotAContract`` when none is there, ``RpcError`` or
    ``RpcUnavailable`` when the node is the trouble. Wallets are returned in lowercase.
    """

    def __init__(self, rpc: Rpc, addresses: Addresses) -> None:
        self.rpc = rpc
        self.addresses = addresses
        self._by_hash = True

    def latest_timestamp(self) -> int:
        """Chain time: the latest block's timestamp, in epoch seconds."""
        block = cast("dict[str, str]", self.rpc.call("eth_getBlockByNumber", ["latest", False]))
        return int(block["timestamp"], 16)

    # ── ChallengePay ──

    def get_challenge(self, challenge_id: int, block: int | str = "latest") -> OnChainChallenge:
        """The challenge as the contract holds it; all zeros for an id that was never created."""
        view = abi.challengepay("getChallenge")
        (values,) = self._call(self.addresses.challengepay, view, challenge_id, block=block)
        return OnChainChallenge(*values)

    def challenge_snapshot(
        self, asked: Sequence[tuple[int, str, int | Point]]
    ) -> list[dict[str, Any]]:
        """What ``ChallengeCreated`` does not carry, for each (challenge id, creator, block).

        As it was at the end of that block, which is named by its hash when it is given with it.
        JSON-safe: ``stake``, ``pool`` and ``creator_contribution`` (wei) are decimal strings;
        other integers too where JavaScript could not hold them. All in as few requests as the node
        allows.
        """
        pay = self.addresses.challengepay
        views: list[tuple[_View, int | str | Point]] = []
        for challenge_id, creator, block in asked:
            views.append((_View(pay, abi.challengepay("getChallenge"), (challenge_id,)), block))
            views.append(
                (_View(pay, abi.challengepay("contribOf"), (challenge_id, creator)), block)
            )
        answers = self._as_of(views)
        return [
            _snapshot(OnChainChallenge(*challenge[0]), contribution[0], _number(block))
            for challenge, contribution, (_, _, block) in zip(
                answers[::2], answers[1::2], asked, strict=True
            )
        ]

    def is_winner(self, challenge_id: int, subject: str, block: int | str = "latest") -> bool:
        """Whether the contract will pay ``subject`` as a winner."""
        view = abi.challengepay("isWinner")
        (won,) = self._call(self.addresses.challengepay, view, challenge_id, subject, block=block)
        return won

    def standing(self, challenge_id: int, subjects: Sequence[str]) -> dict[str, tuple[int, bool]]:
        """Stake in wei and ``isWinner`` of each subject, read in one request."""
        pay = self.addresses.challengepay
        views = [
            _View(pay, abi.challengepay(name), (challenge_id, subject))
            for subject in subjects
            for name in ("contribOf", "isWinner")
        ]
        answers = self._many(views, "latest")
        return {
            subject: (answers[2 * i][0], answers[2 * i + 1][0])
            for i, subject in enumerate(subjects)
        }

    def may_submit_proofs(self, wallet: str) -> bool:
        """Whether ``submitProofFor`` accepts ``wallet``: a dispatcher, or the admin."""
        pay = self.addresses.challengepay
        dispatcher, admin = self._many(
            [
                _View(pay, abi.challengepay("dispatchers"), (wallet,)),
                _View(pay, abi.challengepay("admin"), ()),
            ],
            "latest",
        )
        return dispatcher[0] or admin[0] == wallet.lower()

    # ── ChallengeTaskRegistry ──

    def get_binding(
        self, challenge_id: int, subject: str, block: int | str = "latest"
    ) -> OnChainBinding | None:
        """The subject's binding, or None when it has none."""
        view = abi.task_registry("getBinding")
        values = self._call(self.addresses.task_registry, view, challenge_id, subject, block=block)
        return OnChainBinding(*values[:-1]) if values[-1] else None

    def bindings(
        self, challenge_id: int, subjects: Sequence[str]
    ) -> dict[str, OnChainBinding | None]:
        """The bindings of several subjects, read in one request."""
        registry = self.addresses.task_registry
        view = abi.task_registry("getBinding")
        answers = self._many([_View(registry, view, (challenge_id, s)) for s in subjects], "latest")
        return {
            subject: OnChainBinding(*values[:-1]) if values[-1] else None
            for subject, values in zip(subjects, answers, strict=True)
        }

    def may_record_bindings(self, wallet: str) -> bool:
        """Whether the registry accepts ``wallet``: a dispatcher, or the owner."""
        registry = self.addresses.task_registry
        dispatcher, owner = self._many(
            [
                _View(registry, abi.task_registry("dispatchers"), (wallet,)),
                _View(registry, abi.task_registry("owner"), ()),
            ],
            "latest",
        )
        return dispatcher[0] or owner[0] == wallet.lower()

    # ── AIVMInferenceV2 and the verifier ──

    def request(self, request_id: int, block: int | str = "latest") -> OnChainRequest:
        """The inference request; status 0 (None) for an id that was never requested."""
        view = abi.aivm_inference("requests")
        values = self._call(self.addresses.aivm_inference, view, request_id, block=block)
        return OnChainRequest(*values)

    def requests_at(self, request_ids: Sequence[int], at: Point) -> dict[int, OnChainRequest]:
        """The inference requests as they were at the end of one block, which is named by its hash.

        All in as few requests to the node as it allows. Raises ``RpcError`` where the node does not
        have the block, or keeps its state no longer.
        """
        inference, view = self.addresses.aivm_inference, abi.aivm_inference("requests")
        views: list[tuple[_View, int | str | Point]] = [
            (_View(inference, view, (request_id,)), at) for request_id in request_ids
        ]
        return {
            request_id: OnChainRequest(*values)
            for request_id, values in zip(request_ids, self._as_of(views), strict=True)
        }

    def request_id_by_task(self, task_id: str) -> int:
        """The request behind a task id, 0 for none."""
        view = abi.aivm_inference("requestIdByTaskId")
        (request_id,) = self._call(self.addresses.aivm_inference, view, task_id)
        return request_id

    def attestations(self, task_id: str) -> tuple[int, int, str]:
        """Of a task: how many validators attested, how many must, and the result hash so far."""
        inference = self.addresses.aivm_inference
        count, quorum, result = self._many(
            [
                _View(inference, abi.aivm_inference("poiAttestationCount"), (task_id,)),
                _View(inference, abi.aivm_inference("poiQuorum"), ()),
                _View(inference, abi.aivm_inference("poiResultHashByTask"), (task_id,)),
            ],
            "latest",
        )
        return count[0], quorum[0], result[0]

    def verify(self, verifier: str, challenge_id: int, subject: str, proof: bytes) -> bool:
        """What the challenge's verifier says about a proof right now."""
        (passed,) = self._call(verifier, abi.poi_verifier("verify"), challenge_id, subject, proof)
        return passed

    def verify_each(
        self, verifier: str, challenge_id: int, proofs: dict[str, bytes]
    ) -> dict[str, bool]:
        """:meth:`verify` for several subjects' proofs, in one request."""
        view = abi.poi_verifier("verify")
        views = [_View(verifier, view, (challenge_id, s, proof)) for s, proof in proofs.items()]
        answers = self._many(views, "latest")
        return {subject: answer[0] for subject, answer in zip(proofs, answers, strict=True)}

    # ── Treasury, achievements, metadata ──

    def eth_allowance(self, bucket_id: int, wallet: str) -> int:
        """What ``wallet`` may still draw from a challenge's bucket, in wei."""
        view = abi.treasury("ethAllowanceOf")
        (wei,) = self._call(self.addresses.treasury, view, bucket_id, wallet)
        return wei

    def achievement_of(
        self, asked: Sequence[tuple[int, int | str | Point]]
    ) -> list[tuple[int, str, int, int]]:
        """Challenge id, recipient, type (0 completion, 1 victory) and minting time of tokens.

        Each is asked for by (token id, block); all in as few requests as the node allows.
        """
        address = _configured(self.addresses.achievement, "NEXT_PUBLIC_ACHIEVEMENT_ADDR")
        view = abi.achievement("achievementOf")
        answers = self._at_blocks(
            [(_View(address, view, (token,)), block) for token, block in asked]
        )
        return cast("list[tuple[int, str, int, int]]", answers)

    def uri(self, challenge_id: int) -> str:
        """The challenge's metadata URI, empty when there is none."""
        address = _configured(self.addresses.metadata_registry, "METADATA_REGISTRY")
        view = abi.metadata_registry("uri")
        (uri,) = self._call(address, view, self.addresses.challengepay, challenge_id)
        return uri

    def metadata_owner(self) -> str:
        """Whose ``ownerSet`` MetadataRegistry takes."""
        address = _configured(self.addresses.metadata_registry, "METADATA_REGISTRY")
        (owner,) = self._call(address, abi.metadata_registry("owner"))
        return owner

    # ── how ──

    def many(
        self, asked: Sequence[tuple[str, Function, tuple[Any, ...]]], block: int | str = "latest"
    ) -> list[tuple[Any, ...]]:
        """What (address, function, arguments) of each answer, in as few requests as possible."""
        return self._many([_View(*one) for one in asked], block)

    def _call(
        self,
        address: str,
        function: Function,
        *arguments: Any,
        block: int | str | Point = "latest",
    ) -> tuple[Any, ...]:
        view = _View(address, function, arguments)
        try:
            return view.decoded(self.rpc.call("eth_call", view.params(block)))
        except RpcError as error:
            raise _refused(view, error) from error

    def _many(self, views: Sequence[_View], block: int | str) -> list[tuple[Any, ...]]:
        return self._at_blocks([(view, block) for view in views])

    def _as_of(self, views: Sequence[tuple[_View, int | str | Point]]) -> list[tuple[Any, ...]]:
        """As ``_at_blocks``, by block number where a node knows no calls by block hash."""
        if self._by_hash:
            try:
                return self._at_blocks(views)
            except RpcError as error:
                if error.code not in _BAD_PARAMS:
                    raise
                self._by_hash = False
        return self._at_blocks(
            [(view, block.number if isinstance(block, Point) else block) for view, block in views]
        )

    def _at_blocks(self, views: Sequence[tuple[_View, int | str | Point]]) -> list[tuple[Any, ...]]:
        """Every view at its block, in the order given, as many in one request as the node takes.

        A batch that the node refuses, for its size or for one call in it, is halved until it is
        served; a call that is refused on its own raises the error that names it.
        """
        found: list[tuple[Any, ...]] = []
        at, size = 0, _BATCH
        while at < len(views):
            part = views[at : at + size]
            try:
                if len(part) == 1:
                    (view, block), *_ = part
                    found.append(
                        self._call(view.address, view.function, *view.arguments, block=block)
                    )
                else:
                    answers = self.rpc.batch([("eth_call", v.params(block)) for v, block in part])
                    found += [v.decoded(one) for (v, _), one in zip(part, answers, strict=True)]
            except (RpcError, RpcUnavailable) as error:
                if len(part) == 1 or isinstance(error, RpcTimeout):
                    raise
                size = len(part) // 2
                continue
            at += len(part)
        return found


def _snapshot(found: OnChainChallenge, contribution: int, block: int) -> dict[str, Any]:
    plain = {
        name: _json_safe(getattr(found, name))
        for name in (
            "id", "kind", "status", "outcome", "creator", "currency", "token",
            "join_closes_ts", "start_ts", "duration", "max_participants",
            "participants_count", "verifier", "proof_deadline_ts",
        )
    }  # fmt: skip
    return {
        **plain,
        "stake": str(found.stake),
        "pool": str(found.pool),
        "creator_contribution": str(contribution),
        "block_number": block,
    }


def _number(block: int | Point) -> int:
    return block.number if isinstance(block, Point) else block


def _at(block: int | str | Point) -> Any:
    if isinstance(block, Point):
        return {"blockHash": block.hash}
    return hex(block) if isinstance(block, int) else block


def _refused(view: _View, error: RpcError) -> LightChallengeError:
    revert = decode_revert(error.message, error.data)
    if revert is None:
        return error
    return CallReverted(f"{view.function.name} of {view.address}", revert)


def _configured(address: str | None, variable: str) -> str:
    if address is None:
        raise PermanentError(f"{variable} is not set, so that contract cannot be read")
    return address


def _json_safe(value: int | str) -> int | str:
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else value
