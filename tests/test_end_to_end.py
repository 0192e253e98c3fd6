"""The embedded model, from the command to metrics.json: DITTO lowers intensity MSE at least threefold in 30 steps."""

import json

import pytest

from ditto import runs
from ditto.models.embedded import DENOISER, PACKAGED
from ditto.run import main

COMMAND = ["model=embedded", "task=intensity", "task.steps=30", "seed=0", "progress=false", "pictures=false"]


@pytest.mark.skipif(not (PACKAGED / DENOISER).exists(), reason="weights are not trained yet")
@pytest.mark.parametrize(
    "options",
    [
        # A short chain without guidance: some 15 s of one core.
        pytest.param(["sampler.steps=6", "sampler.guidance_scale=1"], id="short"),
        pytest.param([], id="as_shipped", marks=pytest.mark.slow),
    ],
)
def test_ditto_lowers_intensity_mse_threefold(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND, *options]) == 0
    (path,) = runs.run_paths("runs")
    (clip,) = json.loads((path / "metrics.json").read_text()).values()
    (history,) = json.loads((path / "history.json").read_text()).values()
    assert len(history["loss"]) == 30
    assert clip["intensity_mse_text_only"] == pytest.approx(history["loss"][0], rel=0.05), "both start from one noise"
    assert 3 * clip["intensity_mse"] < clip["intensity_mse_text_only"]
