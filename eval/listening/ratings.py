"""Reading what listeners sent: files that cannot count, and triplets that cannot, are named with the reason.

A file is {"format": 1, "page": hash, "rater": id, "nickname", "begun", "saved", "triplets": [{"triplet": name,
"order": [sample], "scores": {sample: 0..100}, "seconds"}]}. Of several files of one rater the one saved last counts:
the page lets a listener save before the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ditto.run_directory import read_json
from ditto.types import UserError
from eval.listening.key import Key

COLUMNS = ("rater", "triplet", "task", "method", "score")


@dataclass(frozen=True)
class Ratings:
    """scores: one row per rated sample, columns COLUMNS. problems: what does not count, and why, a line each."""

    scores: pd.DataFrame
    problems: list[str] = field(default_factory=list)


class RatingsError(UserError):
    """A file or triplet that cannot count; the message says why."""


def read_ratings(folder: str | Path, key: Key) -> Ratings:
    """All *.json files of a folder (or one file); UserError where there is none, or none that counts."""
    path = Path(folder)
    files = [path] if path.is_file() else sorted(path.glob("*.json"))
    if not files:
        raise UserError(f"no ratings in '{folder}': put the files there that listeners saved on the page")
    problems: list[str] = []
    newest: dict[str, tuple[Path, Any]] = {}
    for file in files:
        try:
            content = _checked(read_json(file), key)
        except RatingsError as error:
            problems.append(f"{file.name}: {error}")
            continue
        earlier = newest.get(content["rater"])
        kept, other = (file, content), earlier
        if earlier is not None and str(earlier[1].get("saved", "")) >= str(content.get("saved", "")):
            kept, other = earlier, (file, content)
        newest[content["rater"]] = kept
        if other is not None:
            problems.append(f"{other[0].name}: rater {content['rater']} saved again, {kept[0].name} counts")
    rows = [row for file, content in newest.values() for row in _rows(file, content, key, problems)]
    if not rows:
        raise UserError("\n".join(["no rating counts:", *problems]))
    return Ratings(pd.DataFrame(rows, columns=list(COLUMNS)), problems)


def _checked(content: Any, key: Key) -> dict[str, Any]:
    if not isinstance(content, dict) or content.get("format") != 1:
        raise RatingsError("not a file that the listening page saves")
    if content.get("page") != key["page"]:
        raise RatingsError(f"for another page ({content.get('page')}) than the key ({key['page']})")
    if not isinstance(content.get("rater"), str) or not isinstance(content.get("triplets"), list):
        raise RatingsError("no rater or no triplets in it")
    return content


def _rows(file: Path, content: dict[str, Any], key: Key, problems: list[str]) -> Iterator[tuple[Any, ...]]:
    seen: set[str] = set()
    for entry in content["triplets"]:
        name = entry.get("triplet") if isinstance(entry, dict) else None
        try:
            if name in seen:
                raise RatingsError("rated twice in one file, the first counts")
            methods = _scores(entry, key)
        except RatingsError as error:
            problems.append(f"{file.name}: triplet {name}: {error}")
            continue
        seen.add(str(name))
        for method, score in methods.items():
            yield content["rater"], name, key["triplets"][name]["task"], method, score
    if not seen:
        problems.append(f"{file.name}: no triplet that counts")


def _scores(entry: Any, key: Key) -> dict[str, float]:
    """Method -> score of one triplet."""
    known = key["triplets"].get(entry.get("triplet")) if isinstance(entry, dict) else None
    if known is None:
        raise RatingsError("not on this page")
    scores, samples = entry.get("scores"), known["samples"]
    if not isinstance(scores, dict) or set(scores) != set(samples):
        missing = sorted(set(samples) - set(scores or ()))
        raise RatingsError(f"clips not rated: {', '.join(missing)}" if missing else "clips that are not in the triplet")
    wrong = [sample for sample, score in scores.items() if not _valid(score)]
    if wrong:
        raise RatingsError(f"not a number from 0 to 100: {', '.join(f'{s} = {scores[s]!r}' for s in wrong)}")
    return {samples[sample]: float(score) for sample, score in scores.items()}


def _valid(score: Any) -> bool:
    number = isinstance(score, int | float) and not isinstance(score, bool)
    return number and math.isfinite(score) and 0 <= score <= 100
