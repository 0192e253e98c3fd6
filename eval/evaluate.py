"""Every figure of any finished runs, from their files: `python -m eval.evaluate runs=runs`.

Writes <out>/clips.csv, one row a clip (its control metrics, its text score, or why it has none), and <out>/runs.csv,
one row a figure of a run (eval.measure), with n, interval, reference and where the run was made. Ratios are against the
text-only clips that a run keeps beside its own. What was measured before comes from the cache; Ctrl-C loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from ditto.command import command
from ditto.runs import load_runs
from ditto.types import UserError
from eval.finished import BESIDE, Finished
from eval.measure import Judges, rows

ABOUT = ("task", "method", "model", "sampler")


def chosen(options: Mapping[str, Any]) -> list[Finished]:
    """The finished runs that the options ask for, by run id."""
    runs = load_runs(options["runs"])
    wanted = {"task": options["tasks"], "method": options["methods"], "model": options["model_name"]}
    for column, names in wanted.items():
        if len(runs) and names is not None:
            runs = runs[runs[column].isin([names] if isinstance(names, str) else names)]
    if len(runs) and options["only"] is not None:
        runs = runs[runs["run"].str.startswith(tuple(map(str, options["only"])))]
    if runs.empty:
        raise UserError(f"no finished run in {options['runs']} for tasks, methods, model_name and only: see ditto.runs")
    found = [
        Finished.of(task, method, Path(path), one) for (path, task, method), one in runs.groupby(["path", *ABOUT[:2]])
    ]
    return [one for one in found if len(one.clips)]


def figures(one: Finished, judges: Judges) -> pd.DataFrame:
    """The figures of one run as rows."""
    kept_beside = any(str(name).endswith(BESIDE) for name in one.clips)
    lines = rows(one, one.beside_text_only() if kept_beside else None, judges)
    about = {"run": one.path.name, "task": one.task, "method": one.method}
    return pd.DataFrame([{**about, **line, **one.provenance} for line in lines])


def clips(one: Finished, judges: Judges) -> pd.DataFrame:
    """The clips of one run, with what was measured of each."""
    table = one.clips[["clip", "prompt", "seed"]].set_index("clip").join(judges.control(one, judges.cache))
    if judges.text is not None:
        table[judges.text.column] = judges.fit(one)
    about = {"run": one.path.name, "task": one.task, "method": one.method}
    return table.reset_index().assign(**about)[[*about, *table.reset_index().columns]]


def run(cfg: DictConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the runs and write both tables; returns them."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    found, started = chosen(options), time.perf_counter()
    judges = Judges.of(options)
    ready = time.perf_counter()
    by_run, by_clip = [], []
    for one in tqdm(found, desc="evaluate", unit="run"):
        by_run.append(figures(one, judges))
        by_clip.append(clips(one, judges))
    tables = pd.concat(by_clip, ignore_index=True), pd.concat(by_run, ignore_index=True)
    folder = Path(options["out"])
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in zip(("clips", "runs"), tables, strict=True):
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    spent = f"{time.perf_counter() - ready:.1f} s, after {ready - started:.1f} s for the reference"
    print(f"{len(tables[0])} clips of {len(found)} runs in {spent}: {judges.watch}")
    return tables


@command("evaluate")
def main(cfg: DictConfig) -> None:
    run(cfg)
    print(f"written to {cfg.out}/clips.csv and runs.csv")


if __name__ == "__main__":
    main()
