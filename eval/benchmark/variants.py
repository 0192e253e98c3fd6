"""What is measured: variants of one optimisation step, each a set of options of the run command and of slow changes.

From conf/benchmark.yaml: the plain reference; no lever, all levers, each lever alone and taken away; batches; the named
variants. What comes out the same under two names is one variant with two names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ditto.build import build
from ditto.method import Method
from ditto.models.base import MusicModel
from eval.benchmark.slow import Slow
from eval.efficiency.cases import Case, composed

REFERENCE, NONE, ALL = "plain reference", "no lever", "all levers"
PLAIN = {"_target_": "eval.benchmark.plain.Plain"}
SWITCHES = {"with": "on", "without": "off"}  # words of the configuration that Python keeps for itself
SlowConfig = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Lever:
    """`on` and `off` are options of the run command; `slow` takes the lever away where the code has no switch."""

    name: str
    prediction: str
    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    slow: SlowConfig | None = None
    in_all: bool = True
    kept: bool = True
    why: str = ""
    alone: bool = True
    over: str = ALL
    devices: tuple[str, ...] = ("cpu", "cuda")
    models: tuple[str, ...] = ()  # that have its options; empty: all
    warmup: int = 0

    @property
    def only(self) -> str:
        """The variant that has this lever only."""
        return f"only {self.name}"

    @property
    def together(self) -> tuple[str, str]:
        """The variants without and with it, all others on; a lever that is not among all may be held to another one."""
        return (f"all but {self.name}", ALL) if self.in_all else (self.over, f"all and {self.name}")


def levers(options: Mapping[str, Any]) -> list[Lever]:
    """As conf/benchmark.yaml has them."""
    found = []
    for name, given in options["levers"].items():
        about: dict[str, Any] = {SWITCHES.get(key, key): value for key, value in given.items()}
        about = {key: tuple(value) if isinstance(value, list) else value for key, value in about.items()}
        found.append(Lever(name, **about))
    return found


class Models:
    """One of every model that is asked for: variants share it unless their options or permanent changes differ."""

    def __init__(self) -> None:
        self._made: dict[str, MusicModel] = {}

    def get(self, config: Mapping[str, Any], device: str, changes: Iterable[Slow]) -> MusicModel:
        changes = list(changes)
        key = json.dumps([config, device, [type(change).__qualname__ for change in changes]], sort_keys=True)
        if key not in self._made:
            model: MusicModel = build(config, "model").to(device)
            for change in changes:
                change.change(model)
            self._made[key] = model
        return self._made[key]


@dataclass(frozen=True, eq=False)
class Variant(Case):
    """A case of `eval.efficiency`, changed to be slow."""

    models: Models = field(kw_only=True)
    names: list[str] = field(kw_only=True)
    slow: tuple[SlowConfig, ...] = ()
    warmup: int = 0
    bare: bool = False  # whether the bare calls are timed beside it

    @property
    def name(self) -> str:
        return f"{self.model_name}: {self.names[0]}"

    @cached_property
    def changes(self) -> list[Slow]:
        return [build(config, "slow") for config in self.slow]

    @cached_property
    def model(self) -> MusicModel:
        """Shared, see `Models`."""
        permanent = [change for change in self.changes if change.permanent]
        return self.models.get(self.options["model"], self.options["device"], permanent)

    @cached_property
    def made_once(self) -> Method:
        """One for all passes: a memory policy knows its second chain from the first, as in a run."""
        return self.made(self.options["task"]["steps"])


@dataclass
class Asked:
    """A variant before its options are composed."""

    overrides: list[str]
    slow: list[SlowConfig] = field(default_factory=list)
    plain: bool = False
    warmup: int = 0
    bare: bool = False


def asked(options: Mapping[str, Any], chosen: list[Lever]) -> dict[str, Asked]:
    """Name -> variant, of one model; the main ones first."""
    full = [lever for lever in chosen if lever.in_all]
    plain = Asked(["precision=float32", "memory=checkpoint"], list(options["reference"]), plain=True, bare=True)
    found = {REFERENCE: plain, NONE: _of(chosen, []), ALL: _of(chosen, full, bare=True)}
    for size in options["batch_sizes"]:
        found[f"{ALL}, {size} clips"] = _of(chosen, full, [f"batch_size={size}"], bare=True)
    for name, overrides in options["variants"].items():
        found[name] = _of(chosen, full, overrides, bare=True)
    for lever in chosen:
        if lever.alone:
            found[lever.only] = _of(chosen, [lever])
        less, more = lever.together
        if lever.in_all:
            found[less] = _of(chosen, [one for one in full if one is not lever])
        else:
            found[more] = _of(chosen, [*full, lever])
    wanted = options["only"]
    return {k: v for k, v in found.items() if not wanted or any(part in k for part in wanted)}


def variants(options: Mapping[str, Any], chosen: list[Lever], models: Models) -> list[Variant]:
    """All of them, for every model; UserError where an option is unknown."""
    found: dict[str, Variant] = {}
    for model_name in options["models"]:
        its_own = [lever for lever in chosen if not lever.models or model_name in lever.models]
        for name, one in asked(options, its_own).items():
            variant = _variant(options, model_name, name, one, models)
            key = json.dumps([model_name, variant.options, variant.slow], sort_keys=True, default=str)
            if key in found:
                found[key].names.append(name)
            else:
                found[key] = variant
    return list(found.values())


def _variant(options: Mapping[str, Any], model_name: str, name: str, one: Asked, models: Models) -> Variant:
    shared = {**options, "model_name": model_name, "precision": "auto"}
    resolved = composed(shared, _last([f"sampler.steps={options['sampler_steps']}", *one.overrides]))
    method = "plain" if one.plain else next((o[7:] for o in one.overrides if o.startswith("method=")), "ditto")
    if one.plain:
        resolved["method"] = {**PLAIN, "steps": resolved["task"]["steps"]}
    policy = str(resolved["memory"]["_target_"]).rpartition(".")[2].lower()
    batch, T = resolved["batch_size"] or 1, resolved["sampler"]["steps"]
    extra: dict[str, Any] = {"slow": tuple(one.slow), "warmup": one.warmup, "bare": one.bare}
    return Variant(model_name, method, T, policy, batch, resolved, models=models, names=[name], **extra)


def _of(levers: list[Lever], on: list[Lever], overrides: Iterable[str] = (), bare: bool = False) -> Asked:
    """These levers on, the others off, and the overrides on top. Of levers that share an option, the one on wins."""
    chosen = [switch for lever in levers if lever not in on for switch in lever.off]
    chosen += [switch for lever in on for switch in lever.on]
    slow = [lever.slow for lever in levers if lever.slow and lever not in on]
    return Asked([*chosen, *overrides], slow, warmup=max((lever.warmup for lever in on), default=0), bare=bare)


def _last(overrides: Iterable[str]) -> list[str]:
    """Of overrides of one option, the last."""
    return list({override.partition("=")[0].lstrip("+"): override for override in overrides}.values())
