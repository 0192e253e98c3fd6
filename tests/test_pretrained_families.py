"""`model=diffusers`: the checkpoint says which adapter it needs."""

import importlib
import json

import pytest
from huggingface_hub import constants
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.models.pretrained import families
from ditto.run import CONF, main
from ditto.types import UserError
from tests import tiny_pipelines
from tests.hub_server import serve


def model_of(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", ["model=diffusers", "device=cpu", "precision=float32", *overrides])
    return build(OmegaConf.to_container(cfg.model, resolve=True), "model")


def test_the_index_chooses_the_adapter(tmp_path):
    from ditto.models.pretrained.musicldm import MusicLDM

    tiny_pipelines.musicldm().save_pretrained(tmp_path)
    model = model_of(f"model.checkpoint={tmp_path}")
    assert isinstance(model, MusicLDM)
    assert model.name == "diffusers"


@pytest.mark.parametrize("pipeline", families.LOADERS)
def test_every_family_has_a_loader_with_these_options(pipeline, tmp_path, monkeypatch):
    adapter = importlib.import_module(families.LOADERS[pipeline])
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    asked = {}
    monkeypatch.setattr(adapter, "load", lambda **options: asked.update(options))
    families.load(str(tmp_path), device="cpu", recompute=True, seconds=5.0)
    assert asked["checkpoint"] == str(tmp_path)
    assert (asked["recompute"], asked["seconds"], asked["name"]) == (True, 5.0, "diffusers")


@pytest.mark.parametrize("pipeline", ["StableDiffusionPipeline", None])
def test_another_family_is_one_line_that_names_what_is_supported(pipeline, tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    with pytest.raises(UserError, match=f"checkpoint of {pipeline} .*MusicLDMPipeline, .*StableAudioPipeline") as told:
        model_of(f"model.checkpoint={tmp_path}")
    assert "\n" not in str(told.value)


def test_without_a_checkpoint_the_option_is_named():
    with pytest.raises(UserError, match=r"no weights chosen: give model\.checkpoint=FOLDER"):
        model_of()


def test_a_folder_without_an_index_is_told(tmp_path):
    with pytest.raises(UserError, match=r"no model_index\.json; give a folder that a pipeline"):
        model_of(f"model.checkpoint={tmp_path}")


def test_a_hub_id_without_network_says_how_to_get_all_of_it():
    with pytest.raises(UserError, match=r"`hf download a/b --exclude '\*\.bin'"):
        model_of("model.checkpoint=a/b")


def test_the_first_use_is_one_command(tmp_path, monkeypatch, capsys):
    """From nothing to a controlled clip: the checkpoint is downloaded from a hub, which is one on this machine."""
    monkeypatch.chdir(tmp_path)
    tiny_pipelines.musicldm().save_pretrained(tmp_path / "tiny")
    few = ["task=intensity", "task.steps=1", "sampler.steps=2", "seconds=2", "device=cpu", "pictures=false"]
    command = ["model=musicldm", "model.checkpoint=somebody/tiny", "logger=none", "progress=false", *few]
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert main(command) == 2
    assert "hf download somebody/tiny --include" in capsys.readouterr().err
    with serve("somebody/tiny", tmp_path / "tiny") as (address, loaded):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        assert main(command) == 0
    assert "unet/diffusion_pytorch_model.safetensors" in loaded
    assert list((tmp_path / "runs").rglob("*.flac"))
