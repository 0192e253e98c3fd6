"""How good a model is without control, alone or before and after: `python -m ditto.training.quality [previous=FOLDER]`.

Writes <results>/<name>.csv, which keeps the rows of other weights (see table.py), and a picture of real and generated
mels; says at the end which goals are reached. Sound is kept, so the same command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.build import build_model, pick_device
from ditto.command import command
from ditto.models.base import MusicModel
from ditto.training.quality.goals import goal_lines
from ditto.training.quality.measure import measure
from ditto.training.quality.picture import picture
from ditto.training.quality.studio import Studio
from ditto.training.quality.table import table, write
from ditto.training.quality.yardsticks import Yardsticks
from ditto.types import UserError


def models(options: dict[str, Any]) -> Iterator[tuple[str, MusicModel]]:
    """(before, after) with `previous`, else the model alone."""
    chosen = {"generated": options["model"]}
    if options["previous"]:
        if "weights" not in options["model"]:
            raise UserError("previous=FOLDER needs a model that reads weights from a folder: model=embedded")
        chosen = {"before": options["model"] | {"weights": options["previous"]}, "after": options["model"]}
    for name, config in chosen.items():
        yield name, build_model(config, options["device"], options["precision"])


def run(cfg: DictConfig) -> pd.DataFrame:
    """Measure the model (and the previous one), write table and picture; the rows of this command's models."""
    cfg.device = pick_device(cfg.device)
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    if not options["steps"] or min(options["n"], *options["steps"]) < 1:
        raise UserError("n and steps must be 1 or more: n=500 steps=[20,50]")
    own = {"before": {} if options["previous_large"] else {"n_large": 0}}
    studios = {name: Studio(model, options | own.get(name, {})) for name, model in models(options)}
    hashes = [studio.model.weights_hash for studio in studios.values()]
    if len(set(hashes)) < len(hashes):
        raise UserError(f"before and after are the same weights, {hashes[0]}: leave out previous= or name others")
    against = Yardsticks.of(options, next(iter(studios.values())).model.clip.seconds)
    target = Path(options["results"]) / options["name"]
    for studio in studios.values():
        whole = write(target.with_name(f"{target.name}.csv"), table(measure(studio, against), studio.model))
    picture(target.with_name(f"{target.name}.png"), studios, against.excerpts)
    return whole[whole["weights"].isin(hashes)]


@command("quality")
def main(cfg: DictConfig) -> None:
    rows = run(cfg)
    shown = ["weights", "set", "T", "metric", "value", "low", "high", "n"]
    print(rows[shown].to_string(index=False, float_format="%.4g", na_rep=""))
    print(f"written to {cfg.results}/{cfg.name}.csv and {cfg.name}.png; generated sound under {cfg.waves}")
    for weights, own in rows.groupby("weights", sort=False):
        print(f"goals, weights {weights}:", *goal_lines(own), sep="\n  ")


if __name__ == "__main__":
    main()
