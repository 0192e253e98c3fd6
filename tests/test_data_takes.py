"""Takes: exact labels, playable MIDI with bounded changes, the order of rendering, the mix."""

import io
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from ditto.data import build, captions, corpus_audio, grooves, labels, mix, pack, performance, render, takes
from ditto.data.harmony import NAMES
from ditto.types import UserError

PIECES = labels.load_pieces("train")[3:80:7]


@pytest.fixture(scope="module")
def played() -> list[tuple[labels.Piece, takes.Take, list[performance.Part], list[performance.Part]]]:
    """(piece, take 2, its parts before, its parts after) of a few training pieces, ticks alike."""
    found = []
    for piece in PIECES:
        take = takes.take(piece, 2, takes.load_levels()[piece.piece_id])
        midi = pack.read_pack("train")[piece.piece_id]
        found.append((piece, take, _parts(midi, performance.FINER), _parts(take.play(midi))))
    return found


def _parts(midi: bytes, finer: int = 1) -> list[performance.Part]:
    tracks = mido.MidiFile(file=io.BytesIO(midi)).tracks[1:]
    return [part for track in tracks if (part := performance.read_part(track, finer)) is not None]


def _names(piece: labels.Piece) -> set[str]:
    return {*piece.instruments, *filter(None, [piece.lead])}


def test_take_0_is_the_piece_itself():
    piece, midi = PIECES[0], pack.read_pack("train")[PIECES[0].piece_id]
    first = takes.take(piece, 0, 1.0)
    assert first.piece == piece
    assert first.play(midi) is midi
    wave = np.ones(9, np.float32)
    assert mix.mixed(wave, piece.piece_id, 44100) is wave


def test_levels_are_those_that_the_moods_were_made_from():
    levels = takes.load_levels()
    pieces = [*labels.load_pieces(), *labels.load_electronic()]
    assert set(levels) == {piece.piece_id for piece in pieces}
    assert all(piece.mood == captions.mood(piece.genre, piece.bpm, levels[piece.piece_id], piece.mode)
               for piece in pieces)  # fmt: skip
    assert set(levels.values()) == {0.55, 0.8, 1.0}


def test_labels_of_takes_say_what_was_drawn():
    levels, factors = takes.load_levels(), []
    for piece in labels.load_pieces("train")[:400]:
        drawn = [takes.take(piece, number, levels[piece.piece_id]) for number in (1, 2, 3)]
        assert drawn[0] == takes.take(piece, 1, levels[piece.piece_id])
        assert len({piece.key, *(take.piece.key for take in drawn)}) == 4  # four takes, four keys
        for take in drawn:
            label = take.piece
            assert (label.tune, label.split, label.genre, label.mode, label.groove) == (
                piece.tune, piece.split, piece.genre, piece.mode, piece.groove)  # fmt: skip
            assert NAMES.index(label.key) == (NAMES.index(piece.key) + take.semitones) % 12
            low, high = grooves.TEMPO[label.genre]
            assert low <= label.bpm <= high
            assert label.captions[0] == captions.template(label.genre, label.mood, label.bpm)
            assert take.left_out not in _names(label)
            assert not take.exchanged or take.exchanged[0] not in _names(label)
            assert len(_names(label)) == len(_names(piece)) - bool(take.left_out)
            assert len(set(label.instruments)) == len(label.instruments)
            factors.append(label.bpm / piece.bpm)
    assert 0.85 <= min(factors) < 0.87
    assert 1.17 < max(factors) <= 1.2


def test_relatives_are_heard_in_the_corpus_and_have_names_of_their_own():
    heard = {name for piece in labels.load_pieces("train") for name in _names(piece)}
    for name, programs in takes.RELATIVES.items():
        others = [takes.PROGRAMS[program] for program in programs]
        assert name not in others
        assert set(others) <= heard


def test_the_midi_of_a_take_is_what_its_label_says(played):
    for piece, take, before, after in played:
        assert {part.name for part in before} == _names(piece)
        assert {part.name for part in after} == _names(take.piece)
        old = {part.channel: part for part in before}
        for part in after:
            shifts = Counter(b.pitch - a.pitch for a, b in zip(old[part.channel].notes, part.notes, strict=True))
            (shift,) = shifts
            assert shift == 0 if part.channel == performance.DRUMS else (shift - take.semitones) % 12 == 0
            assert all(0 <= note.pitch <= 127 and 1 <= note.velocity <= 127 for note in part.notes)


def test_the_tempo_is_the_labels(played):
    piece, take = played[0][:2]
    midi = take.play(pack.read_pack("train")[piece.piece_id])
    (tempo,) = [m.tempo for m in mido.MidiFile(file=io.BytesIO(midi)).tracks[0] if m.type == "set_tempo"]
    assert mido.tempo2bpm(tempo) == pytest.approx(take.piece.bpm, rel=1e-5)
    assert mido.MidiFile(file=io.BytesIO(midi)).length == pytest.approx(take.piece.seconds, abs=0.3)


def test_playing_moves_notes_by_milliseconds_and_keeps_their_order(played):
    moved = []
    for _, take, before, after in played:
        tick_ms = 60000 / take.piece.bpm / (192 * performance.FINER)
        old = {part.channel: part for part in before}
        for part in after:
            first = old[part.channel].notes
            moved += [(b.start - a.start) * tick_ms for a, b in zip(first, part.notes, strict=True)]
            order = [(a.start, b.start) for a, b in zip(first, part.notes, strict=True)]
            assert all((p[0] < q[0]) == (p[1] < q[1]) for p, q in pairwise(order))
            assert all(note.end > note.start for note in part.notes)
    assert np.abs(moved).max() <= performance.MAX_SHIFT_MS + 2
    assert 3 < np.std(moved) < 12


def test_note_ons_and_offs_stay_matched(played):
    for piece, take, *_ in played[:4]:
        for track in mido.MidiFile(file=io.BytesIO(take.play(pack.read_pack("train")[piece.piece_id]))).tracks:
            sounding: set[int] = set()
            for message in track:
                assert message.time >= 0
                if message.type == "note_on" and message.velocity:
                    assert message.note not in sounding
                    sounding.add(message.note)
                elif message.type == "note_on":
                    sounding.remove(message.note)
            assert not sounding


def test_velocities_are_played_anew(played):
    for _, _, before, after in played:
        old = {part.channel: part for part in before}
        part = max(after, key=lambda part: len(part.notes))
        pairs = zip(old[part.channel].notes, part.notes, strict=True)
        ratio = np.array([b.velocity / a.velocity for a, b in pairs])
        assert 0.6 < np.median(ratio) < 1.4
        assert np.std(ratio) > 0.01


def test_every_onset_survives_a_crowd():
    feel = performance.Feel(0.96, 960, 3840, 15360, 0.1, 0.1, 0.0)  # 60 beats a minute
    starts = [0, 1, 2, 3, 5, 960]
    new = performance.shifted_onsets(starts, takes.random.Random(0), feel, drums=False)
    values = [new[start] for start in starts]
    assert values[0] >= 0
    assert values == sorted(set(values))


def test_a_part_that_would_leave_its_register_is_moved_by_an_octave():
    high = performance.Part(0, [performance.Note(0, 9, 99, 80), performance.Note(9, 18, 80, 80)], [])
    assert performance._octave(high, 5) == -7
    assert performance._octave(high, -5) == -5
    low = replace(
        high, notes=[performance.Note(0, 9, 28, 80)], others=[(0, mido.Message("program_change", program=33))]
    )
    assert performance._octave(low, -5) == 7
    assert performance._octave(replace(high, channel=performance.DRUMS), 5) == 0


def test_any_prefix_of_the_schedule_is_balanced():
    pieces = labels.load_pieces("val")[:5] + labels.load_pieces("train")[:300]
    order = takes.schedule(pieces, 4)
    assert [take.piece for take in order[: len(pieces)]] == pieces
    assert Counter(take.piece.split for take in order) == {"val": 5, "train": 1200}
    assert len({take.piece.piece_id for take in order}) == len({take.piece.file for take in order}) == len(order)
    for stop in range(305, len(order), 100):
        times = Counter(take.source for take in order[5:stop] if take.piece.split == "train")
        assert max(times.values()) - min(times.values()) <= 1
    with pytest.raises(KeyError):
        takes.schedule([replace(pieces[-1], piece_id="train-x")], 2)


def test_takes_go_round_the_soundfonts():
    fonts = [Path(name) for name in "abc"]
    used = Counter()
    for piece in labels.load_pieces("train")[:100]:
        drawn = [takes.take(piece, number, 1.0).soundfont(fonts) for number in range(4)]
        assert drawn[0] == fonts[0]
        assert set(drawn[1:]) == set(fonts)
        used[drawn[1]] += 1
    assert min(used.values()) > 20


def _fake(piece, midi, out, soundfont):
    wave = np.random.default_rng(len(midi)).normal(size=22050).astype("float32") * 0.1
    return render.write_flac(out, wave)


def _content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_rendering_takes_goes_on_where_it_stopped(tmp_path):
    pieces = labels.load_pieces("train")[:2]
    for folder in ("whole", "broken"):
        corpus_audio.render_corpus(tmp_path / folder, pieces=pieces, render=_fake, takes=3)
    rows = labels.read_pieces(tmp_path / "whole")
    assert [row.piece_id for row in rows] == [f"{p.piece_id}{end}" for end in ("", ".1", ".2") for p in pieces]
    (tmp_path / "broken" / rows[3].file).unlink()
    (tmp_path / "broken" / "pieces.csv").write_text("half a file")
    (tmp_path / "broken/audio/.train-00000.2.flac.999999999.part").write_text("half a file")
    assert "train 6 pieces" in corpus_audio.render_corpus(tmp_path / "broken", pieces=pieces, render=_fake, takes=3)
    assert _content(tmp_path / "broken") == _content(tmp_path / "whole")


def test_a_missing_soundfont_among_several_is_one_line(tmp_path, capsys):
    pytest.importorskip("soxr")
    (tmp_path / "a.sf2").write_bytes(b"")
    command = ["render", "--out", str(tmp_path / "out"), "--takes", "2", "--soundfont", str(tmp_path / "a.sf2")]
    if render.shutil.which("fluidsynth") is None:
        pytest.skip("no fluidsynth here")
    assert build.main([*command, "--soundfont", str(tmp_path / "b.sf2")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "b.sf2" in line
    assert "apt install" in line


def _gain_db(sos: np.ndarray, hz: float) -> float:
    from scipy.signal import sosfreqz

    return float(20 * np.log10(np.abs(sosfreqz(sos, [hz], fs=44100)[1][0])))


def test_filters_have_their_gain_where_they_should():
    low, high = mix.shelf(5, 200, 44100, high=False), mix.shelf(-4, 5000, 44100, high=True)
    peak = mix.bell(3, 1000, 44100, 1.0)
    assert [_gain_db(low, hz) for hz in (5, 200, 15000)] == pytest.approx([5, 2.5, 0], abs=0.02)
    assert [_gain_db(high, hz) for hz in (5, 5000, 22000)] == pytest.approx([0, -2, -4], abs=0.02)
    assert [_gain_db(peak, hz) for hz in (5, 1000, 22000)] == pytest.approx([0, 3, 0], abs=0.02)


def test_the_mix_is_finite_repeatable_and_bounded():
    wave = np.random.default_rng(0).normal(size=12 * 44100).astype(np.float32) * 0.1
    heard = []
    for number in range(1, 7):
        name = f"train-00000.{number}"
        mixed = mix.mixed(wave, name, 44100)
        assert mixed.dtype == np.float32
        assert np.isfinite(mixed).all()
        heard.append(20 * np.log10(np.std(mixed) / np.std(wave)))
    assert np.array_equal(mixed, mix.mixed(wave, name, 44100))
    assert np.ptp(heard) > 0.5
    assert np.abs(heard).max() < 14
    assert 10 ** (-9.1 / 20) < np.abs(render.finish(mixed, 1)).max() < 10 ** (-0.9 / 20)


def test_take_numbers():
    assert [mix.take_number(name) for name in ("train-00042", "train-00042.3", "a.b", "my.11")] == [0, 3, 0, 11]


@pytest.mark.skipif(
    render.shutil.which("fluidsynth") is None or not any(p.exists() for p in render.SOUNDFONTS), reason="no fluidsynth"
)
def test_a_rendered_take_is_another_sound_of_the_right_length(tmp_path):
    midis = pack.read_pack("train")
    piece = min(labels.load_pieces("train")[:400], key=lambda p: len(midis[p.piece_id]))
    take, font = takes.take(piece, 1, takes.load_levels()[piece.piece_id]), render.find_soundfont()
    for number, (label, midi) in enumerate(
        [(piece, midis[piece.piece_id]), (take.piece, take.play(midis[piece.piece_id]))]
    ):
        seconds = render.render_piece(label, midi, tmp_path / f"{number}.flac", font)
        assert seconds == pytest.approx(label.seconds, abs=6)
    waves = [soundfile.read(tmp_path / f"{number}.flac")[0] for number in range(2)]
    size = min(map(len, waves))
    assert abs(np.corrcoef(waves[0][:size], waves[1][:size])[0, 1]) < 0.5
    assert np.abs(waves[1]).max() < 1


def test_unknown_levels_are_a_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"ditto\.data\.build midi"):
        takes.load_levels(tmp_path / "none.csv.gz")
    takes.write_levels({"train-00000": 0.55}, tmp_path / "some.csv.gz")
    assert takes.load_levels(tmp_path / "some.csv.gz") == {"train-00000": 0.55}
