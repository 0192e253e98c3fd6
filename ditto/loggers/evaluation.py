"""Figures of `python -m eval.evaluate` (FAD, text score and the rest) in W&B's summaries, as eval/<figure>.

    python -m eval.evaluate runs=runs              # writes runs/evaluation/runs.csv
    python -m ditto.loggers.evaluation --project ditto [--entity me] [--runs-dir runs]

The second command is for runs that W&B has already; `sync-wandb` takes the figures along by itself.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

TABLE = Path("evaluation") / "runs.csv"  # below the runs directory


def figures(runs_dir: Path) -> dict[str, dict[str, float]]:
    """Run id -> {"eval/<figure>": value} of everything that was evaluated; {} where nothing was."""
    try:
        with open(runs_dir / TABLE, newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        return {}
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["value"]:
            found.setdefault(row["run"], {})[f"eval/{row['metric']}"] = float(row["value"])
    return found


def figures_of(path: Path) -> dict[str, float]:
    """The figures of one run directory."""
    return figures(path.parent).get(path.name, {})


def sync_evaluation(runs_dir: Path, project: str, entity: str | None) -> list[tuple[str, str]]:
    """Write the figures into the summaries of the runs that W&B has; (run, what became of it) of each."""
    import wandb

    api, place = wandb.Api(), f"{entity}/{project}" if entity else project
    outcomes = []
    for run_id, values in figures(runs_dir).items():
        try:
            run = api.run(f"{place}/{run_id}")
            run.summary.update(values)
            outcomes.append((run_id, "written"))
        except Exception as error:  # one run that W&B does not have must not end the others
            outcomes.append((run_id, f"failed: {type(error).__name__}: {error}"))
    return outcomes


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ditto.loggers.evaluation", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("--project", default="ditto")
    parser.add_argument("--entity")
    parser.add_argument("--runs-dir", default="runs", type=Path)
    options = parser.parse_args(arguments)
    outcomes = sync_evaluation(options.runs_dir, options.project, options.entity)
    print("\n".join(f"{run} {what}" for run, what in outcomes) or f"nothing evaluated in {options.runs_dir / TABLE}")
    failed = [what for _, what in outcomes if what.startswith("failed")]
    if failed:
        print(f"{len(failed)} of {len(outcomes)} runs failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
