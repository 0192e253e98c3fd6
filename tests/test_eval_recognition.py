"""What prompts ask for and whether it is heard, on cases whose answer is known; the shipped judges."""

import numpy as np
import pytest
import torch

from ditto.data.captions import ENERGY
from ditto.data.labels import Piece, load_pieces
from ditto.types import UserError
from eval.recognition import judge as judges
from eval.recognition import tempo, train
from eval.recognition.asked import Asked, asked, band_wording
from eval.recognition.ear import Hearing, listen
from eval.recognition.families import FAMILIES, NAMES, family_indices
from eval.recognition.instruments import GROUPS, group_of, named
from eval.recognition.rows import recognition_rows
from eval.text import heard
from eval.text.captioned import Captioned

GENRES = [genres[0] for genres in FAMILIES.values()]
D = 24


def test_families_part_the_genres():
    listed = [genre for genres in FAMILIES.values() for genre in genres]
    assert len(listed) == len(set(listed)) == 30
    assert set(listed) == {piece.genre for piece in load_pieces()}
    assert set(ENERGY) <= set(listed)
    assert family_indices(["techno", "trance"]) == [NAMES.index("electronic")] * 2
    with pytest.raises(UserError, match="no family for the genres yodel"):
        family_indices(["yodel"])


def piece(k=0, genre="jazz", lead="electric piano", instruments=("acoustic bass", "drums"), captions=("",)):
    return Piece(
        f"p{k}", "train", "", 6.0, genre, "calm", 90, "C", "major", lead, instruments, "", False, "t", captions
    )


def test_prompts_ask_for_what_they_say():
    words = ("A jazz calm song at 90 beats per minute", "jazz, 90 bpm, without drums", "calm music with electric piano",
             "slow jazz with electric piano, acoustic bass and drums")  # fmt: skip
    one = piece(captions=words)
    assert [group_of(name) for name in ("electric piano", "sitar", "drums")] == ["piano", "ethnic", "drums"]
    wishes = [asked(one, k) for k in range(4)]
    assert (wishes[0].genre, wishes[0].bpm, wishes[0].instruments) == ("jazz", 90, frozenset())
    assert (wishes[1].bpm, wishes[1].instruments) == (90, frozenset())
    assert (wishes[2].genre, wishes[2].bpm, wishes[2].instruments) == (None, None, {"piano"})
    assert wishes[3].instruments == {"piano", "bass", "drums"}
    assert wishes[2].absent == set(GROUPS) - {"piano", "bass", "drums"}
    assert band_wording(one) == 3
    band = piece(lead="steel drums", instruments=("organ", "drums"))
    assert named(band, "samba with steel drums") == {"percussive"}
    assert named(band, "samba with steel drums and drums") == {"percussive", "drums"}


def test_every_template_of_the_corpus_names_genre_and_tempo_and_no_instrument():
    for one in load_pieces("test"):
        wish = asked(one)
        assert (wish.genre, wish.bpm, wish.instruments) == (one.genre, one.bpm, frozenset())


def click_track(bpm, seconds=6.0, rate=22_050):
    wave = np.zeros(int(seconds * rate), dtype=np.float32)
    burst = np.random.default_rng(0).normal(size=400) * np.linspace(0.5, 0, 400)
    for start in np.arange(0, seconds - 0.1, 60 / bpm):
        wave[int(start * rate) :][:400] += burst.astype(np.float32)
    return wave


def test_clicks_at_a_tempo_are_judged_that_tempo():
    estimates = [tempo.estimate(click_track(bpm), 22_050) for bpm in (90, 120, 150)]
    np.testing.assert_allclose(estimates, (90, 120, 150), rtol=0.04)


def test_tempo_hits():
    heard_bpm, wanted = [120, 129.5, 130, 60, 240, 40], [120] * 6
    assert tempo.hits(heard_bpm, wanted).tolist() == [1, 1, 0, 0, 0, 0]
    assert tempo.hits(heard_bpm, wanted, tempo.OCTAVES).tolist() == [1, 1, 0, 1, 1, 0]


def test_hearing_is_kept_by_content(tmp_path, monkeypatch):
    clip = ("a", click_track(100), 22_050)
    first = listen([clip], tmp_path)[0]
    assert first.features.shape == (heard.SIZE,)
    monkeypatch.setattr(heard, "hear", None)
    monkeypatch.setattr(tempo, "estimate", None)
    again = listen([("b", *clip[1:])], tmp_path)[0]
    assert again.bpm == first.bpm
    np.testing.assert_array_equal(again.features, first.features)


def band_of(k):
    return ("flute", "drums") if k % 2 else ("violin", "drums")


def made_up(n, seed):
    """Clips whose first features say family and instrument, and their labels."""
    x = np.random.default_rng(seed).normal(size=(n, D)).astype(np.float32)
    for k in range(n):
        x[k, k % 8] += 8
        x[k, 10 + k % 2] += 8
    pieces = tuple(piece(k, GENRES[k % 8], "", band_of(k)) for k in range(n))
    return Captioned(torch.from_numpy(x), pieces)


@pytest.fixture(scope="module")
def judge():
    found = train.choose(made_up(160, 0), made_up(64, 1))
    found.about.update(n_train="160", hash="abc")
    return found


def test_prompted_is_recognised_and_shuffled_is_at_chance(judge):
    data = made_up(240, 2)
    hearings = [Hearing(x, 100.0 + k % 30) for k, x in enumerate(data.features.numpy())]
    wishes = [
        Asked("", one.genre, 100.0 + k % 30, frozenset({"pipe" if k % 2 else "strings"}), asked(one).absent)
        for k, one in enumerate(data.pieces)
    ]
    rows = {row["metric"]: row for row in recognition_rows(hearings, wishes, judge)}
    assert rows["family_accuracy"]["value"] > 0.95
    assert rows["family_accuracy_shuffled"]["value"] == pytest.approx(1 / 8, abs=0.07)
    assert rows["tempo_within_8"]["value"] == 1
    assert rows["tempo_within_8_shuffled"]["value"] < 0.6
    assert rows["instrument_auc"]["value"] > 0.95
    assert rows["instrument_auc_shuffled"]["value"] == pytest.approx(0.5, abs=0.1)
    assert rows["instrument_ap"]["low"] <= rows["instrument_ap"]["value"] <= 1
    assert rows["family_accuracy"]["n"] == 240
    assert "abc" in rows["family_accuracy"]["reference"]


def test_what_is_not_asked_has_no_row(judge):
    hearings = [Hearing(x, 100.0) for x in made_up(10, 3).features.numpy()]
    nothing = Asked("", None, None, frozenset(), frozenset())
    assert recognition_rows(hearings, [nothing] * 10, judge) == []
    few = recognition_rows(hearings, [Asked("", "jazz", None, frozenset({"pipe"}), frozenset())] * 10, judge)
    assert {str(row["metric"]).partition("_")[0] for row in few} == {"family"}


def test_families_are_sums_of_their_genres(judge):
    features = made_up(8, 4).features.numpy()
    assert judge.families(features).shape == (8, 8)
    np.testing.assert_allclose(judge.families(features).sum(1), 1, atol=1e-5)
    assert judge.about["kind"] in ("genres", "families")
    wild = features.copy()
    wild[:, 20] = 1e9  # no music: one value cannot decide
    assert (judge.families(wild).argmax(1) == judge.families(features).argmax(1)).mean() > 0.7


def test_training_reads_three_splits_and_saves(tmp_path, monkeypatch):
    sets = {"train": made_up(160, 0), "val": made_up(64, 1), "test": made_up(64, 5)}
    monkeypatch.setattr(train, "hear_split", lambda split, n, seconds, cache: sets[split])
    path = tmp_path / "judge.safetensors"
    made = train.train(train.TrainOptions(cache=tmp_path, out=path))
    again = judges.load(path)
    np.testing.assert_allclose(
        again.families(sets["test"].features.numpy()), made.families(sets["test"].features.numpy()), atol=1e-6
    )
    assert float(again.about["test_family_accuracy"]) > 0.9
    assert float(again.about["test_instrument_auc"]) > 0.9
    assert again.about["n_val"] == "64"
    monkeypatch.setattr(heard, "fingerprint", lambda: "other")
    judges.load.cache_clear()
    with pytest.raises(UserError, match="other features"):
        judges.load(path)
    with pytest.raises(UserError, match=r"eval\.recognition\.train"):
        judges.load(tmp_path / "missing")


def test_the_shipped_judges_know_the_corpus():
    shipped = judges.load()
    assert set(shipped.classes) in ({p.genre for p in load_pieces("train")}, set(NAMES))
    assert float(shipped.about["test_family_accuracy"]) > 0.7  # the commonest family: about 0.2
    assert float(shipped.about["test_instrument_auc"]) > 0.75
    assert {"piano", "guitar", "drums"} <= set(shipped.groups)
