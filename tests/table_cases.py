"""Tables of made-up runs: the sound judged by what a run's metrics say, so that no clip is needed."""

import pandas as pd

from eval.finished import ABOUT, BESIDE
from eval.sets import mean_row, row
from eval.tables import base, command
from eval.tables.definition import load
from tests.run_cases import options, write_run

N = 2


class NoJudges:
    text = cache = None

    def control(self, one, cache):
        """Every clip can be measured."""
        return pd.DataFrame({"failed": pd.Series(None, index=one.clips["clip"], dtype=object)})


def told(one, text_only, judges):
    """The means of the run's own metrics, as eval.measure.rows gives those of its sound."""
    names = [n for n in one.clips.select_dtypes("number") if n not in ABOUT and not str(n).endswith(BESIDE)]
    ratios = [row("fad_pc8_ratio", 0.5, len(one.clips), 0.4, 0.6)] if text_only and one.method != "text_only" else []
    lines = [mean_row(name, one.clips[name].to_numpy()) for name in names] + ratios
    return [{**line, "reference": "500 clips" if "fad" in str(line["metric"]) else ""} for line in lines]


def without_sound(monkeypatch):
    """Judges are neither loaded nor asked."""
    monkeypatch.setattr(base, "rows", told)
    monkeypatch.setattr(base.Context, "judges", NoJudges())


def made(folder, method, values, task="intensity", name=None, when=1.0, metric="intensity_mse", **overrides):
    """A run of +experiment=methods with these values of the metric, one a clip; a dict is a clip's whole metrics."""
    clips = [v if isinstance(v, dict) else {metric: v, "fad_pc8": 20.0, "tag_score": 0.1} for v in values]
    chosen = {"method": method, "task": task} | {key.replace("__", "."): value for key, value in overrides.items()}
    write_run(folder, name or f"{task}-{method}-{when}", "methods", chosen, clips, when)


def config(folder, *overrides):
    return options("tables", folder, f"n={N}", *overrides)


def written(folder, number, *overrides):
    """The three files of one table as text."""
    command.run(config(folder, f"tables=[{number}]", *overrides))
    stem = folder / "results" / "tables" / f"table{number}"
    return {suffix: stem.with_suffix(f".{suffix}").read_text() for suffix in ("md", "csv", "tex")}


def long(folder, number):
    """The csv of a table that was written."""
    return pd.read_csv(folder / "results" / "tables" / f"table{number}.csv", keep_default_na=False)


def line(text, start):
    """The cells of the Markdown row that begins with these words."""
    return next(
        [cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith(f"| {start} |")
    )


def definition(number):
    return load(number, options("tables", "nowhere").columns)
