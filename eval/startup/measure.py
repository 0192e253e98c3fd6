"""Fresh processes, one after another, each with its seconds and its processor seconds (user and system)."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ditto.types import UserError
from eval.startup.stages import STAGES

HELP = ("-m", "ditto.run", "--help")
Spent = tuple[float, float]  # seconds on the clock, seconds of a processor


@dataclass(frozen=True)
class Started:
    """One round: what the commands took, by name, and what the process that samples was made with."""

    spent: dict[str, Spent]
    about: dict[str, Any]


def start(model: Mapping[str, Any], sampler: Mapping[str, Any], prompt: str, clip: Sequence[str]) -> Started:
    """`--help`, then a model from nothing to sound, stage by stage; then the run command with the words `clip`."""
    helped, _ = _python(HELP)
    asked = {"model": model, "sampler": sampler, "prompt": prompt, "began": time.monotonic()}
    _, printed = _python(("-m", "eval.startup.stages"), json.dumps(asked))
    told = json.loads(printed.splitlines()[-1])
    spent = {"help": helped, **_parts(told["stages"])}
    if clip:
        spent["clip"], _ = _python(("-m", "ditto.run", *clip))
    return Started(spent, told["about"])


def _parts(ended: Mapping[str, Spent]) -> dict[str, Spent]:
    """The time of each stage from the times at which they ended; `loaded` is all until the model is ready."""
    spent, last = {}, (0.0, 0.0)
    for stage in STAGES:
        seconds, processor = ended[stage]
        spent[stage], last = (seconds - last[0], processor - last[1]), (seconds, processor)
    return {**spent, "loaded": tuple(ended["load"])}  # type: ignore[dict-item]


def _python(words: Sequence[str], given: str | None = None) -> tuple[Spent, str]:
    """What the interpreter with these arguments takes, and what it prints."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([sys.executable, *words], input=given, capture_output=True, text=True)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise UserError(
            f"python {' '.join(words)} failed: {(done.stderr.strip().splitlines() or ['nothing said'])[-1]}"
        )
    return (seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), done.stdout
