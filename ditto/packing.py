"""Which clips of a run are made together: as many as fit into memory, in batches of nearly equal size.

`batch_size` is taken as given; null asks for as many as fit into `memory_gib`, or into what is free on the device
(`ditto.room`), by an estimate of what a clip takes (`ditto.need`). Where neither is known, all clips are one batch.
A batch that runs out of memory is halved, and what has proved too large is not tried again in this process, for jobs
of the same kind: same model, sampler, method, control, length and device.

A clip's result does not depend on its batch mates but for rounding: convolutions of another batch size may add in
another order, and Adam's first steps, which go by the sign of a gradient, magnify that where a gradient is near zero
(on the toy model 1e-4 of the loss after two steps). So the batches are written to `batches.json` of the run directory
until the run is done, and a run that is resumed has those of an uninterrupted one; with another `batch_size` or
`memory_gib` they are made anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ditto.need import Asked, Need, bound, probe, safely
from ditto.room import room
from ditto.run_directory import read_json, run_id, write_json
from ditto.types import ClipRequest, UserError

FILE = "batches.json"
_ASKED_FOR = ("batch_size", "memory_gib")
Batches = list[list[ClipRequest]]

# By kind of job, for the jobs of this process.
_needs: dict[str, Need | None] = {}
_bounds: dict[str, Need | None] = {}
_most: dict[str, int] = {}  # clips at once, after running out of memory with more


@dataclass(frozen=True)
class Packing:
    """The batches of one run; `words` say how they were found, "" where nothing had to be."""

    kind: str
    batches: Batches
    words: str = ""


def pack(asked: Asked, options: Mapping[str, Any], clips: list[ClipRequest], folder: Path) -> Packing:
    """Decide; `folder` is the run directory, where an earlier attempt may have left its batches."""
    kind = _kind(options, "model", "sampler", "method", "task", "frames", "device")
    left = _left(folder, options, clips)
    if left:
        return Packing(kind, left)
    if options["batch_size"] is not None:
        return Packing(kind, smaller(_chunks(clips, options["batch_size"]), _most.get(kind)))
    space = room(asked.model.device, options["memory_gib"]) if len(clips) > 1 else None
    need = None if space is None else _need(asked, options, clips, space, kind)
    if space is None or need is None:
        return Packing(kind, smaller([clips], _most.get(kind)))
    most = min(need.fitting(space, len(clips)), _most.get(kind, len(clips)))
    batches = balanced(clips, most)
    limit = f"{space / 2**30:.1f} GiB {'free' if options['memory_gib'] is None else 'given'}"
    return Packing(kind, batches, f"{_words(batches, need)}, {limit}")


def balanced(clips: list[ClipRequest], most: int) -> Batches:
    """As few batches as there can be of at most `most` clips, their sizes no more than one apart."""
    count = math.ceil(len(clips) / most)
    ends = [math.ceil(len(clips) * k / count) for k in range(count + 1)]
    return [clips[start:end] for start, end in pairwise(ends)]


def smaller(batches: Batches, most: int | None) -> Batches:
    """The same, where no batch has more than `most` clips."""
    return [part for batch in batches for part in (balanced(batch, most) if most else [batch])]


def halve(kind: str, size: int) -> int:
    """To be called after `size` clips were too many: how many to make at once from now on."""
    _most[kind] = min(_most.get(kind, size), (size + 1) // 2)
    return _most[kind]


def keep(batches: Batches, options: Mapping[str, Any], folder: Path) -> None:
    """For a run that is interrupted and resumed. One clip is one batch in any case."""
    if sum(map(len, batches)) > 1:
        ids = [[clip.clip_id for clip in batch] for batch in batches]
        write_json(folder / FILE, {**{key: options[key] for key in _ASKED_FOR}, "batches": ids})


def _left(folder: Path, options: Mapping[str, Any], clips: list[ClipRequest]) -> Batches | None:
    """The batches of an earlier attempt, if they are of these clips and these options."""
    by_id = {clip.clip_id: clip for clip in clips}
    try:
        found = read_json(folder / FILE) or {}
        if [found[key] for key in _ASKED_FOR] != [options[key] for key in _ASKED_FOR]:
            return None
        batches = [[by_id[clip_id] for clip_id in batch] for batch in found["batches"]]
    except (KeyError, TypeError):
        return None
    return batches if [clip for batch in batches for clip in batch] == clips else None


def _need(asked: Asked, options: Mapping[str, Any], clips: list[ClipRequest], space: float, kind: str) -> Need | None:
    """None where it is not known."""
    if kind not in _needs:
        any_method = _kind(options, "model", "sampler", "task", "frames", "device")
        if any_method not in _bounds:
            _bounds[any_method] = safely(bound, asked, clips[0])
        most = _bounds[any_method]
        if most is not None and most.of(len(clips)) <= space:
            return most
        _needs[kind] = safely(probe, asked, clips[0], len(clips))
    return _needs[kind]


def _kind(options: Mapping[str, Any], *names: str) -> str:
    return run_id({name: options[name] for name in names})


def _chunks(clips: list[ClipRequest], size: int) -> Batches:
    if size < 1:
        raise UserError(f"batch_size={size}: give 1 or more, or null for as many clips as fit")
    return [clips[start : start + size] for start in range(0, len(clips), size)]


def _words(batches: Batches, need: Need) -> str:
    sizes = " or ".join(str(size) for size in sorted({len(batch) for batch in batches}))
    count, clips = len(batches), sum(map(len, batches))
    plural = f"{count} batches of {sizes}" if count > 1 else "1 batch"
    each = need.of(len(batches[0])) / len(batches[0]) / 2**30
    return f"{clips} clips in {plural}: {'at most ' * need.at_most}{each:.2g} GiB a clip"
