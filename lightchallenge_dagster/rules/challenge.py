"""What a challenge row's configuration means: mode, window, and the rule for each kind of evidence.

RULES.md "Where the rule is found". Parsed once per version of the row, then asked of every piece
of evidence. Arbitrary JSON never raises here: what is wrong becomes ``problem``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from .evaluation.activities import activity_type
from .evaluation.config import UNREADABLE_SOURCE, ChallengeConfig, Mode
from .evaluation.numbers import asked
from .evaluation.parsing import (
    RuleError,
    Zones,
    full_fitness,
    full_gaming,
    is_empty,
    quoted,
    simplified_fitness,
    simplified_gaming,
)
from .evaluation.times import bound_or_clamped, from_epoch_or_clamped

__all__ = ["ChainTimes", "ChallengeConfig", "Mode", "parse_config", "parse_sources"]

Object = Mapping[str, Any]

_BYTE_ORDER_MARK = "\ufeff"
_MODES: dict[str, Mode] = {"threshold": "threshold", "competitive": "competitive"}
_HEX = re.compile(r"0x[0-9a-fA-F]*")
_STARTS = ("startsAt", "startTs", "starts", "start")
_ENDS = ("endsAt", "endTs", "ends", "end")
_DEADLINES = ("proofDeadline", "proofDeadlineAt")
_GAMING_KEYS = ("minWins", "hero", "rankedOnly", "streakLength")
_SETTING_KEYS = ("mode", "period")
_FITNESS_PARTS = ("conditions", "dailyTarget", "weeklyTarget", "antiCheat")
_SAYS_WHAT_IT_IS = frozenset(
    ("challengeType", *_FITNESS_PARTS, *_GAMING_KEYS, *_SETTING_KEYS, "topN", "competitiveMetric")
)


@dataclass(frozen=True, slots=True)
class ChainTimes:
    """A challenge's times as the chain has them (``pipeline.chain_challenges``), epoch seconds."""

    start_ts: int | None
    end_ts: int | None
    proof_deadline_ts: int | None


@dataclass(slots=True)
class _Found:
    """The outcome of one search: a rule, or why what was meant as one is none."""

    rule: Any = None
    problem: str | None = None


@dataclass(slots=True)
class _Search:
    """The places a rule may be in, and what was seen on the way."""

    simplified: list[tuple[str, Object]]
    full: list[tuple[str, Object]]
    zones: Zones
    metric: tuple[str, Any] | None
    odd: list[str] = field(default_factory=list[str])

    def fitness(self) -> _Found:
        found = self._simplified("fitness")
        if found is None:
            found = self._full_fitness()
        return found

    def gaming(self, settings_may_be_a_rule: bool) -> _Found:
        found = self._simplified("gaming")
        if found is None:
            found = self._full_gaming(settings_may_be_a_rule)
        return found

    def _simplified(self, kind: str) -> _Found | None:
        for path, rule in self.simplified:
            named = rule.get("type")
            if named == kind:
                read = simplified_fitness if kind == "fitness" else simplified_gaming
                try:
                    return _Found(rule=read(rule, path, self.zones))
                except RuleError as error:
                    return _Found(problem=str(error))
            if named not in ("fitness", "gaming") and any(
                rule.get(name) is not None for name in ("type", "metric", "threshold")
            ):
                return _Found(
                    problem=f'{path}.type must be "fitness" or "gaming", not {quoted(named)}'
                )
        return None

    def _full_fitness(self) -> _Found:
        misfit: str | None = None
        for path, place in self.full:
            if place.get("challengeType") is None:
                if _lacks_its_type(place):
                    misfit = misfit or (
                        f"{path}.challengeType is missing; it must be a known activity type"
                    )
                continue
            try:
                return _Found(rule=full_fitness(place, path, self.zones, self.metric))
            except RuleError as error:
                fits = activity_type(place["challengeType"]) is not None and isinstance(
                    place.get("period"), dict
                )
                if fits:
                    return _Found(problem=str(error))
                misfit = misfit or str(error)
        return _Found(problem=misfit)

    def _full_gaming(self, settings_may_be_a_rule: bool) -> _Found:
        keys = (*_GAMING_KEYS, *_SETTING_KEYS) if settings_may_be_a_rule else _GAMING_KEYS
        for path, place in self.full:
            if place.get("challengeType") is not None:
                continue
            if all(is_empty(place.get(name)) for name in keys):
                continue
            try:
                return _Found(rule=full_gaming(place, path, self.zones, self.metric))
            except RuleError as error:
                return _Found(problem=str(error))
        return _Found()


def parse_config(
    params: object, proof: object, timeline: object, chain_times: ChainTimes | None = None
) -> ChallengeConfig:
    """Read ``challenges.params``, ``.proof`` and ``.timeline``: objects, JSON text, or null.

    The chain's times win over the timeline's. Never raises: what is malformed is in ``problem``.
    """
    odd: list[str] = []
    params_object = _decoded(params, "params", odd)
    proof_object = _decoded(proof, "proof", odd)
    inner = _decoded(proof_object.get("params"), "proof.params", odd)
    roots = (("proof.params", inner), ("params", params_object))
    full: list[tuple[str, Object]] = []
    for path, root in roots:
        full.append(_part(root, path, "rule", odd))
        full.append((path, root))
    simplified = [_part(root, path, "rules", odd) for path, root in reversed(roots)]

    no_times: list[str] = []
    times = _decoded(timeline, "timeline", no_times)
    zones = Zones(
        rules=tuple((f"{path}.timezone", rule.get("timezone")) for path, rule in simplified),
        timeline=("timeline.timezone", times.get("timezone")),
    )
    mode, mode_problem = _mode(_setting(full, "mode"))
    competitive = mode == "competitive"
    metric = _setting(full, "competitiveMetric")
    top_n, top_n_problem = _top_n(_setting(full, "topN")) if competitive else (1, None)

    search = _Search(simplified, full, zones, metric if competitive else None)
    fitness = search.fitness()
    leftover = odd[0] if odd else _untyped(simplified) or _shapeless(full[::2])
    # `mode` and `period` alone make a gaming rule (RULES.md), but not where they are the settings
    # around a rule of another kind: then Dota matches would pass a running challenge.
    alone = fitness.rule is None and fitness.problem is None and leftover is None
    gaming = search.gaming(settings_may_be_a_rule=alone)
    # What cannot be placed is a malformed rule of both kinds, unless a readable one was found.
    for found in (fitness, gaming):
        if found.rule is None and found.problem is None and not (fitness.rule or gaming.rule):
            found.problem = leftover
    has_rule = any(
        part is not None for each in (fitness, gaming) for part in (each.rule, each.problem)
    )

    starts_at, ends_at, deadline, time_problem = _times(times, chain_times)
    if no_times and None in (starts_at, ends_at, deadline):
        time_problem = no_times[0]
    timezone, where, zone_problem = "UTC", UTC, None
    rule = fitness.rule or gaming.rule
    if rule is not None:
        timezone, where = rule.timezone, rule.zone
    elif fitness.problem is None and gaming.problem is None:
        try:
            timezone, where = zones.find()
        except RuleError as error:
            zone_problem = str(error)
    everywhere = time_problem or zone_problem
    return ChallengeConfig(
        mode=mode,
        top_n=top_n,
        competitive_metric=str(metric[1]) if metric and isinstance(metric[1], str) else None,
        starts_at=starts_at,
        ends_at=ends_at,
        proof_deadline=deadline,
        timezone=timezone,
        zone=where,
        fitness_rule=fitness.rule,
        gaming_rule=gaming.rule,
        fitness_problem=fitness.problem or everywhere,
        gaming_problem=gaming.problem or everywhere,
        has_rule=has_rule,
        problem=fitness.problem or gaming.problem or everywhere or mode_problem or top_n_problem,
    )


def parse_sources(sources: object) -> tuple[str, ...]:
    """``public.models.sources`` as provider names, lowercase; empty where none are listed.

    A text is one name. What is neither that nor a list of names accepts nobody
    (``UNREADABLE_SOURCE``): a restriction that cannot be read is still one.
    """
    sources = _said_by(sources)
    if _unset(sources):
        return ()
    if isinstance(sources, str):
        sources = [sources]
    listed = cast("list[Any]", sources) if isinstance(sources, list) else []
    names = (name.strip().lower() for name in listed if isinstance(name, str))
    return tuple(name for name in names if name) or (UNREADABLE_SOURCE,)


def _said_by(value: object) -> object:
    """What JSON text says, also where that is JSON text again; any other value as it is.

    Text without a word says nothing (None).
    """
    for _ in range(2):
        if not isinstance(value, str):
            break
        value = value.strip().lstrip(_BYTE_ORDER_MARK).strip()
        if not value:
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value


def _decoded(value: object, path: str, odd: list[str]) -> Object:
    """An object, also one written as JSON text; ``{}`` for anything else.

    What is neither an object nor empty is noted in ``odd``: somebody meant something by it. Bytes
    as hex are no rule: that is how parameters and proofs go on chain.
    """
    said = _said_by(value)
    if isinstance(said, dict):
        return cast("dict[str, Any]", said)
    if not _unset(said) and not (isinstance(said, str) and _HEX.fullmatch(said)):
        broken = isinstance(said, str) and said.startswith("{")
        wrong = "is no valid JSON:" if broken else "must be an object, not"
        odd.append(f"{path} {wrong} {quoted(value)}")
    return {}


def _part(root: Object, path: str, name: str, odd: list[str]) -> tuple[str, Object]:
    """A part of ``root`` that is meant to be an object, with its path."""
    path = f"{path}.{name}"
    return path, _decoded(root.get(name), path, odd)


def _setting(places: Sequence[tuple[str, Object]], name: str) -> tuple[str, Any] | None:
    """The first place where the key is set, with its path."""
    return next(
        ((f"{path}.{name}", place[name]) for path, place in places if not _unset(place.get(name))),
        None,
    )


def _unset(value: object) -> bool:
    return is_empty(value) or value == ""


def _mode(setting: tuple[str, Any] | None) -> tuple[Mode, str | None]:
    """The mode, and what is wrong with the one that is set."""
    if setting is None:
        return "threshold", None
    path, value = setting
    mode = _MODES.get(value.strip().lower()) if isinstance(value, str) else None
    if mode is not None:
        return mode, None
    return "threshold", f"{path} must be one of {', '.join(_MODES)}, not {quoted(value)}"


def _top_n(setting: tuple[str, Any] | None) -> tuple[int, str | None]:
    if setting is None:
        return 1, None
    path, value = setting
    number = asked(value)
    if number is not None and 1 <= number < 2**31 and number == int(number):
        return int(number), None
    return 1, f"{path} must be a positive whole number, not {quoted(value)}"


def _untyped(simplified: Sequence[tuple[str, Object]]) -> str | None:
    """A non-empty ``rules`` object without anything that a simplified rule has."""
    return next(
        (
            f'{path}.type is missing; it must be "fitness" or "gaming"'
            for path, rule in simplified
            if rule and rule.get("type") not in ("fitness", "gaming")
        ),
        None,
    )


def _lacks_its_type(place: Object) -> bool:
    """Parts that only a fitness rule has, and nothing that makes it a gaming rule."""
    return any(not is_empty(place.get(name)) for name in _FITNESS_PARTS) and all(
        is_empty(place.get(name)) for name in _GAMING_KEYS
    )


def _shapeless(rules: Sequence[tuple[str, Object]]) -> str | None:
    """A ``rule`` that says something, but nothing that a full rule has."""
    return next(
        (
            f"{path} is no rule: it has neither challengeType nor any of "
            f"{', '.join((*_GAMING_KEYS, *_SETTING_KEYS))}"
            for path, rule in rules
            if not all(map(_unset, rule.values()))
            and all(map(_unset, map(rule.get, _SAYS_WHAT_IT_IS)))
        ),
        None,
    )


def _times(
    timeline: Object, chain: ChainTimes | None
) -> tuple[datetime | None, datetime | None, datetime | None, str | None]:
    """Start, end and proof deadline, and what of them cannot be read."""
    on_chain = (
        (None, None, None)
        if chain is None
        else (chain.start_ts, chain.end_ts, chain.proof_deadline_ts)
    )
    found: list[datetime | None] = []
    problem: str | None = None
    for seconds, names, last in zip(
        on_chain, (_STARTS, _ENDS, _DEADLINES), (False, True, True), strict=True
    ):
        if seconds is not None:
            found.append(from_epoch_or_clamped(seconds))
            continue
        moment, unreadable = _first_time(_set(timeline, names), last)
        found.append(moment)
        problem = problem or unreadable
    return found[0], found[1], found[2], problem


def _set(timeline: Object, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The keys that are set; 0 is how the web app writes "not set"."""
    for name in names:
        value = timeline.get(name)
        if not _unset(value) and value not in (0, "0"):
            yield name, value


def _first_time(
    values: Iterator[tuple[str, Any]], last: bool
) -> tuple[datetime | None, str | None]:
    problem: str | None = None
    for name, value in values:
        moment = bound_or_clamped(value, UTC, last=last)
        if moment is not None:
            return moment, None
        problem = problem or f"timeline.{name} is no time: {quoted(value)}"
    return None, problem
