"""Sound and fidelity to the prompt of text-only clips against the guidance scale w.

From <results>/guidance_scale.csv (`python -m ditto.training.quality`, once for every w): (a) FAD, (b) the share of
clips in which the prompted genre's family is heard, each with its 95 % interval, for every number of sampling steps T.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ditto.errors import UserError
from ditto.training.quality.goals import FAD_RATIO, FAMILY_SHARE
from eval.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COMMAND = (
    "python -m ditto.training.quality -m sampler.guidance_scale=3,4,5,6,8 split=val n=215 n_reference=215 n_train=0 "
    "n_griffin_lim=0 n_band=0 name=guidance_scale"
)
METRICS = ("fad", "family_accuracy")
SETS = ("generated", "real", "vocoder")


def draw(options: dict[str, Any], path: Path) -> list[Path]:
    """Write the picture and its numbers; UserError where they are not measured yet."""
    source = Path(options["results"]) / "guidance_scale.csv"
    if not source.exists():
        raise UserError(f"there is no {source}: make it with `{COMMAND}`")
    table = pd.read_csv(source, dtype={"weights": str, "waves": str, "commit": str})
    table = table[table["weights"] == table["weights"].iloc[-1]]  # measured last; other weights' rows stay
    shown = table[table["metric"].isin(METRICS) & table["set"].isin(SETS)]
    made = shown[shown["set"] == "generated"]
    with style.paper():
        figure = style.new(2.4)
        sound, heard = figure.subplots(1, 2)
        for ax, metric, scale in ((sound, "fad", 1), (heard, "family_accuracy", 100)):
            for steps, rows in made[made["metric"] == metric].groupby("T"):
                _line(ax, rows, scale, f"T = {steps:g}")
            ax.set(xlabel="guidance scale w", ylim=(0, None), xticks=sorted(made["guidance_scale"].unique()))
        trip, real = _value(shown, "vocoder", "fad"), _value(shown, "real", "family_accuracy")
        _level(sound, FAD_RATIO * trip, f"{FAD_RATIO:g} x the vocoder's round trip", ":")
        _level(heard, 100 * FAMILY_SHARE, "aim", ":")
        _level(heard, 100 * real, "recordings", "--")
        sound.set(ylabel="FAD (musicnn)")
        heard.set(ylabel="family heard (%)")
        for letter, ax in zip("ab", (sound, heard), strict=True):
            ax.legend()
            style.panel_letter(ax, letter)
        return style.save(figure, shown, path)


def _line(ax: Axes, rows: pd.DataFrame, scale: float, label: str) -> None:
    points = rows.sort_values("guidance_scale")
    x, low, high = points["guidance_scale"], scale * points["low"], scale * points["high"]
    ax.plot(x, scale * points["value"], marker="o", label=label)
    ax.fill_between(x, low, high, alpha=0.2, lw=0)


def _level(ax: Axes, value: float, label: str, line: str) -> None:
    ax.axhline(value, color=style.GREY, ls=line, label=label)


def _value(rows: pd.DataFrame, name: str, metric: str) -> float:
    """Of a set that no sampler makes; NaN, which draws nothing, where it was not measured."""
    found = rows[(rows["set"] == name) & (rows["metric"] == metric)]["value"]
    return float(found.iloc[0]) if len(found) else float("nan")
