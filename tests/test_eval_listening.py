"""What ratings of the listening test add up to, worked by hand; and which files and triplets count."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ditto.types import UserError
from eval.listening import aggregate, standin
from eval.listening.comparison import bootstrap_weights, differences, rows, standard_error
from eval.listening.key import make_key, read_key
from eval.listening.ratings import COLUMNS, read_ratings
from eval.listening.triplets import triplets
from tests.listening_cases import METHODS, listening, write_runs

KEY = {
    "page": "abcd",
    "tested": "ditto",
    "triplets": {
        name: {
            "task": "melody",
            "clip": name,
            "prompt": "song",
            "samples": {f"{name}d": "ditto", f"{name}f": "freedom"},
        }
        for name in ("t1", "t2", "t3")
    },
    "runs": {"melody": {name: {"model": "m", "device": "a CPU", "run": name} for name in ("ditto", "freedom")}},
}


def scores(*rated):
    """(rater, triplet, score of ditto, score of freedom) as the table of ratings."""
    each = [(r, t, "melody", m, s) for r, t, *both in rated for m, s in zip(("ditto", "freedom"), both, strict=True)]
    return pd.DataFrame(each, columns=list(COLUMNS))


def entry(name, ditto=60, freedom=40, **more):
    return {"triplet": name, "scores": {f"{name}d": ditto, f"{name}f": freedom}, "seconds": 9.0, **more}


def submit(folder, name, *entries, **other):
    content = {"format": 1, "page": "abcd", "rater": name, "saved": "2026-01-01", "triplets": list(entries), **other}
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_wins_ties_and_difference_of_one_listener():
    wins, difference = rows(scores(("a", "t1", 80, 50), ("a", "t2", 50, 50), ("a", "t3", 30, 60)), "ditto", 500, 0)
    assert (wins["task"], wins["method"], wins["metric"]) == ("melody", "ditto vs freedom", "wins_percent")
    assert wins["value"] == 50.0  # a win, a tie, a loss
    assert difference["metric"] == "average_difference"
    assert difference["value"] == 0.0
    assert difference["standard_error"] == pytest.approx(30 / math.sqrt(3))  # 30, 0, -30: s = 30
    assert (wins["n"], wins["raters"], wins["triplets"]) == (3, 1, 3)
    assert difference["low"] == -30.0
    assert difference["high"] == 30.0


def test_two_thirds_won():
    (wins, difference) = rows(scores(("a", "t1", 80, 50), ("a", "t2", 90, 50), ("b", "t1", 10, 60)), "ditto", 500, 0)
    assert wins["value"] == pytest.approx(200 / 3)
    assert difference["value"] == pytest.approx(20 / 3)
    assert (wins["n"], wins["raters"], wins["triplets"]) == (3, 2, 2)


def test_the_error_counts_listeners_not_ratings():
    raters = pd.Series(["a", "a", "b", "b"])
    triplets_ = pd.Series(["t1", "t2", "t1", "t2"])
    # Listener a always 10 up, b always 10 down: e = 10, 10, -10, -10; V = 2/1 (20² + 20²)/4² = 100.
    assert standard_error(np.array([10.0, 10, -10, -10]), raters, triplets_) == pytest.approx(10.0)
    # Both differ: V = 2/1 (20² + 20²)/4² for either, less 4/3 (20² + 20²)/4² for their pairs.
    assert standard_error(np.array([20.0, 0, 0, -20]), raters, triplets_) == pytest.approx(math.sqrt(400 / 3))
    # The same four numbers from four listeners, one triplet each: s²/n = (400/3)/4.
    assert standard_error(
        np.array([10.0, 10, -10, -10]), pd.Series(list("abcd")), pd.Series(["1", "2", "3", "4"])
    ) == pytest.approx(math.sqrt(100 / 3))
    assert math.isnan(standard_error(np.array([1.0]), pd.Series(["a"]), pd.Series(["t"])))


def test_every_other_method_is_compared_and_the_interval_is_that_of_its_seed():
    table = pd.concat([scores(("a", "t1", 80, 50), ("a", "t2", 70, 60)), scores(("b", "t1", 55, 20))])
    three = pd.concat([table, table[table["method"] == "freedom"].assign(method="controlnet", score=90.0)])
    assert set(differences(three, "ditto")["other"]) == {"freedom", "controlnet"}
    first, again = (list(rows(three, "ditto", 300, 0)) for _ in range(2))
    assert first == again
    assert np.isfinite([[row["low"], row["high"]] for row in first]).all()
    raters, names = pd.Series(list("aabb")), pd.Series(["1", "2", "1", "3"])
    assert not np.array_equal(*(bootstrap_weights(raters, names, 20, seed) for seed in (0, 1)))


def test_ratings_are_unblinded_by_the_key(tmp_path):
    submit(tmp_path, "a", entry("t1"), entry("t2", 10, 90))
    found = read_ratings(tmp_path, KEY)
    assert found.problems == []
    assert found.scores.to_dict("list") == {
        "rater": ["a"] * 4,
        "triplet": ["t1", "t1", "t2", "t2"],
        "task": ["melody"] * 4,
        "method": ["ditto", "freedom"] * 2,
        "score": [60.0, 40.0, 10.0, 90.0],
    }


def test_what_cannot_count_is_named(tmp_path):
    submit(tmp_path, "good", entry("t1"))
    submit(tmp_path, "elsewhere", entry("t1"), page="other")
    submit(tmp_path, "wild", entry("t1", ditto=101), entry("t2", freedom=True), entry("t3", ditto=float("nan")))
    submit(tmp_path, "part", {"triplet": "t1", "scores": {"t1d": 5}}, entry("t9"), entry("t2"), entry("t2", 0, 0))
    submit(tmp_path, "odd", entry("t1") | {"scores": {"t1d": 5, "t1f": 5, "x": 5}}, 7)
    (tmp_path / "broken.json").write_text("{")
    found = read_ratings(tmp_path, KEY)
    assert sorted(found.scores["rater"].unique()) == ["good", "part"]
    assert len(found.scores) == 4
    said = "\n".join(found.problems)
    for line in (
        "elsewhere.json: for another page (other) than the key (abcd)",
        "wild.json: triplet t1: not a number from 0 to 100: t1d = 101",
        "wild.json: triplet t2: not a number from 0 to 100: t2f = True",
        "wild.json: triplet t3: not a number from 0 to 100: t3d = nan",
        "wild.json: no triplet that counts",
        "part.json: triplet t1: clips not rated: t1f",
        "part.json: triplet t9: not on this page",
        "part.json: triplet t2: rated twice in one file",
        "odd.json: triplet t1: clips that are not in the triplet",
        "odd.json: triplet None: not on this page",
        "broken.json: not a file that the listening page saves",
    ):
        assert line in said


def test_the_last_save_of_a_listener_counts(tmp_path):
    submit(tmp_path, "early", entry("t1", 0, 100), rater="a", saved="2026-01-01T09")
    submit(tmp_path, "late", entry("t1", 100, 0), rater="a", saved="2026-01-01T10")
    submit(tmp_path, "middle", entry("t1", 50, 0), rater="a", saved="2026-01-01T09:30")
    found = read_ratings(tmp_path, KEY)
    assert found.scores["score"].tolist() == [100.0, 0.0]
    assert found.problems == [
        "early.json: rater a saved again, late.json counts",
        "middle.json: rater a saved again, late.json counts",
    ]


def test_no_ratings_is_one_error(tmp_path):
    with pytest.raises(UserError, match="no ratings in"):
        read_ratings(tmp_path, KEY)
    submit(tmp_path, "a", entry("t1"), page="other")
    with pytest.raises(UserError, match=r"no rating counts:\na\.json: for another page"):
        read_ratings(tmp_path, KEY)
    with pytest.raises(UserError, match=r"eval\.listening\.page writes it"):
        read_key(tmp_path / "key.json")


def test_aggregate_writes_the_table(tmp_path, capsys):
    (tmp_path / "ratings").mkdir()
    submit(tmp_path / "ratings", "a", entry("t1"), entry("t2", 30, 60))
    submit(tmp_path / "ratings", "b", entry("t1"), page="other")
    (tmp_path / "key.json").write_text(json.dumps(KEY | {"runs": {"melody": provenance()}}))
    aggregate.run(listening(tmp_path, f"key={tmp_path}/key.json", f"ratings={tmp_path}/ratings"))
    table = pd.read_csv(tmp_path / "results/listening.csv")
    assert table.columns.tolist()[:9] == [
        *("task", "method", "metric", "value", "low", "high", "standard_error", "n", "raters")
    ]
    assert table["value"].tolist() == [50.0, -5.0]
    assert table["run"].tolist() == ["ditto-run and freedom-run"] * 2
    assert table["device"].tolist() == ["a CPU"] * 2
    assert not table["standin"].any()
    assert "left out: b.json: for another page" in capsys.readouterr().err


def provenance():
    return {
        m: {"model": "m", "device": "a CPU", "commit": "c", "weights": "w", "run": f"{m}-run"}
        for m in METHODS["melody"]
    }


def test_triplets_depend_on_seed_and_sound_only(tmp_path):
    folder = write_runs(tmp_path, tasks=["intensity"])
    cfg = listening(folder, "tasks=[intensity]")
    first, again = triplets(cfg), triplets(cfg)
    assert [one.name for one in first] == [one.name for one in again]
    assert len(first) == 2
    other = triplets(listening(folder, "tasks=[intensity]", "seed=1", "per_task=1"))
    assert len(other) == 1
    assert not {s.name for one in first for s in one.samples} & {s.name for one in other for s in one.samples}
    key = make_key("p", "ditto", first)
    for one in first:
        assert set(key["triplets"][one.name]["samples"].values()) == set(METHODS[one.task])
        assert [sample.name for sample in one.samples] == sorted(sample.name for sample in one.samples)


def test_missing_runs_and_clips_are_named(tmp_path, capsys):
    write_runs(tmp_path, tasks=["intensity", "melody"], without=("melody-freedom",))
    (tmp_path / "intensity-freedom/audio/001_song_s1.flac").unlink()
    found = triplets(listening(tmp_path, "tasks=[intensity,melody]"))
    assert [(one.task, one.clip) for one in found] == [("intensity", "000_song_s0")]
    said = capsys.readouterr().err
    assert "python -m ditto.run +experiment=methods task=melody method=freedom" in said
    assert "left out: melody, no finished run of freedom" in said
    assert "left out: intensity 001_song_s1, no sound by freedom" in said


def test_the_standins_points_are_ranks_worked_by_hand():
    found = pd.DataFrame(
        {
            ("control", "mse"): [-1.0, -2.0, -3.0, -4.0],  # ranks 4, 3, 2, 1 of 4
            ("sound", "distance"): [-5.0, -5.0, -9.0, -1.0],  # ranks 2.5, 2.5, 1, 4
            ("text", "score"): [0.2, 0.9, math.nan, 0.1],  # ranks 2, 3, -, 1 of 3
        }
    )
    given = standin.points(found, {"control": 0.5, "sound": 0.25, "text": 0.25})
    assert given.tolist() == pytest.approx(
        [
            0.5 * 87.5 + 0.25 * 50 + 0.25 * 50,
            0.5 * 62.5 + 0.25 * 50 + 0.25 * 250 / 3,
            (0.5 * 37.5 + 0.25 * 12.5) / 0.75,  # no genre: ranked by the other two
            0.5 * 12.5 + 0.25 * 87.5 + 0.25 * 50 / 3,
        ]
    )


def test_the_standins_figures_are_those_of_the_clips(tmp_path, capsys):
    control = pd.DataFrame(
        {"intensity_mse": [4.0, 9.0, math.nan], "failed": [None, None, "cut off"]}, index=list("abc")
    )
    flat = SimpleNamespace(mean=np.array([1.0, 0.0]), covariance=np.diag([4.0, 1.0]))
    music = SimpleNamespace(projection=lambda clips: clips, projected=flat)
    heard = {name: np.array([[3.0, 0.0], [1.0, k]]) for k, name in enumerate("abc")}  # distances 1 and k²
    judges = SimpleNamespace(
        control=lambda *_: control,
        cache=tmp_path,
        sound=music,
        hear=lambda one: heard,
        text=True,
        fit=lambda one: pd.Series([0.5, 0.1, 0.9], index=list("abc")),
    )
    one = SimpleNamespace(task="intensity", method="ditto")
    found = standin.figures(one, judges, ["intensity_mse"])
    assert found.index.tolist() == ["a", "b"]
    assert found.to_numpy().tolist() == [[-4.0, -0.5, 0.5], [-9.0, -1.0, 0.1]]
    assert "left out: intensity c by ditto, cut off" in capsys.readouterr().err
    with pytest.raises(UserError, match="intensity has no metric structure_mse: it has intensity_mse"):
        standin.figures(one, judges, ["structure_mse"])


def test_the_standin_says_that_it_is_not_listeners(tmp_path, monkeypatch):
    write_runs(tmp_path, tasks=["intensity"])
    worth = {"ditto": 3.0, "controlnet": 2.0, "freedom": 1.0}
    columns = pd.MultiIndex.from_tuples([("control", "mse"), ("sound", "distance"), ("text", "score")])

    def figures(one, *_):
        return pd.DataFrame(worth[one.method], index=list(one.clips["clip"]), columns=columns)

    monkeypatch.setattr(standin, "figures", figures)
    monkeypatch.setattr(standin.Judges, "of", lambda options: None)
    monkeypatch.setattr(standin, "judge", lambda *_: "a formula")
    standin.run(listening(tmp_path, "tasks=[intensity]"))
    table = pd.read_csv(tmp_path / "results/listening_standin.csv")
    assert not (tmp_path / "results/listening.csv").exists()
    assert table["standin"].all()
    assert (table["raters"] == 0).all()
    assert (table["judge"] == "a formula").all()
    assert table[table["metric"] == "wins_percent"]["value"].tolist() == [100.0, 100.0]
    # Each method's two clips tie: mean ranks 5.5, 3.5, 1.5 of 6.
    points = table[table["metric"] == "average_difference"]["value"].tolist()
    assert points == pytest.approx([200 / 6, 400 / 6], rel=1e-4)
