"""The control metrics of a whole run, from the sound files in its directory.

    measured(one, cache)    one: eval.finished.Finished, or its `beside_text_only()`

gives one row a clip (index: clip id) and one column a metric, and `failed`: None, or the reason why the clip has no
metrics (a file that is missing, truncated, not sound, not finite), which is never a number. Clips that already failed
in the run are not in `one.clips`: they are counted in `one.failed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from ditto.types import ClipRequest, UserError
from eval.control import cache as kept
from eval.control.heard import ClipFiles
from eval.control.targets import bind, read_options, requests
from eval.control.tasks import Scores, scores
from eval.finished import Finished

CHUNK = 16  # clips bound at once: a target may be a matrix of frames


def measured(one: Finished, cache: Path) -> pd.DataFrame:
    """Metrics by clip id, and the column `failed`; a run without a usable config.yaml is a UserError."""
    options = read_options(one.path)
    clips = requests(one.path, list(one.clips["clip"]))
    found = dict(_rows(one, options, clips, Path(cache)))
    rows = [found[clip.clip_id] for clip in clips]
    table = pd.DataFrame(rows, index=pd.Index([clip.clip_id for clip in clips], name="clip"))
    table["failed"] = pd.Series([row.get("failed") for row in rows], index=table.index, dtype=object)
    return table[[*(name for name in table.columns if name != "failed"), "failed"]]


def _rows(one: Finished, options: dict[str, Any], clips: list[ClipRequest], cache: Path) -> Iterator[tuple[str, dict]]:
    """(clip id, its metrics or {"failed": reason}), in any order."""
    wanted: list[tuple[ClipRequest, ClipFiles, str]] = []
    for clip, own in zip(clips, one.files, strict=True):
        files = ClipFiles.of(one, clip.clip_id, own)
        try:
            name = kept.key(options, clip.index, files.digest)
        except UserError as error:
            yield clip.clip_id, {"failed": str(error)}
            continue
        known = kept.read(cache, name)
        if known is None:
            wanted.append((clip, files, name))
        else:
            yield clip.clip_id, known
    for clip, name, row in _measure(options, wanted, f"{one.task} {one.method}"):
        if "failed" not in row:
            kept.write(cache, name, row)
        yield clip.clip_id, row


def _measure(
    options: dict[str, Any], wanted: Sequence[tuple[ClipRequest, ClipFiles, str]], label: str
) -> Iterator[tuple[ClipRequest, str, dict]]:
    """Measure what is not in the cache, some clips at a time."""
    with tqdm(total=len(wanted), desc=f"control {label}", unit="clip", leave=False, disable=not wanted) as bar:
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            control = bind(options, [clip for clip, _, _ in chunk])
            for position, (clip, files, name) in enumerate(chunk):
                try:
                    heard = files.read(control.clip.sample_rate, control.clip.samples)
                except UserError as error:
                    yield clip, name, {"failed": str(error)}
                else:
                    yield clip, name, _finite(scores(control, position, heard))
                bar.update()


def _finite(found: Scores) -> dict[str, Any]:
    """The metrics, or a failure that names the one that is not a number."""
    wrong = [name for name, value in found.items() if not pd.notna(value) or abs(value) == float("inf")]
    return {"failed": f"{wrong[0]} is not finite"} if wrong else found
