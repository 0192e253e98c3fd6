"""Every method on every task from finished runs: `python -m eval.methods runs=runs`.

Writes <results>/methods.csv (the rows of `eval.main_job`, for every pair that `eval.comparable` finds), methods.md (the
same as tables, and the order of the methods beside the paper's) and methods.png. Sound is judged on the clip as it was
generated: in outpainting, inpainting and looping without the recording that it is stitched to, which is real music.
Runs that are missing are printed with the command that makes them; runs that do not match, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.command import command
from eval.comparable import collect
from eval.main_job import measure
from eval.methods_page import write_page
from eval.methods_picture import save_picture


def run(cfg: DictConfig) -> pd.DataFrame:
    """Read the runs, write table, page and picture, return the table."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    result = measure(options, collect(options))
    stem = Path(options["results"]) / options["name"]
    save_picture(result, options, stem.with_suffix(".png"))
    write_page(result, options, stem.with_suffix(".md"))
    return result


@command("methods")
def main(cfg: DictConfig) -> None:
    result = run(cfg)
    pairs = result.groupby(["task", "method"]).ngroups
    print(f"{pairs} pairs of task and method, written to {cfg.results}/{cfg.name}.csv, .md and .png")


if __name__ == "__main__":
    main()
