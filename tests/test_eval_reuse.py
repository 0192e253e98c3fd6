"""The table of reused x_T* from made-up runs: the means, what is compared with what, the page beside the paper's."""

import pandas as pd
import pytest

from ditto.types import UserError
from eval import reuse
from tests.run_cases import options, write_run


def made(folder, losses, method="reuse", prompts="fixed", source="/elsewhere/runs/aaaa", task="intensity", **more):
    """A run with these losses of samples, clip by clip."""
    when = more.pop("when", 1.0)
    clips = [{"loss": samples[-1], "losses": samples} for samples in losses] + more.pop("failed", [])
    overrides = {"method": method, "task": task, "method.prompts": prompts, "method.run": source} | more
    name = f"{task}-{method}-{prompts}-{str(source).rpartition('/')[2]}-{when}"
    write_run(folder, name, "paper_table10", overrides, clips, when)


def figures(folder):
    table = reuse.run(options("reuse", folder))
    return {(r.task, r.method, r.prompts, r.noise): r.value for r in table.itertuples()}


def test_samples_then_clips_are_averaged(tmp_path):
    made(tmp_path, [[1.0, 3.0], [5.0, 7.0]], failed=[{"failed": "NaN", "losses": [99.0]}])
    made(tmp_path, [[10.0, 20.0], [30.0, 40.0]], source=None, failed=[{"failed": "NaN"}])
    assert figures(tmp_path) == {
        ("intensity", "reuse", "fixed", "optimised"): 4.0,
        ("intensity", "reuse", "fixed", "fresh"): 25.0,
    }
    table = pd.read_csv(tmp_path / "results/reuse.csv")
    assert ",".join(table.columns) == (
        "task,method,prompts,noise,source,metric,value,low,high,n,samples,seconds_per_clip,model_calls,"
        "model,device,commit,weights,run"
    )
    line = table[table["noise"] == "optimised"].iloc[0]
    assert (line["source"], line["n"], line["samples"], line["low"], line["high"]) == ("aaaa", 2, 2, 2.0, 6.0)


def test_one_source_one_number_of_samples_and_the_newest(tmp_path, capsys):
    made(tmp_path, [[1.0, 1.0]])
    made(tmp_path, [[2.0, 2.0]], when=2.0, source="runs/aaaa")  # the same run, from another folder
    made(tmp_path, [[3.0, 3.0]], prompts="random")
    made(tmp_path, [[4.0, 4.0]], source=None)
    made(tmp_path, [[9.0, 9.0]], source="runs/bbbb", when=8.0)
    made(tmp_path, [[9.0]], source=None, prompts="random", when=8.0, **{"method.samples": 1})
    assert figures(tmp_path) == {
        ("intensity", "reuse", "fixed", "optimised"): 2.0,
        ("intensity", "reuse", "random", "optimised"): 3.0,
        ("intensity", "reuse", "fixed", "fresh"): 4.0,
    }
    said = capsys.readouterr().err
    assert "intensity-reuse-fixed-bbbb-8.0, intensity-reuse-random-None-8.0" in said
    assert "no finished run of melody: python -m ditto.run -m +experiment=paper_table10 size=here task=melody" in said


def test_nothing_there_is_one_error(tmp_path):
    with pytest.raises(UserError, match="no finished run of reuse"):
        figures(tmp_path)


def test_the_page_has_the_ratio_the_papers_figure_and_what_is_written_by_hand(tmp_path):
    for method, value in {"reuse": 8.0, "reuse_freedom": 2.0}.items():
        made(tmp_path, [[value, value]], method)
        made(tmp_path, [[2 * value, 2 * value]], method, source=None)
        made(tmp_path, [[value + 1, value + 1]], method, "random")
    figures(tmp_path)
    page = tmp_path / "results/reuse.md"
    page.write_text(page.read_text() + "By hand.\n")
    figures(tmp_path)
    text = page.read_text()
    assert text.endswith("By hand.\n")
    assert "n = 1 clips, 2 samples of each; x_T* of run aaaa." in text
    assert "| reuse_freedom | fixed | **2** | **4** | 0.5 | **11.2** |" in text
    assert "| reuse | random | 9 |  |  | 24.5 |" in text
    order = next(line for line in text.splitlines() if line.startswith("| intensity | loss"))
    ours = "reuse_freedom fixed, reuse_freedom random, reuse fixed, reuse random"
    assert f"| {ours} | 0.667 | 0.8 | reuse_freedom random before reuse fixed" in order.replace("(", "")


def test_one_rate_for_all_runs_of_freedom(tmp_path):
    made(tmp_path, [[1.0]], "reuse_freedom")
    made(tmp_path, [[2.0]], "reuse_freedom", "random")
    made(tmp_path, [[9.0]], "reuse_freedom", when=8.0, **{"method.freedom.rate": 7.0})
    assert set(figures(tmp_path).values()) == {1.0, 2.0}
