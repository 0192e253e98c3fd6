"""Table 4 without listeners: `python -m eval.listening.standin` writes <results>/listening_standin.csv.

THESE ARE NOT LISTENERS. A formula gives every clip of the page's triplets 0 to 100 points, and the points are compared
as ratings are (`eval.listening.comparison`; `raters` is 0, `standin` is True, `judge` says the formula):

    points = Σ_j w_j rank_j / Σ_j w_j     over j = control, sound, text; w from `standin_weights`
    rank_j   percentile rank of the clip among all clips of its task's triplets: 100 (r − ½) / n, r = 1 for the worst
             of n, mean r for ties; where j has several figures (`standin_control`), the mean of their ranks
    control  what was asked for, measured from the sound file (`eval.control.measured`)
    sound    mean over the clip's windows of (z − μ)ᵀ Σ⁻¹ (z − μ), z the embedding in the leading principal components
             of real music (as many as FAD has), μ and Σ those of real music; low is good
    text     how well it fits its prompt: `evaluator.text`, or the genre classifier (`eval.tags`) where there is none; a
             clip whose prompt names no genre has no such figure, and is ranked by the other two

What it cannot judge: whether the music is pleasant; artefacts that the embedding does not hear, such as clicks, hiss or
a dull vocoder; rhythm, harmony and form; whether a seam sounds natural; how a listener weighs control against quality.
It knows no size of a difference, as ranks have none: its wins say more than its points. Methods are optimised for, or
guided by, the control part itself, and the real music of `sound` is in the style that the model was trained on.

Legend: W windows of a clip, D embedding dimensions, k components.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.command import command
from ditto.types import UserError
from eval import tags
from eval.finished import Finished
from eval.listening.aggregate import ABOUT, save, table
from eval.listening.key import make_key
from eval.listening.ratings import COLUMNS
from eval.listening.triplets import Triplet, triplets
from eval.measure import Judges
from eval.orders import better_is_higher
from eval.paired import Judge

NAME = "formula"
PARTS = ("control", "sound", "text")


def figures(one: Finished, judges: Judges, metrics: Sequence[str]) -> pd.DataFrame:
    """One row per clip id; columns (part, metric), each turned so that more is better; NaN where it has none."""
    control = judges.control(one, judges.cache)
    for clip, reason in control["failed"].dropna().items():
        print(f"left out: {one.task} {clip} by {one.method}, {reason}", file=sys.stderr)
    lacking = [name for name in metrics if name not in control]
    if lacking:
        raise UserError(f"{one.task} has no metric {', '.join(lacking)}: it has {', '.join(control.columns)}")
    control = control[control["failed"].isna()]
    table = {("control", name): control[name] if better_is_higher(name) else -control[name] for name in metrics}
    table["sound", "distance"] = -pd.Series({clip: distance(x, judges.sound) for clip, x in judges.hear(one).items()})
    table["text", "score"] = judges.fit(one) if judges.text else genre_scores(one, judges)
    return pd.DataFrame(table).loc[control.index]


def distance(clip_WD: np.ndarray, music: Judge) -> float:
    """Mean squared Mahalanobis distance of the clip's windows from real music, in k components."""
    (z_Wk,) = music.projection([clip_WD])
    away_Wk = z_Wk - music.projected.mean
    return float(np.einsum("wk,kl,wl->w", away_Wk, np.linalg.inv(music.projected.covariance), away_Wk).mean())


def genre_scores(one: Finished, judges: Judges) -> pd.Series:
    """Clip id -> probability of the prompt's genre; NaN where it names none."""
    heard, judge = judges.hear(one, tags.embedder()), judges.sound.genres
    genres = {clip: judge.prompted_genre(p) for clip, p in zip(one.clips["clip"], one.clips["prompt"], strict=True)}
    known = {clip: genre for clip, genre in genres.items() if genre is not None}
    scores = {clip: float(judge.tag_score([heard[clip]], [genre])[0]) for clip, genre in known.items()}
    return pd.Series(scores, dtype=float).reindex(list(genres))


def points(found: pd.DataFrame, weights: Mapping[str, float]) -> pd.Series:
    """0-100 for every row of `figures` of one task, all methods together."""
    counts = found.notna().sum()
    ranks = 100 * (found.rank(method="average") - 0.5) / counts
    parts = pd.DataFrame({part: ranks[part].mean(axis=1) for part in PARTS})
    weight = parts.notna() * pd.Series({part: weights[part] for part in PARTS})
    return (parts.fillna(0) * weight).sum(axis=1) / weight.sum(axis=1)


def scores(chosen: Sequence[Triplet], judges: Judges, options: Mapping[str, Any]) -> pd.DataFrame:
    """The points of every sample, in the form of ratings; a triplet with a clip that cannot be measured is left out."""
    rows = []
    for task in sorted({one.task for one in chosen}):
        mine = [one for one in chosen if one.task == task]
        runs = {sample.method: sample.made for sample in mine[0].samples}
        metrics = options["standin_control"][task]
        every = pd.concat({method: figures(run, judges, metrics) for method, run in runs.items()})
        wanted = [(sample.method, one.clip) for one in mine for sample in one.samples]
        given = points(every.loc[[place for place in wanted if place in every.index]], options["standin_weights"])
        for one in mine:
            places = [(sample.method, one.clip) for sample in one.samples]
            if all(place in given.index for place in places):
                rows += [(NAME, one.name, task, method, given[method, clip]) for method, clip in places]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def run(cfg: DictConfig) -> pd.DataFrame:
    """Judge the triplets of the page by the formula, write the table, return it."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    chosen = triplets(options)
    judges = Judges.of(options)
    given = scores(chosen, judges, options)
    result = table(given, make_key("", options["tested"], chosen), judge(options, judges), options, standin=True)
    result["raters"] = 0
    save(result, Path(options["results"]) / f"{options['name']}_standin.csv")
    return result


def judge(options: Mapping[str, Any], judges: Judges) -> str:
    """The formula in one line, for the table."""
    weights = ", ".join(f"{options['standin_weights'][part]:g} {part}" for part in PARTS)
    control = "; ".join(f"{task}: {', '.join(names)}" for task, names in options["standin_control"].items())
    text = f"{judges.text.column} ({judges.said_of_text})" if judges.text else "genre classifier (eval.tags)"
    return (
        f"automatic stand-in, NOT listeners: weighted percentile ranks within a task ({weights}); control = {control}; "
        f"sound = Mahalanobis distance to {judges.sound}; text = {text}"
    )


@command("listening")
def main(cfg: DictConfig) -> None:
    result = run(cfg)
    print(result.drop(columns=["standin", "judge", "page", *ABOUT]).to_string(index=False, float_format="%.4g"))
    print(f"an automatic stand-in, not listeners; written to {cfg.results}/{cfg.name}_standin.csv")


if __name__ == "__main__":
    main()
