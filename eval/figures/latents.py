"""Where in x_T the control is: energy of x_T* − x_T by two-dimensional frequency, and what one band of it is worth.

Left: power per coefficient of DITTO's change to the noise, by band (ditto.bands); x_T itself has 1 in every band.
Right: the control error of clips sampled from x_T plus the change below a cutoff only, or above it only, as a share of
the text-only clips' error (0: as good as a perfect clip, 1: no better than the prompt alone). DITTO's appendix J says
that x_T encodes low-frequency content; this measures it on its own optimised latents.

Legend: C channels, F mel bins, T frames, K bands.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from safetensors.torch import load_file

from ditto.bands import band_of, band_power
from ditto.noise import noise
from ditto.types import UserError
from eval.candidates import Candidate, candidates
from eval.figures import style
from eval.finished import BESIDE
from eval.sets import Row, mean_row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHOD = "low_band"
EDGES = torch.tensor([0.0, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0])


def draw(options: dict[str, Any], path: Path, tasks: list[str]) -> list[Path]:
    """Write the picture and its numbers for the tasks that have runs; UserError with the command where none has."""
    rows: list[Row] = []
    for task in tasks:
        for source, banded in _sources(options, task):
            rows += [*_change(source), *_kept(source, banded)]
            break  # the newest source
    if not rows:
        command = f"python -m ditto.run -m +experiment=latents task={tasks[0]}"
        raise UserError(f"no finished run of {METHOD}: {command}")
    numbers = pd.DataFrame(rows)
    with style.paper():
        figure = style.new(2.6)
        left, right = figure.subplots(1, 2)
        for colour, (task, one) in zip(
            (style.BLUE, style.RED, style.GREEN), numbers.groupby("task", sort=False), strict=False
        ):
            _change_line(left, one[one["panel"] == "change"], str(task), colour)
            _error_lines(right, one[one["panel"] == "error"], colour)
        _axes(left, right)
        for ax, letter in zip((left, right), "ab", strict=True):
            style.panel_letter(ax, letter)
        return style.save(figure, numbers, path)


def _sources(options: dict[str, Any], task: str) -> list[tuple[Candidate, list[Candidate]]]:
    """The DITTO runs of a task whose x_T* were cut into bands, newest first, each with the runs made from it."""
    every = {one.path.name: one for one in candidates({**options, "tasks": [task]})}
    of: dict[str, list[Candidate]] = {}
    for one in every.values():
        source = Path(str(one.config.get("method.run"))).name
        if one.named == METHOD and source in every:
            of.setdefault(source, []).append(one)
    return sorted(((every[s], found) for s, found in of.items()), key=lambda pair: -pair[0].made.finished)


def _change(source: Candidate) -> list[Row]:
    """Power of x_T* − x_T per coefficient, band by band, clip by clip."""
    clips = source.made.clips
    kept = [list(source.rows["clip"]).index(clip) for clip in clips["clip"]]
    optimised = load_file(source.path / "x_T.safetensors")["x_T"][kept].float()
    started = noise([int(seed) for seed in clips["seed"]], optimised.shape[1:])
    power = band_power(optimised - started, EDGES).mean(1).numpy()  # over channels
    bins, frames = optimised.shape[-2:]
    bands = band_of(bins, frames, EDGES).unique().tolist()  # a short clip leaves narrow ones empty
    return [
        {**_about(source), "panel": "change", "kept": "", "from": float(EDGES[k]), "cutoff": float(EDGES[k + 1]),
         **mean_row("power", power[:, k])}
        for k in bands
    ]  # fmt: skip


def _kept(source: Candidate, banded: list[Candidate]) -> list[Row]:
    """Control error of each cutoff over that of the text-only clips, the same clips in both."""
    loss = f"loss{BESIDE}"
    beside = source.made.clips.set_index("clip")[loss]
    rows = []
    for one in sorted(banded, key=lambda run: float(run.config["method.cutoff"])):
        own = one.made.clips.set_index("clip")["loss"]
        shares = (own / beside).dropna().to_numpy()
        kept, cutoff = str(one.config["method.kept"]), float(one.config["method.cutoff"])
        rows.append({**_about(one), "panel": "error", "kept": kept, "from": float("nan"), "cutoff": cutoff,
                     **mean_row("error_share", shares)})  # fmt: skip
    return rows


def _about(one: Candidate) -> Row:
    return {"task": one.task, "method": one.named, **one.made.provenance}


def _change_line(ax: Axes, rows: pd.DataFrame, task: str, colour: str) -> None:
    middle = (rows["from"] + rows["cutoff"]) / 2
    ax.fill_between(middle, rows["low"].astype(float), rows["high"].astype(float), color=colour, alpha=0.2, linewidth=0)
    ax.plot(middle, rows["value"], "o-", color=colour, label=task)


def _error_lines(ax: Axes, rows: pd.DataFrame, colour: str) -> None:
    for kept, line in (("low", "o-"), ("high", "s--")):
        one = rows[rows["kept"] == kept].sort_values("cutoff")
        ax.plot(one["cutoff"], one["value"], line, color=colour, markerfacecolor=colour if kept == "low" else "white")


def _axes(left: Axes, right: Axes) -> None:
    from matplotlib.lines import Line2D

    left.set(xscale="log", yscale="log", xlabel="2-D frequency (share of the highest)", ylabel="power of x_T* − x_T")
    left.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    left.legend(title="x_T itself: 1")
    right.set(
        xlabel="cutoff (share of the highest frequency)", ylabel="control error, share of text-only's", ylim=(0, None)
    )
    right.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    low = Line2D([], [], color="0.3", marker="o", label="below the cutoff kept")
    high = Line2D([], [], color="0.3", marker="s", linestyle="--", markerfacecolor="white", label="above it kept")
    right.legend(handles=[low, high])
