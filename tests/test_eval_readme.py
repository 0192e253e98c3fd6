"""The README's figures are those of the tables, and nothing else in it changes."""

from pathlib import Path

import pandas as pd
import pytest

from ditto.types import UserError
from eval.readme import BEGIN, END, copy_picture, quality_table, update


@pytest.fixture
def results(tmp_path: Path) -> Path:
    same = {"device": "a CPU", "commit": "abc123", "run": "r1", "n": 8}
    job = [
        {
            "task": "intensity",
            "method": method,
            "metric": "intensity_mse",
            "value": value,
            "low": value - 1,
            "high": value + 1,
        }
        for method, value in (("text_only", 74.5), ("ditto", 3.25))
    ]
    quality = [{"set": "generated", "metric": "fad", "value": 42.42}, {"set": "real", "metric": "fad", "value": 12.1}]
    pd.DataFrame([row | same for row in job]).to_csv(tmp_path / "main_job.csv", index=False)
    pd.DataFrame([row | same for row in quality]).to_csv(tmp_path / "model_quality.csv", index=False)
    return tmp_path


def test_figures_stand_between_the_markers(results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold 99.9\n{END}\nafter\n")
    update(readme, results)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old 99.9" not in text
    for wanted in ("74.5 [73.5, 75.5]", "3.25 [2.25, 4.25]", "42.4", "abc123", "a CPU"):
        assert wanted in text
    update(readme, results)
    assert readme.read_text() == text


def test_every_model_and_number_of_steps_has_a_line() -> None:
    rows = [
        {"weights": weights, "set": "generated", "T": steps, "metric": metric, "value": value + steps, "n": 5}
        for weights, value in (("old", 10.0), ("new", 5.0))
        for steps in (20, 50)
        for metric in ("fad", "family_accuracy")
    ]
    rows.append({"weights": "new", "set": "real", "T": None, "metric": "fad", "value": 4.0, "n": 5})
    lines = quality_table(pd.DataFrame(rows))[2:]
    assert [line.split(" | ")[:4] for line in lines] == [
        ["| old", "generated", "20", "30"],
        ["| old", "generated", "50", "60"],
        ["| new", "real", "", "4"],
        ["| new", "generated", "20", "25"],
        ["| new", "generated", "50", "55"],
    ]
    assert "6000 %" in lines[1]
    assert "5500 %" in lines[4]


def test_missing_tables_and_markers_are_named(results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no markers")
    with pytest.raises(UserError, match="results:begin"):
        update(readme, results)
    readme.write_text(BEGIN + END)
    (results / "model_quality.csv").unlink()
    with pytest.raises(UserError, match=r"ditto\.training\.quality"):
        update(readme, results)


def test_only_the_model_of_the_controlled_runs_is_shown(results: Path, tmp_path: Path) -> None:
    for name, weights in (("main_job", ["new", "new"]), ("model_quality", ["old", "new"])):
        table = pd.read_csv(results / f"{name}.csv").assign(weights=weights)
        table.to_csv(results / f"{name}.csv", index=False)
    readme = tmp_path / "README.md"
    readme.write_text(BEGIN + END)
    update(readme, results)
    assert "12.1" in readme.read_text()
    assert "42.4" not in readme.read_text()


def test_the_picture_is_the_median_clips(results: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "r1"
    (run / "pictures").mkdir(parents=True)
    metrics = {clip: {"intensity_mse": value} for clip, value in (("a", 9.0), ("b", 1.0), ("c", 4.0))}
    pd.DataFrame(metrics).to_json(run / "metrics.json", orient="columns")
    for clip in metrics:
        (run / "pictures" / f"{clip}.png").write_text(clip)
    copy_picture(pd.read_csv(results / "main_job.csv"), tmp_path / "runs", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_text() == "c"
    with pytest.raises(UserError, match=r"main_job_intensity"):
        copy_picture(pd.read_csv(results / "main_job.csv"), tmp_path / "elsewhere", tmp_path / "picture.png")
