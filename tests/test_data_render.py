"""Rendering: bounds, resuming after a kill, pieces.csv; and readers of other recordings."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ditto.data import build, corpus_audio, folder, labels, pack, recorded, render, takes
from ditto.types import UserError

SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from ditto.data import corpus_audio, labels, render

def fake(piece, midi, out, soundfont):
    time.sleep(float(sys.argv[2]))
    if piece.piece_id.endswith("4"):
        raise render.RenderError("silent")
    wave = np.random.default_rng(len(midi)).normal(size=22050).astype("float32") * 0.1
    return render.write_flac(out, wave)

if __name__ == "__main__":
    pieces = labels.load_pieces("val")[:6]
    print(corpus_audio.render_corpus(Path(sys.argv[1]), workers=2, pieces=pieces, render=fake))
"""


def _content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _children(parent: int) -> list[int]:
    """Processes started by a process."""
    listed = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def test_a_killed_render_resumes_to_the_same_files(tmp_path):
    script = tmp_path / "fake.py"
    script.write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": str(Path(build.__file__).parents[2])}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([sys.executable, script, whole, "0"], check=True, env=env, capture_output=True)
    process = subprocess.Popen([sys.executable, script, broken, "0.4"], env=env, stderr=subprocess.DEVNULL)
    deadline = time.time() + 120
    while not list((broken / "audio").glob("*.flac")) and time.time() < deadline:
        time.sleep(0.02)
    workers = _children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.time() + 120
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.time() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)  # no process is left behind
    assert 0 < len(list((broken / "audio").glob("*.flac"))) < 5
    subprocess.run([sys.executable, script, broken, "0"], check=True, env=env, capture_output=True)
    assert _content(broken) == _content(whole)
    pieces = labels.read_pieces(broken)
    assert len(pieces) == 5
    assert all((broken / piece.file).exists() and piece.seconds == 1.0 for piece in pieces)
    assert "silent" in (broken / "dropped.csv").read_text()


def test_the_renderer_is_bounded_in_bytes_and_time(monkeypatch):
    with pytest.raises(render.RenderError, match="longer than"):
        render._bounded(["cat", "/dev/zero"], 1000)
    monkeypatch.setattr(render, "TIMEOUT", 0.2)
    with pytest.raises(render.RenderError, match="took more than"):
        render._bounded(["sleep", "5"], 1000)


def test_finish_sets_the_peak_and_drops_silence():
    time_s = np.arange(12 * render.SYNTH_RATE) / render.SYNTH_RATE
    wave = np.sin(2 * np.pi * 440 * time_s).astype(np.float32) * (time_s < 10)
    peaks = [np.abs(render.finish(wave, seed)).max() for seed in range(6)]
    assert all(10 ** (-9.1 / 20) < peak < 10 ** (-0.9 / 20) for peak in peaks)
    assert np.ptp(peaks) > 0.05
    assert len(render.finish(wave, 0)) / render.RATE == pytest.approx(10, abs=0.05)
    with pytest.raises(render.RenderError, match="silent"):
        render.finish(wave * 0, 0)


@pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not any(p.exists() for p in render.SOUNDFONTS), reason="no fluidsynth here"
)
def test_a_piece_renders_the_same_twice(tmp_path):
    piece = min(labels.load_pieces("val"), key=lambda p: len(pack.read_pack("val")[p.piece_id]))
    midi = pack.read_pack("val")[piece.piece_id]
    font = render.find_soundfont()
    seconds = [render.render_piece(piece, midi, tmp_path / f"{i}.flac", font) for i in range(2)]
    assert seconds[0] == pytest.approx(piece.seconds, abs=6)
    assert (tmp_path / "0.flac").read_bytes() == (tmp_path / "1.flac").read_bytes()


def test_missing_soundfont_and_music_are_clear_errors(tmp_path):
    with pytest.raises(UserError, match="apt install fluid-soundfont-gm"):
        render.find_soundfont(tmp_path / "none.sf2")
    with pytest.raises(UserError, match=r"ditto\.data\.build render"):
        labels.read_pieces(tmp_path)


def _recordings(root: Path) -> None:
    """A folder with one good file of each kind and one of each fault."""
    root.mkdir()
    tone = 0.3 * np.sin(np.arange(8 * 44100) / 20)
    soundfile.write(root / "stereo 44k.wav", np.stack([tone, tone], 1), 44100)
    soundfile.write(root / "long.flac", np.tile(tone, 9), 44100)
    soundfile.write(root / "small.ogg", tone[: 8 * 16000], 16000)
    soundfile.write(root / "lossy.mp3", tone, 44100)
    soundfile.write(root / "short.wav", tone[:44100], 44100)
    soundfile.write(root / "silent.wav", tone * 0, 44100)
    soundfile.write(root / "nan.wav", np.full(8 * 22050, np.nan, np.float32), 22050, subtype="FLOAT")
    soundfile.write(root / "unnamed.wav", tone, 44100)
    (root / "corrupt.wav").write_bytes(b"RIFF not a wave file")
    (root / "empty.mp3").write_bytes(b"")
    named = [
        "stereo 44k.wav",
        "long.flac",
        "small.ogg",
        "lossy.mp3",
        "short.wav",
        "silent.wav",
        "nan.wav",
        "corrupt.wav",
    ]
    rows = [f'{name},"a tone, steady"' for name in [*named, "empty.mp3", "absent.wav"]]
    (root / "captions.csv").write_text("\n".join(["file,caption", *rows]) + "\n")


def test_a_folder_with_faults_is_read_and_its_faults_are_named(tmp_path):
    _recordings(tmp_path / "mine")
    summary = folder.read_folder(tmp_path / "mine", None, tmp_path / "out")
    pieces = labels.read_pieces(tmp_path / "out")
    assert {piece.tune for piece in pieces} == {"stereo 44k.wav", "long.flac", "small.ogg", "lossy.mp3"}
    assert sum(piece.tune == "long.flac" for piece in pieces) == 2
    for piece in pieces:
        info = soundfile.info(tmp_path / "out" / piece.file)
        assert (info.samplerate, info.channels) == (22050, 1)
        assert info.duration >= folder.CLIP_SECONDS
        assert piece.captions == ("a tone, steady",)
        assert piece.split in ("train", "val", "test")
    reasons = {"short.wav": "too short", "silent.wav": "silent", "nan.wav": "not numbers", "corrupt.wav": "unreadable",
               "empty.mp3": "unreadable", "unnamed.wav": "no caption", "absent.wav": "not there"}  # fmt: skip
    for name, reason in reasons.items():
        line = next(line for line in summary.splitlines() if name in line)
        assert reason in line


def test_folder_errors_are_one_clear_line(tmp_path, capsys):
    assert build.main(["folder", str(tmp_path / "nowhere")]) == 2
    (tmp_path / "captions.csv").write_text("name;text\na;b\n")
    assert build.main(["folder", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "is not a folder" in errors[0]
    assert "needs a header" in errors[1]


def test_recorded_music_names_the_package_to_install(monkeypatch, tmp_path):
    with pytest.raises(UserError, match=r"no-such-package|dpkg is missing"):
        recorded.read_recorded(tmp_path, ["no-such-package"])
    soundfile.write(tmp_path / "track.ogg", 0.2 * np.sin(np.arange(200000) / 9), 22050)
    monkeypatch.setattr(recorded, "installed_files", lambda name: [tmp_path / "track.ogg"])
    summary = recorded.read_recorded(tmp_path / "out", ["singularity-music"])
    assert "CC-BY-SA-3.0" in summary
    assert "CC-BY-SA-3.0" in (tmp_path / "out/licences.csv").read_text()
    assert labels.read_pieces(tmp_path / "out")[0].tune == "singularity-music/track.ogg"


def test_a_full_disk_is_a_clear_error(tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="no space left"):
        corpus_audio._try(full, takes.take(labels.load_pieces("val")[0], 0, 1.0), b"", tmp_path / "a.flac", tmp_path)
