"""The quality command on the toy model and made-up music: sets, resuming, rows and the picture; Griffin-Lim.

And on two tiny models with weights in folders, before and after.
"""

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hydra import compose, initialize_config_dir

from ditto.audio.mel import LogMel
from ditto.data.labels import Piece, to_csv
from ditto.models.embedded import save
from ditto.run import CONF
from ditto.training.griffin_lim import griffin_lim
from ditto.training.quality import __main__ as quality
from ditto.training.quality import measure
from ditto.training.quality.goals import goal_lines
from ditto.training.quality.prompted import band_prompted, prompted
from ditto.training.quality.studio import Studio
from ditto.training.quality.table import merged
from ditto.training.vocoding import stft_distance
from ditto.types import UserError
from eval import tags
from eval.embedders.musicnn import Musicnn
from eval.fad import Statistics
from eval.real import load_excerpts
from eval.recognition import judge as judges
from eval.recognition import tempo
from eval.sets import row
from eval.text import heard
from tests.test_embedded import NETWORK, VOCODER, small

GENRES = ("jazz", "pop")


def tone(hz, seconds, rate=22_050):
    t = np.arange(int(seconds * rate)) / rate
    return (0.2 * np.sin(2 * np.pi * hz * t) + 0.1 * np.sin(4 * np.pi * hz * t)).astype(np.float32)


def test_griffin_lim_rebuilds_a_tone():
    wave = torch.from_numpy(tone(440, 1.0))[: 86 * 256][None]
    mel = LogMel()
    made = griffin_lim(mel(wave), mel)
    assert made.shape == wave.shape
    noise = 0.1 * torch.randn(wave.shape, generator=torch.Generator().manual_seed(0))
    assert stft_distance(made, wave) < 0.5 * stft_distance(noise, wave)
    assert (mel(made) - mel(wave)).exp().mean() < 2


def piece_of(k, seconds, split="test"):
    blank = dict.fromkeys(("mood", "key", "mode", "groove"), "") | {
        "bpm": 90,
        "lead": "flute",
        "instruments": ("piano",),
    }
    name, genre = f"{split}{k}", GENRES[k % 2]
    captions = (f"A {genre} calm song at 90 beats per minute", f"{genre} with flute and piano")
    about = {"piece_id": name, "split": split, "file": f"audio/{name}.flac", "seconds": seconds, "tune": f"tune{k % 8}"}
    return Piece(**blank, **about, genre=genre, captions=captions, groove_held_out=False)


def make_music(root, seconds):
    """Sixteen test pieces on eight tunes and six training pieces."""
    folder = root / "data/music"
    (folder / "audio").mkdir(parents=True)
    pieces = [piece_of(k, seconds) for k in range(16)] + [piece_of(k, seconds, "train") for k in range(6)]
    for k, one in enumerate(pieces):
        beats = np.random.default_rng(k).uniform(0.01, 1, int(seconds * 20) + 2).repeat(22_050 // 20)
        wave = tone(200 + 20 * k, seconds)
        soundfile.write(folder / one.file, wave * beats[: len(wave)], 22_050)
    (folder / "pieces.csv").write_text(to_csv(pieces))
    return root


@pytest.fixture
def music(tmp_path):
    return make_music(tmp_path, 1.6)


@pytest.fixture
def ears(monkeypatch):
    """musicnn, the judges and FAD, which needs many clips, are put aside."""

    def embed(_, clips):
        return [np.abs(np.fft.rfft(wave[:8000]))[:200][None].repeat(2, 0).astype(np.float32) for _, wave, _ in clips]

    rng = np.random.default_rng(0)
    monkeypatch.setattr(Musicnn, "embed", embed)
    judge = tags.fit(list(rng.normal(size=(8, 3, 200))), [GENRES[i % 2] for i in range(8)], 0.1)
    monkeypatch.setattr(tags, "load", lambda: judge)
    blank = judges.Scale(torch.zeros(heard.SIZE), torch.ones(heard.SIZE))
    linear = torch.eye(2, heard.SIZE), torch.zeros(2)
    about = {"n_train": "8", "hash": "abc"}
    ear = judges.Judge(blank, GENRES, *linear, ("pipe", "piano"), *linear, about)
    monkeypatch.setattr(judges, "load", lambda: ear)
    monkeypatch.setattr(heard, "hear", lambda wave, rate: np.resize(wave, heard.SIZE))
    monkeypatch.setattr(tempo, "estimate", lambda wave, rate: 91.0)
    monkeypatch.setattr(measure, "enough", lambda clips, statistics: True)
    monkeypatch.setattr(measure, "fad_rows", lambda clips, reference: [row("fad", float(len(clips)), len(clips))])


@pytest.fixture
def command(music, ears):
    """`command(*overrides)` runs the whole command on few clips."""
    return lambda *overrides: call(music, "model=toy", "model.frames=64", *overrides)


def call(root, *overrides):
    paths = [f"{name}={root}/{name}" for name in ("waves", "cache", "results")]
    few = ["n=4", "n_reference=4", "n_griffin_lim=2", "n_train=6", "n_band=3", "n_copies=2", "n_closest=2"]
    small_steps = ["batch_size=3", "steps=[2,3]", "sampler.steps=2"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return quality.run(compose("quality", [*few, *small_steps, *paths, f"data_root={root}/data", *overrides]))


def test_all_sets_are_measured(command, music):
    command("n_large=7")
    table = pd.read_csv(music / "results/model_quality.csv")
    made = {"generated", "band"}
    assert set(table["set"]) == made | {"real", "train", "vocoder", "griffin_lim", "copies", "no_text"}
    assert list(table[(table["set"] == "vocoder") & (table["metric"] == "fad")]["n"]) == [4, 2]
    assert list(table[(table["set"] == "griffin_lim") & (table["metric"] == "fad")]["n"]) == [2]
    for name in made:
        assert set(table[table["set"] == name]["T"]) == {2, 3}
    assert table[table["set"].isin(["real", "vocoder", "copies"])][["T", "guidance_scale"]].isna().all(axis=None)
    assert set(table[table["set"].isin(made)]["guidance_scale"]) == {3}
    generated = table[(table["set"] == "generated") & (table["T"] == 3)]
    assert list(generated[generated["metric"] == "fad"]["n"]) == [4, 7]
    assert list(generated[generated["metric"] == "tempo_within_8"]["n"]) == [4, 4]  # the other wording says no tempo
    wanted = {"tag_accuracy_shuffled", "family_accuracy", "tempo_within_8_octave_shuffled", "pair_distance", "vendi",
              "nearest_ratio", "nearest_below_1pc", "copy_mel_match", "seconds_per_clip"}  # fmt: skip
    assert wanted <= set(generated["metric"])
    assert generated["value"][generated["metric"] == "tempo_within_8"].tolist() == [1, 1]
    references = table.set_index("metric")["reference"]
    assert "4 test clips of other tunes" in references["fad"].iloc[0]
    assert "eval.recognition" in references["family_accuracy"].iloc[0]
    assert len(list((music / "waves").glob("*/closest/*_training.flac"))) == 4
    assert (music / "results/model_quality.png").stat().st_size > 5000


def test_resumes_and_keeps_samplers_apart(command, music):
    command()
    files = sorted((music / "waves").glob("*/generated/*.flac"))
    before = {file: file.read_bytes() for file in files}
    assert len(files) == 8
    files[0].unlink()
    kept = files[1].stat().st_mtime_ns
    rows = command()
    assert {file: file.read_bytes() for file in files[1:]} == {file: before[file] for file in files[1:]}
    made, _ = soundfile.read(files[0])
    first, _ = soundfile.read(io.BytesIO(before[files[0]]))
    np.testing.assert_allclose(made, first, atol=2 / 2**15)  # alone in its batch: the same to rounding
    assert files[1].stat().st_mtime_ns == kept
    assert not rows.duplicated(["set", "T", "metric", "n"]).any()
    command("sampler.guidance_scale=4")
    assert len(list((music / "waves").iterdir())) == 4  # another sampler is another folder


def test_a_quick_look_leaves_the_rest_out(command):
    rows = command("n_griffin_lim=0", "n_train=0", "n_band=0", "recognition=false", "steps=[2]")
    assert set(rows["set"]) == {"real", "vocoder", "generated", "no_text"}
    assert not rows["metric"].str.match("family|tempo|instrument|pair|nearest").any()


def test_a_copy_that_the_vocoder_leaves_alone_is_found(command, monkeypatch):
    monkeypatch.setattr(Studio, "vocoder_trip", lambda self, clips: self.real_waves([clip.excerpt for clip in clips]))
    rows = command("n_copies=6", "n_band=0", "steps=[2]")
    copies = rows[rows["set"] == "copies"].set_index("metric")["value"]
    assert copies["copies_found"] == copies["nearest_below_1pc"] == 1
    assert copies["copy_mel_match_mean"] > 0.99
    generated = rows[rows["set"] == "generated"].set_index("metric")["value"]
    assert generated["copy_mel_match"] < 0.9
    assert generated["nearest_below_1pc"] == 0


def test_too_few_clips_for_a_fad_have_no_row():
    statistics = Statistics.of([np.random.default_rng(0).normal(size=(300, 200))])
    with pytest.warns(UserWarning, match="no FAD of 8 clips"):
        assert not measure.enough([np.zeros((3, 200))] * 8, statistics)
    assert measure.enough([np.zeros((3, 200))] * 67, statistics)


def test_mistakes_are_one_line(command):
    for overrides, message in ((["n=99"], "lower n"), (["steps=[]"], "steps"), (["previous=here"], "model=embedded")):
        with pytest.raises(UserError, match=message):
            command(*overrides)


def test_more_clips_than_excerpts_take_other_wordings_and_seeds(music):
    excerpts = load_excerpts("test", 0.75, root=music / "data")[:3]
    clips = prompted(excerpts, 8, seed=5)
    assert [clip.wording for clip in clips] == [0, 0, 0, 1, 1, 1, 0, 0]
    assert [clip.seed for clip in clips] == list(range(5, 13))
    assert len({clip.name for clip in clips}) == 8
    assert prompted(excerpts, 3, seed=5) == clips[:3]
    assert {clip.asked.instruments for clip in band_prompted(excerpts, 9, 0)} == {frozenset({"pipe", "piano"})}


def saved(folder, scale):
    model = small()
    state = {name: value * scale for name, value in model.network.state_dict().items()}
    save(folder, {"network": NETWORK, "vocoder": VOCODER, "skip_scale": 0.25},
         state | {"mean_F": model.mean_F, "sigma": model.sigma}, model.vocoder)  # fmt: skip
    return folder


def test_before_and_after_are_in_one_table(tmp_path, ears):
    make_music(tmp_path, 6.2)
    old, new = saved(tmp_path / "old", 1.0), saved(tmp_path / "new", 0.9)
    few = ["n=2", "n_griffin_lim=0", "n_train=0", "n_band=0", "steps=[1]", "precision=float32"]
    rows = call(tmp_path, "model=embedded", f"model.weights={new}", f"previous={old}", *few)
    assert rows["weights"].nunique() == 2
    assert len(rows.groupby("weights")["metric"].agg(tuple).unique()) == 1  # the same rows of both
    again = call(tmp_path, "model=embedded", f"model.weights={new}", *few)
    table = pd.read_csv(tmp_path / "results/model_quality.csv", dtype={"weights": str})
    assert len(table) == len(rows)
    assert set(again["weights"]) < set(table["weights"])
    large = call(tmp_path, "model=embedded", f"model.weights={new}", f"previous={old}", *few, "n_large=3")
    counts = large[(large["set"] == "generated") & (large["metric"] == "fad")].groupby("weights")["n"].agg(list)
    assert sorted(counts) == [[2], [2, 3]]  # more of the new model alone
    with pytest.raises(UserError, match="same weights"):
        call(tmp_path, "model=embedded", f"model.weights={new}", f"previous={new}", *few)


def frame(weights, name, steps, value, metric="fad", n=500, prompts=None, scale=3.0):
    row = {"weights": weights, "set": name, "T": steps, "prompts": prompts, "metric": metric, "value": value, "n": n}
    return pd.DataFrame([row | {"guidance_scale": None if steps is None else scale}])


def test_merging_replaces_a_set_of_the_same_weights_and_t():
    old = pd.concat([frame("a", "generated", 20, 1.0), frame("a", "generated", 50, 2.0), frame("a", "real", None, 3.0)])
    new = pd.concat([frame("a", "generated", 20, 9.0), frame("b", "generated", 50, 8.0)])
    assert merged(old, new)["value"].tolist() == [2, 3, 9, 8]
    assert merged(old, frame("a", "real", None, 7.0))["value"].tolist() == [1, 2, 7]
    for missing in ("T", "guidance_scale"):
        before = pd.concat([frame("a", "generated", 0, 1.0), frame("c", "generated", 0, 2.0)]).drop(columns=missing)
        assert merged(before, new)["value"].tolist() == [2, 9, 8]


def test_merging_keeps_the_sets_of_other_guidance():
    old, same = frame("a", "generated", 20, 1.0), frame("a", "generated", 20, 2.0)
    other = frame("a", "generated", 20, 3.0, scale=5.0)
    assert merged(old, pd.concat([same, other]))["value"].tolist() == [2, 3]
    assert merged(old, other)["value"].tolist() == [1, 3]


def test_goals_are_read_from_the_rows():
    fad = [frame("a", "vocoder", None, 10.0), frame("a", "generated", 20, 19.9), frame("a", "generated", 50, 20.1)]
    share = [frame("a", "generated", steps, value, "family_accuracy") for steps, value in ((20, 0.81), (50, 0.8))]
    lines = goal_lines(pd.concat([*fad, *share]))
    assert [line.endswith(": reached") for line in lines] == [True, True, False, False]
    assert "not measured" in goal_lines(pd.concat(fad[1:]))[0]
    stronger = pd.concat([*fad, frame("a", "generated", 20, 30.0, scale=5.0)])
    assert [line[:13] for line in goal_lines(stronger)[::2]] == ["T = 20, w = 3", "T = 20, w = 5", "T = 50, w = 3"]
    assert "ratio 3.00" in goal_lines(stronger)[2]
    more = pd.concat([frame("a", "generated", 20, 5.0, n=2500), *fad])
    assert "ratio 1.99" in goal_lines(more)[0]  # equal n
    shuffled = [frame("a", "generated", 20, v, "family_accuracy_shuffled", n) for v, n in ((0.3, 2500), (0.1, 500))]
    assert "shuffled 10%" in goal_lines(pd.concat([*shuffled, *fad, *share]))[1]


def test_merging_keeps_the_set_of_other_prompts():
    small, large, again = (
        frame("a", "generated", 20, value, prompts=prompts) for value, prompts in ((1.0, 122), (2.0, 612), (3.0, 122))
    )
    assert merged(pd.concat([small, large]), again)["value"].tolist() == [2, 3]
