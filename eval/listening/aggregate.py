"""From the files that listeners sent to table 4: `python -m eval.listening.aggregate ratings=folder key=key.json`.

Writes <results>/listening.csv: task, method ("ditto vs controlnet"), metric (wins_percent, average_difference), value,
low, high, standard_error, n (rated triplets), raters, triplets, standin, judge, page, then which model and runs.
Files and triplets that cannot count are printed with their reason.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.command import command
from eval.listening.comparison import rows
from eval.listening.key import Key, read_key
from eval.listening.ratings import read_ratings

ABOUT = ("model", "device", "commit", "weights", "run")


def table(scores: pd.DataFrame, key: Key, judge: str, options: dict[str, Any], standin: bool = False) -> pd.DataFrame:
    """The rows of `eval.listening.comparison` with who judged, and what the clips are from."""
    lines = []
    for row in rows(scores, key["tested"], options["bootstrap"], options["seed"]):
        made = [key["runs"][row["task"]][method] for method in str(row["method"]).split(" vs ")]
        about = {name: " and ".join(dict.fromkeys(str(one[name]) for one in made)) for name in ABOUT}
        lines.append({**row, "standin": standin, "judge": judge, "page": key["page"], **about})
    return pd.DataFrame(lines)


def save(result: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    result.to_csv(path, index=False, float_format="%.6g")


def run(cfg: DictConfig) -> pd.DataFrame:
    """Read ratings and key, write the table, return it."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    key = read_key(options["key"])
    ratings = read_ratings(options["ratings"], key)
    for problem in ratings.problems:
        print(f"left out: {problem}", file=sys.stderr)
    raters = ratings.scores["rater"].nunique()
    result = table(ratings.scores, key, f"{raters} listeners, 0-100 points a clip", options)
    save(result, Path(options["results"]) / f"{options['name']}.csv")
    return result


@command("listening")
def main(cfg: DictConfig) -> None:
    result = run(cfg)
    print(result.drop(columns=["standin", "judge", "page", *ABOUT]).to_string(index=False, float_format="%.4g"))
    print(f"written to {cfg.results}/{cfg.name}.csv")


if __name__ == "__main__":
    main()
