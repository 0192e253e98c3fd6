"""Blinded triplets: clips of one prompt and task by several methods, each under a name that says nothing.

A name is the beginning of a sha256 over seed, task, clip, method and the sound itself: the same runs and seed give the
same names, and names order nothing. Which name is whose stands in the key only.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ditto.types import UserError
from eval.comparable import collect, wanted
from eval.finished import Finished


@dataclass(frozen=True)
class Sample:
    """One clip of a triplet as it is heard: edits stitched to their recording."""

    name: str
    method: str
    file: Path
    made: Finished


@dataclass(frozen=True)
class Triplet:
    """The samples that are rated beside each other, in the order of their names."""

    name: str
    task: str
    clip: str
    prompt: str
    samples: tuple[Sample, ...]


def triplets(options: Mapping[str, Any]) -> list[Triplet]:
    """Every clip that all methods of its task made, or `per_task` of them; what is left out is printed to stderr."""
    chosen: list[Triplet] = []
    found = collect(dict(options))
    for task, methods in _methods(options).items():
        runs = {one.method: one for one in found if one.task == task}
        lacking = [method for method in methods if method not in runs]
        if lacking:
            _say(f"left out: {task}, no finished run of {', '.join(lacking)}")
            continue
        whole = list(_whole([runs[method] for method in methods], options["seed"]))
        chosen += _draw(whole, options["per_task"], options["seed"])
    if not chosen:
        raise UserError("no triplet: every task lacks a run (the lines above name the commands that make them)")
    return sorted(chosen, key=lambda one: one.name)


def _methods(options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Task -> the methods that are compared on it."""
    tasks: dict[str, list[str]] = {}
    for task, method in wanted(dict(options)):
        tasks.setdefault(task, []).append(method)
    unlike = [task for task, methods in tasks.items() if options["tested"] not in methods or len(methods) < 2]
    if unlike:
        raise UserError(f"{', '.join(unlike)}: a triplet needs {options['tested']} and a method to compare it with")
    return tasks


def _whole(runs: list[Finished], seed: int) -> Iterable[Triplet]:
    """A triplet for each clip that has sound by every method."""
    prompts = {
        clip: prompt for one in runs for clip, prompt in zip(one.clips["clip"], one.clips["prompt"], strict=True)
    }
    for clip, prompt in prompts.items():
        without = [one.method for one in runs if clip not in set(one.clips["clip"]) or not _heard(one, clip).exists()]
        if without:
            _say(f"left out: {runs[0].task} {clip}, no sound by {', '.join(without)}")
            continue
        samples = [_sample(one, clip, seed) for one in runs]
        samples.sort(key=lambda sample: sample.name)
        yield Triplet(_name(*(one.name for one in samples)), runs[0].task, clip, prompt, tuple(samples))


def _sample(one: Finished, clip: str, seed: int) -> Sample:
    file = _heard(one, clip)
    sound = hashlib.sha256(file.read_bytes()).hexdigest()
    return Sample(_name(str(seed), one.task, clip, one.method, sound), one.method, file, one)


def _heard(one: Finished, clip: str) -> Path:
    return one.path / "audio" / f"{clip}.flac"


def _draw(whole: list[Triplet], n: int | None, seed: int) -> list[Triplet]:
    if n is None or n >= len(whole):
        return whole
    return [whole[i] for i in np.random.default_rng(seed).permutation(len(whole))[:n]]


def _name(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:10]


def _say(line: str) -> None:
    print(line, file=sys.stderr)
