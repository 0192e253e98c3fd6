"""Recognition figures of a set of clips, as asked for and with what was asked shuffled among the clips.

family_accuracy     share of clips whose most probable family is that of the prompted genre
family_score        mean probability of that family
tempo_within_8      share of clips within 8 % of the prompted tempo; `_octave`: or of half or double of it
instrument_auc      area under the ROC curve of a group's probability, clips whose prompt names the group against clips
                    whose band lacks it; mean of the groups with MIN of both (chance 0.5)
instrument_ap       average precision in the same cases, mean of the same groups (chance: the share that names it)
`_shuffled`         the same with the prompts shuffled: what a model that ignores its prompt scores

Only clips whose prompt says the thing count; n says how many. A figure that too few clips allow has no row.

Legend: n clips, D features, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eval.recognition.asked import Asked
from eval.recognition.ear import Hearing
from eval.recognition.families import family_indices
from eval.recognition.judge import Judge
from eval.recognition.tempo import OCTAVES, hits
from eval.sets import Row, mean_row, row

MIN = 5  # clips with and without a group of instruments
DRAWS = 200

Score = Callable[[np.ndarray, np.ndarray], float]  # truth [m] and probability [m] of one group


def recognition_rows(heard: Sequence[Hearing], asked: Sequence[Asked], judge: Judge, seed: int = 0) -> list[Row]:
    """All rows of a set, each with the judge's name as its reference."""
    rows = [*family_rows(heard, asked, judge, seed), *tempo_rows(heard, asked, seed)]
    rows += instrument_rows(heard, asked, judge, seed)
    return [{**one, "reference": "librosa" if "tempo" in str(one["metric"]) else judge.name} for one in rows]


def family_rows(heard: Sequence[Hearing], asked: Sequence[Asked], judge: Judge, seed: int = 0) -> list[Row]:
    """Of the clips whose prompt names its genre."""
    pairs = [(h.features, a.genre) for h, a in zip(heard, asked, strict=True) if a.genre]
    if not pairs:
        return []
    probabilities = judge.families(np.stack([features for features, _ in pairs]))
    wanted = np.array(family_indices([str(genre) for _, genre in pairs]))
    rows = []
    for suffix, target in (("", wanted), ("_shuffled", _shuffled(wanted, seed))):
        rows.append(mean_row(f"family_accuracy{suffix}", (probabilities.argmax(1) == target).astype(float)))
        rows.append(mean_row(f"family_score{suffix}", probabilities[np.arange(len(target)), target]))
    return rows


def tempo_rows(heard: Sequence[Hearing], asked: Sequence[Asked], seed: int = 0) -> list[Row]:
    """Of the clips whose prompt says a number of beats per minute."""
    pairs = [(h.bpm, a.bpm) for h, a in zip(heard, asked, strict=True) if a.bpm]
    if not pairs:
        return []
    bpm, wanted = np.array(pairs, dtype=float).T
    rows = []
    for suffix, target in (("", wanted), ("_shuffled", _shuffled(wanted, seed))):
        rows.append(mean_row(f"tempo_within_8{suffix}", hits(bpm, target)))
        rows.append(mean_row(f"tempo_within_8_octave{suffix}", hits(bpm, target, OCTAVES)))
    return rows


def instrument_rows(heard: Sequence[Hearing], asked: Sequence[Asked], judge: Judge, seed: int = 0) -> list[Row]:
    """Of the clips whose prompt names an instrument."""
    chosen = [(h, a) for h, a in zip(heard, asked, strict=True) if a.instruments]
    if not chosen:
        return []
    probabilities = judge.instruments(np.stack([h.features for h, _ in chosen]))
    wishes = [a for _, a in chosen]
    order = np.random.default_rng(seed).permutation(len(wishes))
    rows = []
    for suffix, mine in (("", wishes), ("_shuffled", [wishes[i] for i in order])):
        named = np.array([[group in a.instruments for group in judge.groups] for a in mine])
        counts = named | np.array([[group in a.absent for group in judge.groups] for a in mine])
        for metric, mean in (("instrument_auc", mean_auc), ("instrument_ap", mean_ap)):
            value = mean(probabilities, named, counts)
            if np.isfinite(value):
                low, high = _interval(mean, (probabilities, named, counts), seed)
                rows.append(row(f"{metric}{suffix}", value, len(wishes), low, high))
    return rows


def mean_auc(probabilities_nG: np.ndarray, named_nG: np.ndarray, counts_nG: np.ndarray) -> float:
    """Mean over groups; cases where `counts` is false are left out; NaN where no group has enough cases."""
    from sklearn.metrics import roc_auc_score

    return _mean_over_groups(roc_auc_score, probabilities_nG, named_nG, counts_nG)


def mean_ap(probabilities_nG: np.ndarray, named_nG: np.ndarray, counts_nG: np.ndarray) -> float:
    """As `mean_auc`, of the average precision."""
    from sklearn.metrics import average_precision_score

    return _mean_over_groups(average_precision_score, probabilities_nG, named_nG, counts_nG)


def _mean_over_groups(score: Score, probabilities_nG: np.ndarray, named_nG: np.ndarray, counts_nG: np.ndarray) -> float:
    values = []
    for column in range(probabilities_nG.shape[1]):
        cases = counts_nG[:, column].astype(bool)
        truth = named_nG[cases, column]
        if MIN <= truth.sum() <= len(truth) - MIN:
            values.append(score(truth, probabilities_nG[cases, column]))
    return float(np.mean(values)) if values else float("nan")


def _interval(
    mean: Callable[[np.ndarray, np.ndarray, np.ndarray], float], tables: tuple[np.ndarray, ...], seed: int
) -> tuple[float | None, float | None]:
    """95 % percentile bootstrap over clips; none where a draw lacks cases."""
    generator = np.random.default_rng(seed)
    n = len(tables[0])
    values = []
    for _ in range(DRAWS):
        picks = generator.integers(n, size=n)
        values.append(mean(*(table[picks] for table in tables)))
    low, high = np.quantile(values, [0.025, 0.975])
    return (float(low), float(high)) if np.isfinite([low, high]).all() else (None, None)


def _shuffled(values: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(values)
