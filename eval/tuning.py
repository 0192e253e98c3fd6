"""The values that the searches on the validation split found: `python -m eval.tuning runs=runs`.

Score of a value: `ditto.objective`, the mean over the task's metrics of its error's share of text-only's; lower is
better, 1 is text-only. For each method and task the gentlest value is chosen whose score is within `tolerance` of the
lowest, among those before the first that breaks the chain: one with a clip without a result, with a level further than
`objective.level_db` from text-only's, or with a score of 2 or more. Beyond it guidance overshoots, and a good score
there is luck. Gentle is a low value or a high one (`searched`); where it is neither, the best unbroken value is chosen.

Every finished run on the validation split counts, whatever made it (sweeps/search, a grid, by hand); of the runs of one
method and task, those that differ in nothing but the value: the largest such group, the newest of equals. Where fewer
than `least` values were tried nothing was searched, and nothing is chosen. Rows of <results>/tuning.csv: one per
method, task, value and metric. The chosen values stand between the two marks in `tuned_file`, to six digits; what was
found for a method and task without a search here stays, as does all outside of it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.build import build
from ditto.command import command
from ditto.objective import Score
from ditto.runs import load_runs
from ditto.types import UserError
from eval.candidates import largest
from eval.tuning_trials import Trial, trials

BEGIN, END = "# --- found by python -m eval.tuning; do not edit ---", "# --- end ---"
COLUMNS = ["method", "task", "option", "setting", "metric", "value", "text_only", "score", "level_db", "n"]
COLUMNS += ["chosen", "edge"]
Options = Mapping[str, Any]


def search(found: list[Trial], gentle: str | None) -> list[Trial]:
    """One trial a value, the gentlest first, of the largest group (the newest of equals); says what was left out."""
    kept = largest(found, group=lambda one: one.group, key=lambda one: one.setting, made=lambda one: one.run)
    return sorted(kept, key=lambda one: one.setting, reverse=gentle == "high")


def choose(found: list[Trial], gentle: str | None, level_db: float, tolerance: float) -> tuple[Trial | None, bool]:
    """The chosen trial of those in order, and whether the lowest score lies at an edge of the values tried."""
    if gentle is None:
        sound, tolerance = [one for one in found if not one.broken(level_db)], 0.0
    else:
        sound = list(takewhile(lambda one: not one.broken(level_db), found))
    if not sound:
        return None, False
    best = min(sound, key=lambda one: one.score)
    gentlest = next(one for one in sound if one.score <= best.score + tolerance)
    return gentlest, best.setting in (found[0].setting, found[-1].setting)


def table(runs: pd.DataFrame, options: Options) -> pd.DataFrame:
    """All values tried, the chosen ones marked; warns of a best value at the edge, and where nothing was usable."""
    by_pair: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    score: Score = build(options["objective"], "objective")
    for trial in trials(runs, options, score):
        by_pair[trial.run.method, trial.run.task].append(trial)
    rows = [row for pair in sorted(by_pair) for row in _rows(by_pair[pair], score, options)]
    if not rows:
        raise UserError(
            f"no search of {', '.join(options['searched'])} on the {options['split']} split in "
            f"{options['runs']}: python -m ditto.run -m +search=freedom task=intensity"
        )
    return pd.DataFrame(rows, columns=[*COLUMNS, "model", "device", "commit", "weights", "run"])


def _rows(several: list[Trial], score: Score, options: Options) -> Iterator[dict[str, Any]]:
    searched = options["searched"][several[0].run.method]
    found = search(several, searched["gentle"])
    if len(found) < options["least"]:
        return
    limit_db = score.limit_db(found[0].run.task)
    best, edge = choose(found, searched["gentle"], limit_db, options["tolerance"])
    _warn(f"{found[0].run.method} on {found[0].run.task}", best, edge)
    for trial in found:
        chosen = trial is best
        for metric, (value, text_only) in trial.measured.values.items():
            about = {"method": trial.run.method, "task": trial.run.task, "option": searched["option"]}
            of = {"setting": trial.setting, "metric": metric, "value": value, "text_only": text_only}
            figures = {"score": trial.score, "level_db": trial.measured.level_db, "n": len(trial.run.clips)}
            yield {**about, **of, **figures, "chosen": chosen, "edge": chosen and edge, **trial.run.provenance}


def _warn(where: str, best: Trial | None, edge: bool) -> None:
    if best is None:
        print(f"warning: {where}: no value made sound clips; its default stays", file=sys.stderr)
    elif best.score >= 1:
        print(f"warning: {where}: no value is better than text-only", file=sys.stderr)
    elif edge:
        print(f"warning: {where}: the best value is at the edge of those tried", file=sys.stderr)


def write_tuned(result: pd.DataFrame, searched: Options, file: Path) -> None:
    """Put the chosen values between the marks of `file`; without marks, at its end."""
    text = file.read_text() if file.exists() else ""
    before, _, rest = text.partition(BEGIN)
    block, _, after = rest.partition(END)
    values: Any = OmegaConf.to_container(OmegaConf.create(block)) if block.strip() else {}
    for method, task in set(zip(result["method"], result["task"], strict=True)):
        values.get(method, {}).get(searched[method]["tuned"], {}).pop(task, None)
    for line in result[result["chosen"]].itertuples():
        name = searched[line.method]["tuned"]
        values.setdefault(line.method, {}).setdefault(name, {})[line.task] = float(f"{line.setting:.6g}")
    made = f"{BEGIN}\n{OmegaConf.to_yaml(OmegaConf.create(values), sort_keys=True)}{END}\n"
    file.write_text(f"{before.rstrip()}\n\n{made}{after.lstrip()}" if before.strip() else made + after.lstrip())


def run(cfg: DictConfig) -> pd.DataFrame:
    """Read the searches, write the table and the chosen values, return the table."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    result = table(load_runs(options["runs"]), options)
    folder = Path(options["results"])
    folder.mkdir(parents=True, exist_ok=True)
    result.to_csv(folder / "tuning.csv", index=False, float_format="%.6g")
    write_tuned(result, options["searched"], Path(options["tuned_file"]))
    return result


@command("tuning")
def main(cfg: DictConfig) -> None:
    result = run(cfg)
    print(result[COLUMNS].to_string(index=False, float_format="%.4g"))
    print(f"written to {cfg.results}/tuning.csv and {cfg.tuned_file}")


if __name__ == "__main__":
    main()
