"""The electronic series: its own packs, exact labels, kicks on beats, chord tones, variety."""

import importlib.util
import io
from collections import Counter
from itertools import islice, pairwise

import mido
import pytest

from ditto.data import corpus_audio, electronic, grooves, labels, pack, patterns, performance, takes
from ditto.data.harmony import NAMES, QUALITY

needs_tunes = pytest.mark.skipif(
    importlib.util.find_spec("music21") is None, reason="music21's corpus is not installed"
)
PIECES = labels.load_electronic()
SOME = PIECES[::40]
FOUR_ON_THE_FLOOR = ("techno", "house", "trance", "disco")


def _file(piece: labels.Piece) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(pack.read_pack("electronic")[piece.piece_id]))


def _parts(piece: labels.Piece) -> dict[int, performance.Part]:
    parts = [performance.read_part(track) for track in _file(piece).tracks[1:]]
    return {part.channel: part for part in parts if part}


def _names(piece: labels.Piece) -> set[str]:
    return {*piece.instruments, *filter(None, [piece.lead])}


def test_the_series_stays_apart_from_the_splits():
    ids = {piece.piece_id for piece in PIECES}
    assert ids == set(pack.read_pack("electronic"))
    assert {piece.split for piece in PIECES} == {"train"}
    assert not ids & {piece.piece_id for piece in labels.load_pieces()}
    assert {pack.pack_of(name, "train") for name in ids} == {"electronic"}
    assert pack.pack_of("train-00042", "train") == "train"
    tunes = {piece.tune for split in ("val", "test") for piece in labels.load_pieces(split)}
    assert not tunes & {piece.tune for piece in PIECES}


def test_electronic_genres_are_better_off_for_it():
    before = Counter(piece.genre for piece in labels.load_pieces("train"))
    more = Counter(piece.genre for piece in PIECES)
    assert set(more) == set(patterns.STYLES)
    assert set(more) <= set(grooves.TEMPO)
    assert min(before[genre] + more[genre] for genre in more) > 120
    assert more["techno"] > before["techno"]


def test_the_series_is_spread_evenly_among_the_training_pieces():
    plain, order = corpus_audio.corpus(), corpus_audio.corpus(electronic=True)
    assert [piece for piece in order if piece.piece_id not in {p.piece_id for p in PIECES}] == plain
    places = [i for i, piece in enumerate(order) if pack.pack_of(piece.piece_id, piece.split) == "electronic"]
    assert len(places) == len(PIECES)
    assert max(b - a for a, b in pairwise(places)) < 2.5 * 3600 / len(PIECES)
    assert places[0] < 460  # after 440 pieces of val and test
    assert {piece.split for piece in corpus_audio.corpus(3, electronic=True)} == {"val", "test", "train"}


def test_labels_say_what_the_midi_holds():
    for piece in SOME:
        assert {part.name for part in _parts(piece).values()} == _names(piece)
        file = _file(piece)
        (tempo,) = [m.tempo for m in file.tracks[0] if m.type == "set_tempo"]
        assert mido.tempo2bpm(tempo) == pytest.approx(piece.bpm, rel=1e-5)
        assert file.length == pytest.approx(piece.seconds, abs=0.01)
    heard = {name for piece in labels.load_pieces("train") for name in _names(piece)}
    assert {name for piece in PIECES for name in _names(piece)} <= heard


def test_kicks_fall_on_the_beats():
    for piece in [piece for piece in PIECES if piece.genre in FOUR_ON_THE_FLOOR][::20]:
        kicks = {note.start for note in _parts(piece)[performance.DRUMS].notes if note.pitch == patterns.KICK}
        beats = range(0, round(piece.seconds * piece.bpm / 60) * 192, 192)
        assert sum(beat in kicks for beat in beats) >= 0.75 * len(beats)
        assert len(kicks - set(beats)) <= 0.5 * len(kicks)


def test_notes_are_playable():
    for piece in SOME:
        for part in _parts(piece).values():
            assert all(24 <= note.pitch <= 103 and 1 <= note.velocity <= 127 for note in part.notes)
            assert all(note.end > note.start for note in part.notes)


def test_no_two_techno_pieces_are_alike():
    pieces = [piece for piece in PIECES if piece.genre == "techno"][:40]
    basses = {tuple(n.start for n in _parts(p)[electronic.PITCHED["bass"]].notes if n.start < 768) for p in pieces}
    assert len(basses) >= 12
    assert len({pack.read_pack("electronic")[piece.piece_id] for piece in pieces}) == len(pieces)


def test_takes_keep_the_ducking_in_its_measure():
    ducked = 0
    for piece in [piece for piece in PIECES if piece.genre == "trance"][:12]:
        take = takes.take(piece, 1, takes.load_levels()[piece.piece_id])
        midi = take.play(pack.read_pack("electronic")[piece.piece_id])
        after = [performance.read_part(track) for track in mido.MidiFile(file=io.BytesIO(midi)).tracks[1:]]
        assert {part.name for part in after if part} == _names(take.piece)
        for part in after:
            old = [m.value for _, m in _parts(piece)[part.channel].others if m.is_cc(7)]
            new = [m.value for _, m in part.others if m.is_cc(7)]
            if len(old) > 1:
                ducked += 1
                assert len(new) == len(old)
                assert min(new) / max(new) == pytest.approx(min(old) / max(old), abs=0.05)
            else:
                assert len(new) == 1
    assert ducked


@needs_tunes
def test_bass_and_pads_play_the_harmony():
    for piece in islice(filter(pad_of, PIECES), 3):
        recipe = electronic.plan(piece.piece_id)
        bars, chords = electronic.loop(recipe)
        assert len(bars) == len(chords) == recipe.bars
        assert (NAMES[recipe.tonic], recipe.bpm, recipe.groove.genre) == (piece.key, piece.bpm, piece.genre)
        parts = _parts(piece)
        for channel in (electronic.PITCHED["bass"], electronic.PITCHED["pad"]):
            for note in parts[channel].notes:
                root, quality = chords[note.start // electronic.BAR]
                assert (note.pitch - root) % 12 in QUALITY[quality]


def pad_of(piece: labels.Piece) -> bool:
    return electronic.PITCHED["pad"] in _parts(piece)


@needs_tunes
def test_midi_is_reproduced_byte_for_byte():
    from ditto.data.compose import compose_one_electronic

    for piece in PIECES[7:400:150]:
        made, data, reason = compose_one_electronic(piece.piece_id)
        assert not reason
        assert made == piece
        assert data == pack.read_pack("electronic")[piece.piece_id]


def test_patterns_are_bars_of_sixteen_steps():
    for style in patterns.STYLES.values():
        for layer in (*style.kicks, *style.backs, *style.hats, *patterns.EXTRAS):
            assert all(len(pattern) == 16 and set(pattern) <= set("Xxo.") for _, pattern in layer)
        assert all(len(bass) == 16 and bass[0] != "-" and set(bass) <= set("rof.-") for bass in style.basses)
        assert all(len(chord) == 16 and set(chord) <= set("Xxo.") for chord in style.chords)


def test_a_chord_is_voiced_around_its_centre():
    for root in range(12):
        pitches = electronic.voicing((root, "7"), 64)
        assert {(pitch - root) % 12 for pitch in pitches} == {0, 4, 7, 10}
        assert 58 <= pitches[0] <= pitches[-1] <= 69
