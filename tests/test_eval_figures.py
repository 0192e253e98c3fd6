"""The figures from made-up runs: what is drawn, what the numbers are, what is said of a missing run."""

import json

import librosa
import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from scipy.signal import savgol_filter

from ditto.audio.features import self_similarity
from ditto.audio.io import read, write_flac
from ditto.build import build
from ditto.controls.reference import EXAMPLES
from ditto.types import ClipRequest, UserError
from eval.figures import figure4, numbers, stitched, style
from eval.figures.__main__ import run
from eval.figures.example import examples, with_text_only
from eval.figures.index import provenance, write_index
from tests.run_cases import options, write_run

TOY = {"_target_": "ditto.models.toy.Toy", "frames": 512, "dtype": "auto", "device": "cuda"}
ALONE = ("intensity", "melody", "structure", "structure_transfer", "intensity_melody")
STITCHED = ("outpainting", "looping", "loop_free", "intensity_outpainting")
FEWER = [  # than the figures have, for time
    "drawn.4.draw.tasks=[outpainting,looping]",
    "drawn.4.draw.methods=[masking,ditto]",
    "drawn.9.draw.tasks=[intensity_melody]",
]


def toy_run(folder, name, task, method="ditto", clips=({}, {})):
    """A finished run of a toy model whose clips are seeded noise under a tone, stitched where the task stitches."""
    write_run(folder, name, "methods", {"task": task, "method": method}, list(clips))
    path = folder / name
    cfg = OmegaConf.load(path / "config.yaml")
    cfg.model = TOY
    OmegaConf.save(cfg, path / "config.yaml")
    model = build({**TOY, "device": "cpu"}, "model")
    for k, (clip, values) in enumerate(json.loads((path / "metrics.json").read_text()).items()):
        if "failed" in values:
            continue
        waves = [sound(model.clip.samples, 10 * k + shift) for shift in (0, 1)]
        control = build(OmegaConf.to_container(cfg.task.control), "control").bind(model, [ClipRequest(clip, "", k, k)])
        heard = control.finish(torch.zeros(1, *model.shape), waves[0][None])[0]
        files = {"": heard, ".text_only": waves[1], **({".raw": waves[0]} if task in STITCHED else {})}
        for suffix, wave in files.items():
            write_flac(path / "audio" / f"{clip}{suffix}.flac", wave, model.clip.sample_rate)
    return path


def sound(samples, seed):
    random = np.random.default_rng(seed)
    tone = np.sin(np.arange(samples) * random.uniform(0.03, 0.3))
    envelope = np.interp(np.linspace(0, 1, samples), np.linspace(0, 1, 8), random.uniform(0.02, 0.3, 8))
    return torch.from_numpy((envelope * (tone + random.normal(0, 0.3, samples))).astype(np.float32)).clamp(-1, 1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of each task, and the other method of figure 4."""
    folder = tmp_path_factory.mktemp("runs")
    for task in (*ALONE, *STITCHED):
        toy_run(folder, task, task)
    for task in ("outpainting", "looping"):
        toy_run(folder, f"{task}_masking", task, "masking")
    return folder


@pytest.fixture(scope="module")
def drawn(runs, tmp_path_factory):
    """The folder with all figures of this file, drawn once."""
    folder = tmp_path_factory.mktemp("results")
    run(options("figures", runs, f"results={folder}", "figures=[3,4,6,7,8,9]", "n=2", *FEWER))
    return folder / "figures"


def plain(folder, *overrides):
    return OmegaConf.to_container(options("figures", folder, "n=1", *overrides), resolve=True)


def of(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


@pytest.mark.parametrize("k", [3, 4, 6, 7, 8, 9])
def test_every_figure_has_a_picture_and_numbers_with_their_provenance(drawn, k):
    picture = matplotlib.image.imread(drawn / f"figure{k}.png")
    assert picture.shape[1] == style.WIDTH_IN * style.DPI
    assert np.ptp(picture[..., :3]) == 1
    table = pd.read_csv(drawn / f"figure{k}.csv")
    assert table["value"].notna().all()
    made = table[table["series"] != "target"]
    assert set(made["clip"]) == {"000_song_s0"}
    assert set(made["commit"]) == {"abc"}
    assert set(made["weights"]) == {"w"}
    assert set(made["device"]) == {"a CPU"}
    assert set(made["run"]) <= {path.name for path in drawn.parents[1].glob("runs*/*")}
    assert len(made["series"].unique()) == 2


def test_the_achieved_curve_is_that_of_the_sound_file(drawn, runs):
    table = of(pd.read_csv(drawn / "figure3.csv"), feature="intensity")
    for series, suffix in (("ditto", ""), ("text_only", ".text_only")):
        wave = read(runs / "intensity" / "audio" / f"000_song_s0{suffix}.flac", 22050).numpy()
        rms = librosa.feature.rms(y=wave, frame_length=2048, hop_length=256)[0, :512]
        level = savgol_filter(20 * np.log10(rms), 85, 2)  # 1 s is 86 frames, made odd
        assert of(table, series=series)["value"].to_numpy() == pytest.approx(level, abs=0.05)
    target = of(table, series="target")["value"].to_numpy()
    assert target[[0, -1]] == pytest.approx([-32, -16], abs=0.01)  # the first clip's target is a crescendo
    assert of(table, series="target")["x"].iloc[1] == pytest.approx(256 / 22050, rel=1e-4)


def test_the_target_of_figure_7_is_the_form_of_the_recording(drawn):
    table = of(pd.read_csv(drawn / "figure7.csv"), feature="structure", series="target")
    wave = read(sorted(EXAMPLES.glob("*.flac"))[0], 22050).numpy()[: 512 * 256]
    mfcc = librosa.feature.mfcc(y=wave, sr=22050, hop_length=256, n_fft=2048)[1:, :512]
    similarity = self_similarity(torch.from_numpy(mfcc)[None])[0].numpy()
    cells = similarity.reshape(16, 32, 16, 32).mean((1, 3))
    assert table["value"].to_numpy() == pytest.approx(cells.ravel(), abs=1e-3)


def test_an_image_is_averaged_over_blocks_and_a_curve_is_whole():
    image = np.arange(12 * 64.0).reshape(12, 64)
    rows = numbers.grid_rows(image, rate=2.0)
    assert len(rows) == 12 * 16
    assert rows["value"].iloc[:2].tolist() == [1.5, 5.5]
    assert rows[["x", "y"]].iloc[17].tolist() == [2.0, 1.0]
    assert numbers.grid_rows(np.ones((1, 2, 5)), 2.0)["x"].tolist() == [0, 0.5, 1, 1.5, 2]
    uneven = numbers.blocks(np.random.default_rng(0).normal(size=(17, 50)))
    assert uneven.shape == (16, 16)


def test_the_marks_of_figure_4_are_where_recording_and_clip_meet(drawn, runs):
    table = of(pd.read_csv(drawn / "figure4.csv"), feature="join_s", method="masking")
    seconds, second = 512 * 256 / 22050, 86 * 256 / 22050  # of a clip, and of whole frames nearest to 1 s
    expected = [seconds - 2 * second, seconds]
    assert of(table, task="outpainting")["value"].to_numpy() == pytest.approx(expected, abs=1e-4)
    (one,) = examples(plain(runs), "outpainting", ["masking"])
    share = stitched.share_of_new(one.control)
    first, end = (round(time * 22050) for time in expected)
    assert len(share) == one.heard_BN.shape[1]
    assert not share[:first].any()
    assert (share[end:] == 1).all()
    assert (np.diff(share[first:end]) >= -1e-6).all()


def test_a_loop_is_shown_from_between_its_joins(drawn, runs):
    (one,) = examples(plain(runs), "looping", ["ditto"])
    clip, edge = 512 * 256, 86 * 256
    assert figure4.turned_by(one) == edge + (clip - 2 * edge) // 2
    (other,) = examples(plain(runs), "outpainting", ["ditto"])
    assert figure4.turned_by(other) == 0
    values = of(pd.read_csv(drawn / "figure4.csv"), method="ditto")
    assert {"seam_ratio", "seam_db", "overlap_mse"} <= set(values["feature"])
    shown = of(values, task="looping", feature="join_s")["value"].to_numpy()
    assert np.diff(np.sort(shown))[[0, 2]] == pytest.approx([edge / 22050] * 2, abs=1e-4)


def test_figure_6_marks_every_turn(drawn):
    table = of(pd.read_csv(drawn / "figure6.csv"), feature="join_s", series="ditto")
    overlap = round(0.5 * 22050 / 256)
    turn = (512 - overlap) * 256 / 22050
    lengths = [0, overlap * 256 / 22050]
    assert table["value"].tolist() == pytest.approx([k * turn + add for k in (1, 2) for add in lengths], abs=1e-4)


def test_time_zero_of_figure_8_is_the_new_clips_start(drawn):
    table = of(pd.read_csv(drawn / "figure8.csv"), series="ditto")
    assert of(table, feature="level_db")["x"].min() == pytest.approx(-2, abs=0.02)
    assert of(table, feature="intensity")["x"].min() == 0


def test_the_same_runs_give_the_same_bytes_and_settings_stay(drawn, runs, tmp_path):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30, "image.cmap": "jet"}):  # a user's own settings change nothing
        run(options("figures", runs, f"results={tmp_path}", "figures=[8]", "n=2"))
        assert matplotlib.rcParams["font.size"] == 30
    for name in ("figure8.png", "figure8.csv"):
        assert (tmp_path / "figures" / name).read_bytes() == (drawn / name).read_bytes()
    assert dict(matplotlib.rcParams) == before


def test_the_clip_shown_is_the_first_that_came_out(tmp_path):
    toy_run(tmp_path, "a", "intensity", clips=({"failed": "NaN"}, {}, {}))
    one = with_text_only(plain(tmp_path, "n=3"), "intensity", ["ditto"])[1]
    assert one.clip == "001_song_s1"
    assert one.control.target[0, 0] == pytest.approx(-16, abs=0.01)  # its own target, the second: a decrescendo
    toy_run(tmp_path, "b", "melody", clips=({"failed": "NaN"},))
    with pytest.raises(UserError, match="every clip of melody failed"):
        with_text_only(plain(tmp_path), "melody", ["ditto"])


def test_a_figure_without_runs_is_skipped_and_named(tmp_path, capsys):
    toy_run(tmp_path, "a", "loop_free")
    written = run(options("figures", tmp_path, "figures=[6,3]", "n=2"))
    assert [path.name for path in written] == ["figure6.png", "figure6.csv", "README.md"]
    said = capsys.readouterr().err.strip().splitlines()
    command = "python -m ditto.run +experiment=methods task=intensity method=ditto"
    assert said == [f"figure3 skipped: no finished run: {command}"]
    with pytest.raises(UserError, match="no figure was drawn"):
        run(options("figures", tmp_path, "figures=[4]", "n=2"))
    with pytest.raises(UserError, match=r"figures=\['99'\] are not there: choose "):
        run(options("figures", tmp_path, "figures=[99]"))


def test_the_index_says_what_where_from_and_keeps_notes(drawn, tmp_path):
    text = (drawn / "README.md").read_text()
    assert text.index("## Figure 3") < text.index("## Figure 9")
    assert "`python -m eval.figures figures=[3]` · [figure3.csv](figure3.csv)" in text
    assert "intensity text_only `intensity`; intensity ditto `intensity`; melody text_only" in text
    assert "clip: 000_song_s0; model: embedded; weights: w; device: a CPU; commit: abc." in text
    (tmp_path / "README.md").write_text("A note.\n<!-- figures:begin -->\nold\n<!-- figures:end -->\nAnother.\n")
    (tmp_path / "latents.png").touch()
    text = write_index(tmp_path, {"latents": {"shows": "Bands."}, "2": {"shows": "none"}}).read_text()
    assert text.startswith("A note.\n")
    assert text.endswith("Another.\n")
    assert "## Latents" in text
    assert "old" not in text
    assert "Figure 2" not in text
    assert provenance(pd.DataFrame({"value": [1.0]})) == []


def test_every_figure_of_the_configuration_can_be_made():
    for name, entry in plain(".")["drawn"].items():
        assert callable(build(entry["draw"], str(name)))
        assert entry["shows"]
