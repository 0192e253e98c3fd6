"""The inversion table from made-up runs: which runs are compared, the figures, the page beside the paper's."""

import pandas as pd
import pytest

from ditto.types import UserError
from eval import inversion
from tests.run_cases import options, write_run

K = 40


def made(folder, method, w, values, recordings="6s", when=1.0, weights="w", failed=0, **more):
    """A run with one clip a value, at a reduced K."""
    clips = [{"reconstruction_mse": value, "reconstruction_db": 10 * value} for value in values]
    clips[len(clips) - failed :] = [{"failed": "NaN"}] * failed
    overrides = {"method": method, "recordings": recordings, "task.steps": K, "sampler.guidance_scale": w} | more
    write_run(folder, f"{recordings}-{method}-{w}-{when}", "paper_table7", overrides, clips, when, weights)


def figures(folder):
    table = inversion.run(options("inversion", folder))
    mse = table[table["metric"] == "reconstruction_mse"]
    return {(r.length_s, r.method, r.guidance_scale): r.value for r in mse.itertuples()}


def test_mean_interval_cost_and_provenance_of_every_run(tmp_path):
    made(tmp_path, "null_text", 1, [0.1, 0.3])
    made(tmp_path, "ditto_from_inversion", 1, [0.01, 0.03])
    made(tmp_path, "null_text", 4, [0.2, 0.2, 9.0], recordings="24s", failed=1)
    assert figures(tmp_path) == {
        (6, "null_text", 1): pytest.approx(0.2),
        (6, "ditto_from_inversion", 1): pytest.approx(0.02),
        (24, "null_text", 4): pytest.approx(0.2),  # without the clip that failed
    }
    table = pd.read_csv(tmp_path / "results/inversion.csv")
    assert ",".join(table.columns) == (
        "length_s,method,guidance_scale,metric,value,low,high,n,steps,seconds_per_clip,model_calls,"
        "model,device,commit,weights,run"
    )
    first = table.iloc[0]
    assert (first["low"], first["high"], first["n"]) == (0.1, 0.3, 2)
    assert (first["steps"], first["seconds_per_clip"], first["model_calls"]) == (4, 9.0, 80)
    assert (first["device"], first["commit"], first["run"]) == ("a CPU", "abc", "6s-null_text-1-1.0")
    assert set(table["metric"]) == {"reconstruction_mse", "reconstruction_db"}


@pytest.mark.parametrize(
    "other", [{"task.steps": 70}, {"values": [0.9]}, {"weights": "others"}, {"precision.x": "bf16"}]
)
def test_only_the_largest_group_that_agrees_is_compared(tmp_path, capsys, other):
    for w in (1, 4):
        made(tmp_path, "added_noise", w, [0.1, 0.1])
    about = {"values": [0.9, 0.9]} | other
    made(tmp_path, "null_text", 1, when=9.0, **about)
    assert set(figures(tmp_path)) == {(6, "added_noise", 1), (6, "added_noise", 4)}
    assert "6s-null_text-1-9.0" in capsys.readouterr().err


def test_of_one_method_the_options_with_most_scales_and_the_newest_run(tmp_path):
    made(tmp_path, "null_text", 1, [0.1], when=1.0)
    made(tmp_path, "null_text", 1, [0.2], when=2.0)
    made(tmp_path, "null_text", 4, [0.3], when=1.0)
    made(tmp_path, "null_text", 4, [0.9], when=3.0, **{"method.rate": 0.5})
    assert figures(tmp_path) == {(6, "null_text", 1): 0.2, (6, "null_text", 4): 0.3}


def test_another_sampler_than_the_experiments_is_named_and_left_out(tmp_path, capsys):
    made(tmp_path, "null_text", 1, [0.1])
    made(tmp_path, "null_text", 4, [0.1], **{"sampler.spacing": "trailing"})
    assert set(figures(tmp_path)) == {(6, "null_text", 1)}
    assert "sampler.spacing=trailing, not leading" in capsys.readouterr().err


def test_nothing_there_is_one_error(tmp_path):
    with pytest.raises(UserError, match="experiment=paper_table7"):
        figures(tmp_path)


def test_the_page_marks_the_best_and_keeps_what_is_written_by_hand(tmp_path):
    for method, mse in {"added_noise": 0.4, "ddim_inversion": 0.02, "null_text": 0.03}.items():
        made(tmp_path, method, 4, [mse, mse])
    made(tmp_path, "added_noise", 0, [0.5, 0.5])
    figures(tmp_path)
    page = tmp_path / "results/inversion.md"
    page.write_text(page.read_text() + "By hand.\n")
    figures(tmp_path)
    text = page.read_text()
    assert text.endswith("By hand.\n")
    assert text.count("### 6 s") == 1
    assert "n = 2 clips, K = 40 steps" in text
    assert "| method | w = 0 | w = 4 | paper, w = 0 | paper, w = 4 |" in text
    assert "| added_noise | 0.5 [0.5, 0.5] | 0.4 [0.4, 0.4] | 0.0678 | 0.0714 |" in text
    assert "| ddim_inversion |  | **0.02** [0.02, 0.02] | 0.0115 | 0.0192 |" in text
    order = next(line for line in text.splitlines() if line.startswith("| 6 s, w = 4"))
    assert "null_text, ddim_inversion, added_noise | ddim_inversion, null_text, added_noise | 0.333 | 0.5" in order
