"""Put the measured figures and a picture into the README: `python -m eval.readme`.

Reads results/main_job.csv and results/model_quality.csv, rewrites what stands between the results markers of the
README (of the model, the rows of the weights that main_job.csv is of), and copies the picture of the intensity run's
median clip. No figure is typed by hand.
"""

from __future__ import annotations

import fnmatch
import shutil
import sys
from pathlib import Path

import pandas as pd

from ditto.types import UserError

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
CONTROLS = (
    ("intensity", "intensity_mse", "intensity MSE, dB² (lower)"),
    ("melody", "melody_accuracy", "melody accuracy, % (higher)"),
    ("structure", "structure_mse", "structure MSE (lower)"),
)
SOUND = {"fad*_ratio": "FAD, ratio", "*_score_change": "text score, change"}  # by the pattern of the metric
SETS = ("real", "vocoder", "griffin_lim", "generated", "no_text")


def control_table(table: pd.DataFrame) -> list[str]:
    """One line a task: text-only and DITTO with their 95 % intervals, and the change in FAD and text score."""
    lines = [f"| control | text-only | DITTO | n | {' | '.join(SOUND.values())} | s per step (batch) |"]
    lines.append("|---|---|---|---|---|---|---|")
    for task, metric, label in CONTROLS:
        values = [_value(table, task, method, metric) for method in ("text_only", "ditto")]
        ratios = [_first(table, task, pattern) for pattern in SOUND]
        n = _cell(table, task, "ditto", metric, "n")
        seconds = f"{_cell(table, task, 'ditto', 'seconds_per_step')} ({_cell(table, task, 'ditto', 'batch_size')})"
        lines.append("| " + " | ".join([label, *values, n, *ratios, seconds]) + " |")
    return lines


def quality_table(table: pd.DataFrame) -> list[str]:
    """FAD of every set with its n, and how often the judges hear the prompted genre and family; one block a model."""
    table = table.assign(**{name: table.get(name, "") for name in ("weights", "T")})
    fad = table[table["metric"] == "fad"]
    heard = ("tag_accuracy", "tag_accuracy_shuffled", "family_accuracy", "family_accuracy_shuffled")
    titles = ("genre", "shuffled prompts", "family", "shuffled prompts")
    lines = ["| weights | set | T | FAD (musicnn) | n | " + " | ".join(titles) + " |", "|---" * 9 + "|"]
    for weights in fad["weights"].unique():
        for name in SETS:
            for _, one in fad[(fad["set"] == name) & (fad["weights"] == weights)].iterrows():
                steps = "" if pd.isna(one["T"]) else f"{one['T']:.0f}" if one["T"] != "" else ""
                tags = [_tag(table, one, metric) for metric in heard]
                lines.append(
                    f"| {weights} | {name} | {steps} | {one['value']:.3g} | {one['n']:.0f} | " + " | ".join(tags) + " |"
                )
    return lines


def provenance(table: pd.DataFrame) -> str:
    """Device, commit, weights, reference of FAD and judge of the family of a table in one line."""
    kept = [
        sorted({str(v) for v in table[c].dropna() if str(v)}) for c in ("device", "commit", "weights") if c in table
    ]
    if "reference" in table:
        kept.append(sorted(set(table[table["metric"].str.match("fad|family")]["reference"].dropna())))
    return "; ".join(", ".join(values) for values in kept)


def update(readme: Path, results: Path) -> None:
    """Rewrite the block between the markers."""
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise UserError(f"{readme} has no {BEGIN} and {END}: add both lines where the figures belong")
    missing = [name for name in ("main_job.csv", "model_quality.csv") if not (results / name).exists()]
    if missing:
        raise UserError(
            f"no {' and '.join(missing)} in {results}: "
            "run `python -m eval.main_job` and `python -m ditto.training.quality`"
        )
    job, quality = pd.read_csv(results / "main_job.csv"), pd.read_csv(results / "model_quality.csv")
    if "weights" in job and quality["weights"].isin(job["weights"]).any():  # it has rows of earlier weights too
        quality = quality[quality["weights"].isin(job["weights"])]
    block = [
        "DITTO against the prompt alone, same noise, `model=embedded`, DDIM with T = 20, on prompts of the test split",
        f"([results/main_job.csv](results/main_job.csv); {provenance(job)}):\n",
        *control_table(job),
        "\n![Loss against steps](results/main_job_loss.png)\n",
        "The model itself, without control ([results/model_quality.csv](results/model_quality.csv); "
        + provenance(quality)
        + "):\n",
        *quality_table(quality),
        "\n![Real and generated](results/model_quality.png)",
    ]
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    readme.write_text(head + BEGIN + "\n" + "\n".join(block) + "\n" + END + tail)


def copy_picture(table: pd.DataFrame, runs: Path, target: Path) -> None:
    """The picture of the median clip of the intensity run."""
    rows = table[(table["task"] == "intensity") & (table["method"] == "ditto")]
    run = runs / str(rows["run"].iloc[0])
    if not run.exists():
        raise UserError(f"no run {run}, so {target} stays: `python -m ditto.run +experiment=main_job_intensity`")
    metrics = pd.read_json(run / "metrics.json", orient="index")
    order = metrics["intensity_mse"].sort_values().index
    shutil.copyfile(run / "pictures" / f"{order[len(order) // 2]}.png", target)


def _cell(table: pd.DataFrame, task: str, method: str, metric: str, column: str = "value") -> str:
    rows = table[(table["task"] == task) & (table["method"] == method) & (table["metric"] == metric)]
    return f"{rows[column].iloc[0]:.3g}" if len(rows) else ""


def _value(table: pd.DataFrame, task: str, method: str, metric: str) -> str:
    value, low, high = (_cell(table, task, method, metric, column) for column in ("value", "low", "high"))
    return f"{value} [{low}, {high}]" if value else ""


def _first(table: pd.DataFrame, task: str, pattern: str) -> str:
    """The first metric of this pattern that the table has (FAD may be in a number of principal components)."""
    names = fnmatch.filter(table["metric"].unique(), pattern)
    return _value(table, task, "ditto", names[0]) if names else ""


def _tag(table: pd.DataFrame, one: pd.Series, metric: str) -> str:
    """The share of the same set, weights, T and n as a row of FAD; empty where there is none."""
    same = table["metric"] == metric
    for column in ("set", "weights", "T", "n"):
        same &= (table[column] == one[column]) | (table[column].isna() & pd.isna(one[column]))
    rows = table[same]
    return f"{100 * rows['value'].iloc[0]:.0f} %" if len(rows) else ""


def main() -> None:
    runs, results = (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs")), Path("results")
    try:
        update(Path("README.md"), results)
        copy_picture(pd.read_csv(results / "main_job.csv"), runs, results / "controlled_clip.png")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
