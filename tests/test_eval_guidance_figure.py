"""The picture of FAD and family against the guidance scale: where its lines stand, and what a missing table is told."""

import pandas as pd
import pytest

from ditto.errors import UserError
from eval.figures import guidance


def row(name, metric, value, steps=None, scale=None):
    about = {"set": name, "T": steps, "guidance_scale": scale, "weights": "w", "waves": "f", "commit": "c", "n": 215}
    return {**about, "metric": metric, "value": value, "low": value * 0.9, "high": value * 1.1}


@pytest.fixture
def results(tmp_path):
    made = [
        row("generated", metric, base * steps * scale, steps, scale)
        for metric, base in (("fad", 0.1), ("family_accuracy", 0.002))
        for scale in (8.0, 3.0)
        for steps in (20, 50)
    ]
    fixed = [row("vocoder", "fad", 7.0), row("vocoder", "family_accuracy", 0.86), row("real", "family_accuracy", 0.88)]
    other = [row("no_text", "fad", 99.0, 20, 3.0), row("generated", "tag_score", 99.0, 20, 3.0)]
    pd.DataFrame([*made, *fixed, *other]).to_csv(tmp_path / "guidance_scale.csv", index=False)
    return tmp_path


def test_lines_and_levels(results, monkeypatch):
    monkeypatch.setattr(guidance.style, "save", lambda figure, shown, path: [figure, shown])
    figure, shown = guidance.draw({"results": str(results)}, results / "guidance.png")
    sound, heard = ({line.get_label(): list(line.get_ydata()) for line in ax.lines} for ax in figure.axes)
    assert sound["T = 20"] == pytest.approx([6, 16])  # in the order of w
    assert sound["T = 50"] == pytest.approx([15, 40])
    assert sound["2 x the vocoder's round trip"] == [14, 14]
    assert heard["T = 50"] == pytest.approx([30, 80])
    assert (heard["aim"], heard["recordings"]) == ([80, 80], [88, 88])
    assert 99 not in set(shown["value"])


def test_files_and_the_command_where_the_table_is_missing(results, tmp_path):
    picture, numbers = guidance.draw({"results": str(results)}, results / "guidance.png")
    assert picture.stat().st_size > 10_000
    assert len(pd.read_csv(numbers)) == 11
    with pytest.raises(UserError, match=r"python -m ditto.training.quality .*guidance_scale=3,4,5,6,8"):
        guidance.draw({"results": str(tmp_path / "none")}, tmp_path / "guidance.png")
