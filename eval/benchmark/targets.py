"""What is to be reached, and whether this run reached it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from eval.benchmark.figures import Figure, find, ratio
from eval.benchmark.variants import ALL

NOT_HERE = "not measured here"


@dataclass(frozen=True)
class Target:
    """`measured` reads the figure and the name of its variant from the rows of `model`."""

    what: str
    wanted: str
    model: str | None  # None: of every model
    device: str | None  # a word of the device's name; None: on every one
    measured: Callable[[pd.DataFrame], tuple[Figure | None, str]]
    met: Callable[[Figure], bool]


def _of(metric: str) -> Callable[[pd.DataFrame], tuple[Figure | None, str]]:
    return lambda frame: (find(frame, metric, ALL), ALL)


def _best_speedup(frame: pd.DataFrame) -> tuple[Figure | None, str]:
    """Of all levers with one clip or with more."""
    same = frame[(frame["metric"] == "speedup") & frame["variant"].str.startswith(ALL)]
    if not len(same):
        return None, ALL
    best = str(same.loc[same["value"].idxmax(), "variant"])
    return find(frame, "speedup", best), best


def _doodl(frame: pd.DataFrame) -> tuple[Figure | None, str]:
    both = (find(frame, "seconds_per_step", name) for name in ("doodl, checkpoint", "checkpoint"))
    return ratio(*both), "doodl over ditto, both checkpointed"


def _auto(frame: pd.DataFrame) -> tuple[Figure | None, str]:
    both = (find(frame, "seconds_per_step", name) for name in (ALL, "checkpoint"))
    return ratio(*both), f"{ALL} over checkpoint"


def _at_most_one(figure: Figure) -> bool:
    return figure.low <= 1


TARGETS = (
    Target("overhead of the loop", "at most 1.10", None, None, _of("overhead"), lambda x: x.value <= 1.1),
    Target(
        "per clip, over the plain reference", "at least 2", "embedded", "cores", _best_speedup, lambda x: x.value >= 2
    ),
    Target(
        "seconds a step, one clip",
        "at most 0.09",
        "paper_random",
        "H100",
        _of("seconds_per_step"),
        lambda x: x.value <= 0.09,
    ),
    Target(
        "clips per hour, over the plain reference",
        "at least 10",
        "paper_random",
        "H100",
        _best_speedup,
        lambda x: x.value >= 10,
    ),
    Target("DOODL's step over DITTO's", "at least 2", None, None, _doodl, lambda x: x.value >= 2),
    Target("`memory=auto`'s step over checkpoint's", "at most 1, within the spread", None, None, _auto, _at_most_one),
)


def target_rows(frame: pd.DataFrame) -> list[list[str]]:
    """what, model, wanted, measured, of which variant, verdict."""
    device = str(frame["device"].iloc[0])
    models = [str(model) for model in dict.fromkeys(frame["model"]) if model != "device"]
    rows = []
    for target in TARGETS:
        for model in [target.model] if target.model else models:
            here = model in models and (target.device is None or target.device in device)
            found, variant = target.measured(frame[frame["model"] == model]) if here else (None, "")
            verdict = NOT_HERE if found is None else "met" if target.met(found) else "**missed**"
            words = "" if found is None else str(found)
            where = f"{target.what}" + (f" ({target.device})" if target.device == "H100" else "")
            rows.append([where, model, target.wanted, words, variant if words else "", verdict])
    return rows
