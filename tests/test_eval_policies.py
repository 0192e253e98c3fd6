"""What the policies need is counted: the formulas are held to whole chains, gone through on shapes."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.memory import GIB, Auto, Checkpoint, Revolve, Store
from ditto.models.embedded import random_weights
from ditto.run import CONF
from ditto.sampling import DDIM
from eval import memory, policies
from eval.efficiency.live import LiveTensors
from eval.models.shapes import shapes_only, without_values

UNET = {"patch": (16, 16), "channels": (32, 32), "attention": (False, True), "cross_width": 32, "norm_groups": 8}
FRAMES, LATENTS, SHARE = 512, 3, 0.4  # of a stored chain: auto's budget


@pytest.fixture(scope="module")
def model():
    return random_weights(UNET, precision="float32")


@pytest.fixture(scope="module")
def size(model):
    sampler = {"_target_": "ditto.sampling.DDIM", "steps": 4, "guidance_scale": 2.0}
    return policies.sizes(SimpleNamespace(model=model, options={"frames": FRAMES, "sampler": sampler}))


def whole_chain(model, memory, steps):
    """Bytes there at the end of the chain, beside x_T and x_0, and the most of forward and backward."""
    ghost = without_values(model)
    c, null = (model.encode([text]).to("meta") for text in ("a song", ""))
    with shapes_only(fused=True), LiveTensors() as live:
        x_T = torch.zeros(1, *model.shape_of(FRAMES), device="meta").requires_grad_()
        x_0 = DDIM(steps, 2.0)(ghost, x_T, c, null=null, memory=memory)
        kept = live.now - x_T.nbytes - x_0.nbytes
        torch.autograd.grad(ghost.wave(x_0).square().sum(), x_T)
        return kept, live.peak


@pytest.mark.parametrize("steps", [4, 9])
@pytest.mark.parametrize("name", ["store", "checkpoint", "revolve", "auto"])
def test_the_formulas_are_those_of_whole_chains(model, size, name, steps):
    budget = SHARE * steps * size.call
    of = {
        "store": (Store(), policies.Policy("store")),
        "checkpoint": (Checkpoint(), policies.Policy("checkpoint")),
        "revolve": (Revolve(LATENTS), policies.Policy("revolve", latents=LATENTS)),
        "auto": (Auto(budget / GIB), policies.Policy("auto", budget=budget)),
    }
    policy, counted = of[name]
    kept, peak = whole_chain(model, policy, steps)
    assert kept == pytest.approx(counted.kept(size, steps), rel=0.1, abs=1.5 * size.latent)
    assert peak == pytest.approx(counted.peak(size, steps), rel=0.1)


def test_checkpointing_holds_one_call_and_the_latents(model, size):
    """At most 1.1 times one network call, and T + 1 latents; the fixed number of latents is flat."""
    call, latent = size.call, size.latent
    held = policies.Policy("checkpoint").kept(size, 20) + call
    assert held <= 1.1 * call + 21 * latent
    assert policies.growth(policies.Policy("checkpoint"), size) == pytest.approx(30 * latent / held)
    assert policies.growth(policies.Policy("revolve", latents=10), size) == 0
    assert policies.growth(policies.Policy("host", latents=0), size) == 0
    kept = {steps: whole_chain(model, Revolve(LATENTS), steps)[0] for steps in (4, 9)}
    assert kept[4] == kept[9]


def test_the_table_is_written_for_every_model_and_policy(tmp_path, monkeypatch, size):
    monkeypatch.setattr(policies, "sizes", lambda case: size)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("memory_policies", [f"results={tmp_path}", "progress=false"])
    options = OmegaConf.to_container(cfg, resolve=True)
    models = {one["model"] for one in options["counted"].values()}
    assert {
        "embedded",
        "paper_random",
        "musicldm_random",
        "audioldm2_music_random",
        "stable_audio_open_random",
    } == models
    options["counted"] = {"toy": {"model": "toy"}, "toy, long": {"model": "toy", "options": ["frames=64"]}}
    options["counted_precision"] = "float32"
    frame = memory.count(options)
    table = pd.read_csv(tmp_path / memory.COUNTED)
    assert len(table) == len(frame) == 2 * (6 + 5 * 2 * 4)
    assert set(table["memory"].dropna()) == {"store", "checkpoint", "host", "revolve", "auto, 4 GiB"}
    assert table.loc[table["model"] == "toy, long", "frames"].unique() == [64]


def test_a_long_clip_of_the_papers_network_fits_into_24_gib():
    """As the shipped table has it: on a GPU's attention, with the latents only kept."""
    table = pd.read_csv(CONF.parent / "results" / memory.COUNTED)
    chosen = table[(table["model"] == "paper, 24 s, fused") & (table["metric"] == "with_weights_gib")]
    needed = chosen.set_index(["memory", "sampler_steps"])["value"]
    for policy in ("checkpoint", "host", "revolve", "auto, 4 GiB"):
        assert needed[policy, 20] < 24
        assert needed[policy, 50] < 24
    assert needed["store", 20] > 24
