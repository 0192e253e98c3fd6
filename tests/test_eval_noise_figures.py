"""Figure 10 and the latent analysis: variances and tests worked by hand, features of known sounds, a drawn picture."""

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.run import CONF, main
from ditto.runs import run_paths
from ditto.types import UserError
from eval.figures import figure10, latents
from eval.figures.clip_features import RATE, SIZES, ClipFeatures, spectrogram, split
from eval.figures.shared_variance import Ratio, compare, holm, table, within

TOY = ["model=toy", "sampler.steps=4", "progress=false", "pictures=false", "memory=store"]


def options(folder, **values):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("figures", [f"runs={folder}/runs", f"results={folder}/results", "model_name=toy"])
    return {**OmegaConf.to_container(cfg, resolve=True), **values}


def test_variance_within_groups_by_hand():
    values = np.array([[[0.0, 1.0], [2.0, 1.0]], [[5.0, 0.0], [5.0, 4.0]]])  # [G, B, D]
    assert within(values).tolist() == [2.0, 8.0]


def test_ratio_of_means_over_paired_groups():
    free = np.array([1.0, 10.0, 100.0, 1.0, 10.0, 100.0, 3.0, 7.0])
    one = compare(free / 4, free)
    assert one.value == pytest.approx(0.25)
    assert (one.low, one.high) == (pytest.approx(0.25), pytest.approx(0.25))
    assert one.p == pytest.approx(2 / 2**8)  # eight differences of one sign
    assert compare(free, free).p == 1


def test_no_difference_is_not_significant():
    shared, free = np.exp(np.random.default_rng(1).normal(size=(2, 60)))
    one = compare(shared, free)
    assert one.low < 1 < one.high
    assert one.p > 0.05


@pytest.mark.parametrize("free", [np.zeros(8), np.full(8, np.nan), np.ones(3)])
def test_groups_that_cannot_be_compared(free):
    with pytest.raises(UserError, match=r"nothing to compare|6 or more"):
        compare(np.ones(len(free)), free)


def test_holm_by_hand():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


def test_rows_are_in_the_order_of_their_ratio():
    rows = table({"b": Ratio(0.9, 0.8, 1.0, 0.5, 8), "a": Ratio(0.2, 0.1, 0.3, 0.01, 8)})
    assert [row["feature"] for row in rows] == ["a", "b"]
    assert rows[0]["p_holm"] == pytest.approx(0.02)


def tone(hz=440.0, gain=0.1, seconds=5.94):
    return (gain * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def test_features_of_a_tone():
    quiet, loud, high = (ClipFeatures()(wave, RATE) for wave in (tone(), tone(gain=0.2), tone(hz=3520.0)))
    named = [dict(split(values)) for values in (quiet, loud, high)]
    assert sum(SIZES.values()) + spectrogram(quiet).size == quiet.shape[1]
    level = "loudness, dB"
    assert named[1][level] - named[0][level] == pytest.approx(20 * np.log10(2), abs=0.02)
    assert named[0]["chroma"][0].argmax() == 9  # A
    assert named[2]["spectral centroid, kHz"][0, 0] == pytest.approx(3.52, rel=0.05)
    assert named[0]["zero crossings, kHz"][0, 0] == pytest.approx(0.44, rel=0.05)
    with pytest.raises(UserError, match="at least"):
        ClipFeatures()(tone(seconds=3.0), RATE)


class Run:
    """What figure 10 asks of a finished run."""

    path, provenance = type("P", (), {"name": "aaaa"}), {"model": "toy"}


def test_figure_10_finds_the_feature_that_the_noise_decides(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    free = generator.normal(size=(12, 4, ClipFeatures.dimension))
    shared = generator.normal(size=(12, 4, ClipFeatures.dimension))
    shared[..., 0] *= 0.1  # loudness
    values = iter([shared, free])
    monkeypatch.setattr(figure10, "_runs", lambda *_: [Run, Run])
    monkeypatch.setattr(figure10, "_values", lambda *_: next(values))
    picture, numbers = figure10.draw(
        options(tmp_path), tmp_path / "figure10.png", experiment="paper_figure10", task="intensity", clips=48, group=4
    )
    assert picture.stat().st_size > 10_000
    rows = pd.read_csv(numbers)
    first = rows.iloc[0]
    assert (first["feature"], first["groups"], first["n"]) == ("loudness, dB", 12, 48)
    assert first["ratio"] < 0.03
    assert first["p_holm"] < 0.01
    others = rows[(rows["panel"] == "feature")].iloc[1:]
    assert ((others["ratio"] > 0.5) & (others["p_holm"] > 0.01)).all()
    bands = rows[rows["panel"] == "band"]
    assert len(bands) == len(figure10.EDGES) - 1
    assert bands["ratio"].between(0.8, 1.25).all()


def test_figure_10_names_the_command_that_is_missing(tmp_path):
    with pytest.raises(
        UserError, match=r"ditto.run -m \+experiment=paper_figure10 task=intensity method=shared_noise,text_only"
    ):
        figure10.draw(options(tmp_path), tmp_path / "f.png", "paper_figure10", "intensity", clips=600, group=10)


def test_latents_of_a_run_of_the_toy_model(tmp_path):
    clips = ["prompt=[a calm song, a fast song]", f"runs_dir={tmp_path}/runs"]
    assert main([*TOY, *clips, "task.steps=20", "method.optimizer.lr=0.1"]) == 0
    (run,) = run_paths(tmp_path / "runs")
    banded = [*TOY, *clips, "text_only_beside=false", "method=low_band", f"method.run={run}"]
    assert main(["-m", *[o.replace("[a calm song, a fast song]", "['a calm song','a fast song']") for o in banded],
                 "method.cutoff=0,0.5,1"]) == 0  # fmt: skip
    picture, numbers = latents.draw(options(tmp_path), tmp_path / "latents.png", tasks=["intensity"])
    assert picture.stat().st_size > 10_000
    rows = pd.read_csv(numbers)
    error = rows[rows["panel"] == "error"].set_index("cutoff")["value"]
    history = pd.read_json(run / "metrics.json", orient="index")
    assert error[1.0] == pytest.approx((history["loss"] / history["loss_text_only"]).mean(), rel=1e-3)
    assert error[1.0] < error[0.0]
    change = rows[rows["panel"] == "change"]
    assert 5 <= len(change) < len(latents.EDGES)  # the toy's latents have no coefficient in the narrowest bands
    assert (change["value"] >= 0).all()
    assert change["value"].max() > 0


def test_latents_name_the_command_that_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"\+experiment=latents task=melody"):
        latents.draw(options(tmp_path), tmp_path / "l.png", tasks=["melody"])
