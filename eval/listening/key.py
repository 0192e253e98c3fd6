"""The key of a page: whose clip each name is, and which runs they are from. It stays with those who run the test.

{"page": hash, "tested": method, "triplets": {name: {"task", "clip", "prompt", "samples": {name: method}}},
 "runs": {task: {method: {"model", "device", "commit", "weights", "run"}}}}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ditto.run_directory import read_json
from ditto.types import UserError
from eval.listening.triplets import Triplet

Key = dict[str, Any]


def make_key(page: str, tested: str, triplets: Iterable[Triplet]) -> Key:
    """The key of these triplets on the page with this hash."""
    entries: dict[str, Any] = {}
    runs: dict[str, Any] = {}
    for one in triplets:
        samples = {sample.name: sample.method for sample in one.samples}
        entries[one.name] = {"task": one.task, "clip": one.clip, "prompt": one.prompt, "samples": samples}
        runs.setdefault(one.task, {sample.method: sample.made.provenance for sample in one.samples})
    return {"page": page, "tested": tested, "triplets": entries, "runs": runs}


def write_key(key: Key, path: Path) -> None:
    path.write_text(json.dumps(key, indent=1) + "\n")


def read_key(path: str | Path) -> Key:
    """UserError where there is no key at this path."""
    key = read_json(Path(path))
    if not isinstance(key, Mapping) or not {"page", "tested", "triplets", "runs"} <= set(key):
        raise UserError(f"no key at '{path}': python -m eval.listening.page writes it as <out>/key.json")
    return dict(key)
