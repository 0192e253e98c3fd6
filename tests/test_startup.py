"""`python -m eval.startup`, and what a run no longer loads only to print or draw."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.errors import UserError
from ditto.job import metric_lines
from ditto.run import CONF
from eval.startup.command import run, table
from eval.startup.measure import Started, start
from eval.startup.stages import STAGES


def options(*overrides: str) -> dict:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("startup", ["model_name=toy", "sampler_steps=2", "rounds=1", "progress=false", *overrides])
    return OmegaConf.to_container(cfg, resolve=True)


def test_every_stage_is_timed_in_a_fresh_process(tmp_path: Path) -> None:
    page = tmp_path / "profile.md"
    frame = run(options(f"results={tmp_path}", f"page={page}", "clip=null"))
    assert frame.equals(frame[frame["model"] == "toy"])
    values = frame.set_index("metric")["value"]
    assert set(values.index) == {f"{name}{end}" for name in ("help", "loaded", *STAGES) for end in ("", "_cpu")}
    assert (values >= 0).all()
    assert values["loaded"] == pytest.approx(values["import"] + values["load"])
    assert values["import_cpu"] > 0.1  # PyTorch was not there before
    assert frame.set_index("metric").loc["help", "target"] == 3
    assert len(pd.read_csv(tmp_path / "startup.csv")) == len(frame)
    assert "from nothing to a model that is ready" in page.read_text()


def test_the_median_and_quartiles_of_several_rounds() -> None:
    about = {"device": "a", "threads": 1, "commit": "c", "weights": "w", "packages": {"torch": "2"}}
    about["network_dtype"] = "float32"
    rounds = [Started({"help": (seconds, 1.0)}, about) for seconds in (1.0, 9.0, 2.0)]
    row = table(rounds, options(), 0.0).iloc[0]
    assert (row["metric"], row["value"], row["low"], row["high"], row["n"]) == ("help", 2.0, 1.5, 5.5, 3)


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="rounds=0"):
        run(options("rounds=0"))
    with pytest.raises(UserError, match=r"failed: .*nowhere"):
        start({"_target_": "nowhere.Model"}, {"_target_": "ditto.sampling.DDIM"}, "a song", [])


def test_the_printed_means_need_no_pandas(tmp_path: Path) -> None:
    clips = {
        "a": {"loss": 1.0, "loss_text_only": 3.0, "stopped": None, "prompt": "a song"},
        "b": {"loss": 2.0, "loss_text_only": math.nan, "stopped": "threshold", "prompt": "a song"},
        "c": {"failed": "non-finite loss"},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(clips))
    (tmp_path / "status.json").write_text(json.dumps({"names": {"method": "ditto"}}))
    told = f"import sys, pathlib, ditto.job; ditto.job.metric_lines(pathlib.Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", f"{told}; assert 'pandas' not in sys.modules"], check=True)
    lines = [line.split() for line in metric_lines(tmp_path)]
    assert lines == [["mean", "of", "2", "clips", "text_only", "ditto"], ["loss", "3", "1.5"]]


@pytest.mark.slow
def test_start_up_is_near_its_targets(tmp_path: Path) -> None:
    """Processor seconds, with room for a busy machine."""
    frame = run(options("model_name=embedded", "sampler_steps=20", f"results={tmp_path}", "page=null", "clip=null"))
    spent = frame.set_index("metric")["value"]
    assert spent["help_cpu"] < 3
    assert spent["loaded_cpu"] < 10
    assert spent["sample_cpu"] < 5
