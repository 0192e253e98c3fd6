"""The main job's figures from finished runs: `python -m eval.main_job runs=runs`.

For each task the largest finished run of each method (the newest of equals); where no run of `text_only` is there, the
text-only clips that a ditto run keeps beside its own: same prompts, same noise. <results>/main_job.csv has the rows
of `eval.measure`; <results>/main_job_loss.png the loss of every clip against the optimisation step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.command import command
from ditto.run_directory import read_json
from ditto.small_png import write_png
from eval.finished import Finished, collect
from eval.measure import Judges, rows


def table(found: list[Finished], judges: Judges) -> pd.DataFrame:
    """All rows of all runs, each task's ratios against its text-only clips."""
    text_only = {one.task: one for one in found if one.method == "text_only"}
    return pd.DataFrame(
        {"task": one.task, "method": one.method, **line, **one.provenance}
        for one in found
        for line in rows(one, text_only.get(one.task), judges)
    )


def loss_picture(found: list[Finished], path: Path) -> bool:
    """Loss of every clip against the optimisation step, one panel per task; False if no run optimised anything."""
    import matplotlib.pyplot as plt

    curves = {one.task: _losses(one) for one in found if one.method == "ditto" and _losses(one)}
    if not curves:
        return False
    figure, axes = plt.subplots(1, len(curves), figsize=(4.5 * len(curves), 3.4), squeeze=False)
    for ax, (task, losses) in zip(axes[0], curves.items(), strict=True):
        for loss in losses:
            ax.plot(loss, color="tab:blue", alpha=0.3, linewidth=0.8)
        length = min(len(loss) for loss in losses)
        ax.plot(
            np.median([loss[:length] for loss in losses], axis=0), color="black", label=f"median of {len(losses)} clips"
        )
        ax.set(title=task, xlabel="optimisation step", ylabel="loss", yscale="log")
        ax.legend()
    figure.tight_layout()
    write_png(figure, path, dpi=120)
    plt.close(figure)
    return True


def _losses(one: Finished) -> list[list[float]]:
    """The loss at every step, clip by clip."""
    histories = read_json(one.path / "history.json") or {}
    return [history["loss"] for history in histories.values() if history["loss"]]


def measure(options: dict[str, Any], found: list[Finished]) -> pd.DataFrame:
    """The table of these runs, written to <results>/<name>.csv."""
    result = table(found, Judges.of(options))
    folder = Path(options["results"])
    folder.mkdir(parents=True, exist_ok=True)
    result.to_csv(folder / f"{options['name']}.csv", index=False, float_format="%.6g")
    return result


def run(cfg: DictConfig) -> pd.DataFrame:
    """Read the runs, write the table and the picture, return the table."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    found = collect(options)
    result = measure(options, found)
    loss_picture(found, Path(options["results"]) / f"{options['name']}_loss.png")
    return result


@command("main_job")
def main(cfg: DictConfig) -> None:
    result = run(cfg)
    shown = ["task", "method", "metric", "value", "low", "high", "n"]
    print(result[shown].to_string(index=False, float_format="%.4g"))
    print(f"written to {cfg.results}/{cfg.name}.csv and {cfg.name}_loss.png")


if __name__ == "__main__":
    main()
