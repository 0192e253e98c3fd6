"""The corpus: tunes, harmony, plans, captions, packs and examples."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
import soundfile

from ditto.data import abc, captions, grooves, labels, pack, plan
from ditto.data.examples import CLIP_SECONDS, EXAMPLES, LONG, load_examples, load_melodies
from ditto.data.harmony import harmonise
from ditto.types import UserError

needs_tunes = pytest.mark.skipif(
    importlib.util.find_spec("music21") is None, reason="music21's corpus is not installed"
)
needs_mma = pytest.mark.skipif(shutil.which("mma") is None, reason="mma is not installed")

TUNE = """X: 7
T:A Test -- Reel
M:2/4
L:1/16
K:Em
B|:e2>f2 (3gfe d2|[ce]4 "A"{fg}=f4-|f4 z3B:|
"""


def test_abc_reads_key_accidentals_tuplets_ties_and_pickups():
    tune = abc.parse_tune(TUNE)
    assert (tune.number, tune.tonic, tune.mode, tune.bar, len(tune.bars)) == (7, 4, "min", 2.0, 4)
    assert tune.bars[0] == [(1.75, 0.25, 71)]
    assert tune.bars[1][:2] == [(0.0, 0.75, 76), (0.75, 0.25, 78)]  # e>f, f sharp by the key
    assert [round(d * 6, 6) for _, d, _ in tune.bars[1][2:5]] == [1, 1, 1]
    assert tune.bars[2] == [(0.0, 1.0, 76), (1.0, 2.0, 77)]  # a chord's top note; a natural f tied over the bar
    assert tune.bars[3] == [(1.75, 0.25, 71)]


def test_abc_refuses_bars_that_do_not_add_up():
    with pytest.raises(abc.AbcError, match="do not add up"):
        abc.parse_tune("X:1\nT:x\nM:4/4\nL:1/4\nK:C\n" + "CDE|" * 8)


def test_harmony_of_a_plain_scale_is_at_home_at_both_ends():
    for tonic in range(12):
        bars = [tuple((float(b), 1.0, 60 + tonic + step) for b, step in enumerate(bar)) for bar in
                ((0, 2, 4, 7), (5, 9, 5, 0), (7, 11, 2, 7), (0, 4, 7, 0))]  # fmt: skip
        chords = harmonise(bars, tonic, "maj")
        assert chords[0] == chords[-1] == (tonic, "")
        assert chords[1][0] == (tonic + 5) % 12
        assert chords[2][0] == (tonic + 7) % 12


def test_captions_say_the_truth():
    for piece in [*labels.load_pieces(), *labels.load_electronic()]:
        first, text = piece.captions[0], " | ".join(piece.captions)
        assert len(piece.captions) >= 5
        assert first == captions.template(piece.genre, piece.mood, piece.bpm)
        assert piece.mood in captions.MOODS[piece.mode]
        assert "major" not in text if piece.mode == "minor" else "minor" not in text
        assert not ("slow" in text and piece.bpm >= 88)
        assert not ("fast" in text and piece.bpm <= 128)
        assert not piece.lead or f"{piece.lead} melody" in text
        low, high = grooves.TEMPO[piece.genre]
        assert low <= piece.bpm <= high


def test_article_and_mood_rules():
    assert captions.template("ambient", "calm", 70) == "An ambient calm song at 70 beats per minute"
    assert captions.mood("ballad", 70, 0.55, "minor") == "sad"
    assert captions.mood("metal", 150, 1.0, "major") == "energetic"


def test_splits_share_no_tune_and_held_out_grooves_are_heard_in_test_only():
    tunes = {split: {p.tune for p in labels.load_pieces(split)} for split in ("train", "val", "test")}
    assert not tunes["train"] & tunes["test"]
    assert not tunes["train"] & tunes["val"]
    assert not tunes["val"] & tunes["test"]
    held = grooves.held_out_files()
    assert 0.06 < len(held) / len(grooves.genres()) < 0.14
    for piece in labels.load_pieces():
        assert (piece.groove.split(":")[0] in held) == piece.groove_held_out
        assert piece.split == "test" or not piece.groove_held_out
    assert any(p.groove_held_out for p in labels.load_pieces("test"))


def test_the_packs_hold_forty_hours_and_every_labelled_piece():
    hours = {}
    for split in ("train", "val", "test"):
        pieces = labels.load_pieces(split)
        assert {p.piece_id for p in pieces} == set(pack.read_pack(split))
        hours[split] = sum(p.seconds for p in pieces) / 3600
    assert hours["train"] >= 40
    assert hours["val"] >= 2.5
    assert hours["test"] >= 2.5
    assert sum(path.stat().st_size for path in grooves.CORPUS.iterdir()) < 15e6
    assert len(labels.prompts("test")) == len(labels.load_pieces("test"))


def test_unknown_split_is_a_clear_error():
    with pytest.raises(UserError, match="choose train, val or test"):
        labels.load_pieces("validation")


@needs_tunes
def test_plans_follow_the_id_and_match_the_labels():
    for piece in labels.load_pieces("test")[:20]:
        recipe = plan.plan(piece.piece_id)
        assert (recipe.groove.name, recipe.tune.tune_id, recipe.bpm) == (piece.groove, piece.tune, piece.bpm)


@needs_tunes
@needs_mma
def test_midi_is_reproduced_byte_for_byte():
    from ditto.data.compose import compose

    piece, data, reason = compose("test-00003")
    assert not reason
    assert data == pack.read_pack("test")["test-00003"]
    assert piece in labels.load_pieces("test")


def test_packs_are_deterministic(tmp_path):
    files = {"b": b"two", "a": b"one" * 100}
    first = pack.write_pack("train", files, tmp_path).read_bytes()
    assert first == pack.write_pack("train", dict(sorted(files.items())), tmp_path).read_bytes()
    assert pack.read_pack("train", tmp_path) == files


def test_labels_survive_the_round_trip():
    pieces = labels.load_pieces("val")[:5]
    assert labels.from_csv(labels.to_csv(pieces)) == pieces


@pytest.mark.parametrize(("folder", "count", "frames"), [(EXAMPLES, 8, 512), (LONG, 4, 2048)])
def test_examples_are_clips_of_different_genres(folder, count, frames):
    rows = load_examples(folder)
    assert len(rows) == count
    assert len({row["genre"] for row in rows}) == count
    test_ids = {piece.piece_id for piece in labels.load_pieces("test")}
    for row in rows:
        wave, rate = soundfile.read(folder / row["file"])
        assert wave.shape == (frames * 256,)
        assert rate == 22050
        assert np.sqrt(np.mean(wave**2)) > 0.01
        assert row["piece_id"] in test_ids
        assert row["prompt"]
        assert row["licence"]


def test_example_melodies_lie_within_the_clip():
    rows = load_melodies()
    tunes = {piece.tune for piece in labels.load_pieces("test")}
    assert len(rows) >= 32
    assert len({row["tune"] for row in rows}) == len(rows)
    for row in rows:
        assert row["tune"] in tunes
        onsets = [note[0] for note in row["notes"]]
        assert onsets[0] == 0
        assert onsets == sorted(onsets)
        assert all(o >= 0 and d > 0 and o + d <= CLIP_SECONDS + 1e-3 and 36 <= p <= 103 for o, d, p in row["notes"])
    assert json.dumps(rows)
