"""The order of the methods, ours beside the paper's (paper_reported.csv: figures of DITTO, arXiv 2401.12179v2).

Only orders are compared: FAD and text score come from other embeddings here, and the model is a smaller one. A row of
the paper is compared where its setting is ours (overlap 2 s, gap 3 s, T = 20). The paper's latency is the time to a
threshold, so it is that of the early-stopped variants.

Kendall's τ counts pairs in the same order minus pairs in the other, over all pairs; Spearman's ρ is the correlation of
the ranks; both are 1 for the same order and -1 for the reverse, and are given for three methods or more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

PAPER = Path(__file__).with_name("paper_reported.csv")
TABLES = (1, 2, 3, 5, 9, 11)  # the others ask something else of one method, or of listeners
SETTINGS = ("", "o=2", "gap=3", "T=20")
METHODS = {"naive_masking": "masking"}
STOPPED = ("steps_to_threshold", "latency_seconds")
METRICS = {
    ("intensity", "mse"): "intensity_mse",
    ("structure", "mse"): "structure_mse",
    ("inversion", "mse"): "reconstruction_mse",
    ("melody", "accuracy"): "melody_accuracy",
    ("", "intensity_mse"): "intensity_mse",
    ("", "structure_mse"): "structure_mse",
    ("", "melody_accuracy"): "melody_accuracy",
    ("", "fad"): "fad",
    ("", "clap"): "text_audio_score",
    ("", "steps_to_threshold"): "steps",
    ("", "latency_seconds"): "seconds_per_clip",
    ("", "seconds_per_step"): "seconds_per_step",
    ("", "memory_gb"): "peak_memory_gib",
}
HIGHER = ("accuracy", "correlation", "_score")


@dataclass(frozen=True)
class Order:
    """One question to both: which method is best at this metric of this task? Best first in both lists."""

    task: str
    metric: str
    paper: tuple[str, ...]
    ours: tuple[str, ...]
    kendall: float  # NaN with fewer than three methods
    spearman: float
    clear: tuple[str, ...]  # "a before b" of ours where the paper has b before a and the intervals do not overlap
    unclear: tuple[str, ...]  # the same where they do overlap, or there are none


def better_is_higher(metric: str) -> bool:
    return any(word in metric for word in HIGHER)


def printed(tables: Collection[int], path: Path = PAPER) -> pd.DataFrame:
    """The rows of these tables of the paper, in its own names: table, task, method, setting, metric, value."""
    rows = pd.read_csv(path, dtype={"setting": str}).fillna({"setting": ""})
    return rows[rows["table"].isin(tables)]


def reported(tables: Collection[int] = TABLES, settings: Collection[str] = SETTINGS) -> pd.DataFrame:
    """The paper's figures of one setting under our names: task, method, metric, value; one row of each."""
    table = printed(tables)
    table = table[table["setting"].isin(settings)]
    stopped = table["metric"].isin(STOPPED) & table["method"].isin(["ditto", "doodl"])
    names = table["method"].replace(METHODS)
    tasks = table["task"].str.replace("+", "_", regex=False)
    pairs = zip(tasks, table["metric"], strict=True)
    metrics = [METRICS.get((task, metric)) or METRICS.get(("", metric)) for task, metric in pairs]
    ours = table.assign(method=names.where(~stopped, names + "_stop"), task=tasks, metric=metrics)
    kept = ours.dropna(subset=["metric"]).drop_duplicates(["task", "method", "metric"])
    return kept[["task", "method", "metric", "value"]].reset_index(drop=True)


def compare(table: pd.DataFrame, paper: pd.DataFrame) -> Iterator[Order]:
    """An order for every metric of a task with two methods or more in both tables."""
    table = table.assign(metric=table["metric"].replace(r"^fad(_pc\d+)?$", "fad", regex=True))
    for (task, metric), theirs in paper.groupby(["task", "metric"], sort=False):
        mine = table[(table["task"] == task) & (table["metric"] == metric)].drop_duplicates("method")
        both = theirs.merge(mine, on="method", suffixes=("_paper", ""))
        if len(both) > 1:
            yield _order(str(task), str(metric), both)


def _order(task: str, metric: str, both: pd.DataFrame) -> Order:
    from scipy import stats  # a second to load, which --help need not wait for

    sign = -1.0 if better_is_higher(metric) else 1.0
    costs = {column: sign * both[column] for column in ("value_paper", "value")}
    paper, ours = (tuple(both["method"].iloc[cost.argsort(kind="stable")]) for cost in costs.values())
    many = len(both) > 2
    kendall = stats.kendalltau(*costs.values()).statistic if many else math.nan
    spearman = stats.spearmanr(*costs.values()).statistic if many else math.nan
    swapped = list(_swapped(both.assign(theirs=costs["value_paper"], mine=costs["value"])))
    clear = tuple(text for text, apart in swapped if apart)
    unclear = tuple(text for text, apart in swapped if not apart)
    return Order(task, metric, paper, ours, float(kendall), float(spearman), clear, unclear)


def _swapped(both: pd.DataFrame) -> Iterator[tuple[str, bool]]:
    """("ours first before ours second", do the intervals lie apart) for the pairs that the paper has the other way."""
    for a, b in itertools.permutations(both.itertuples(), 2):
        if a.mine < b.mine and a.theirs > b.theirs:
            yield f"{a.method} before {b.method}", bool(a.high < b.low or b.high < a.low)  # False for missing intervals
