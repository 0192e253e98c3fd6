"""Memory of a chain against its length, for every model: what each policy keeps is what it says, to the byte.

Chains run on small networks of every family; how much a latent is beside a call of the network at its true size is in
results/memory_policies.csv, counted by `python -m eval.memory`.
"""

from functools import cache

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.memory import GIB, Auto, Checkpoint, Host, Revolve, Store, saved_bytes
from ditto.models.embedded import random_weights
from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.run import CONF
from ditto.sampling import DDIM, DPMSolverPP2M
from eval.memory import COUNTED

EMBEDDED = {"patch": (16, 16), "channels": (32, 32), "attention": (False, True), "cross_width": 32, "norm_groups": 8}
PAPER = {"patch": (1, 1), "channels": (8, 8, 16, 32, 64), "attention": (False, False, False, True, True)}
SAMPLERS = {"stable_audio_open_random": DPMSolverPP2M}  # two latents a step: x_t and the last x̂_0
FAMILIES = ["musicldm_random", "audioldm2_music_random", "stable_audio_open_random"]
SHORT, LONG = 4, 10


def family(name):
    size = OmegaConf.to_container(OmegaConf.load(CONF / "models_support.yaml"), resolve=True)["models"][name]["config"]
    size["network"] |= {"sample_size": 32}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", [f"model={name}", "device=cpu", "precision=float32"])
    return build(OmegaConf.to_container(cfg.model, resolve=True) | {"config": size}, "model"), None


MODELS = {
    "toy": lambda: (Toy(), None),
    "embedded": lambda: (random_weights(EMBEDDED, precision="float32"), 64),
    "paper": lambda: (random_weights(PAPER | {"cross_width": 16, "norm_groups": 4}, precision="float32"), 16),
    **{name: lambda name=name: family(name) for name in FAMILIES},
}


@cache
def model(name):
    return MODELS[name]()


@cache
def kept(name, memory, steps):
    """Bytes kept at the end of a chain, and those of x_T."""
    made, frames = model(name)
    shape = made.shape_of(frames) if frames else made.shape
    x_T = noise([0], shape).requires_grad_()
    with saved_bytes() as meter:
        x_0 = SAMPLERS.get(name, DDIM)(steps, 2.0)(made, x_T, made.encode(["a song"]), memory=memory())
    del x_0
    return meter.bytes, x_T.nbytes


@pytest.mark.parametrize("name", MODELS)
def test_a_checkpointed_chain_grows_by_its_latents_alone(name):
    (short, latent), (long, _) = (kept(name, Checkpoint, steps) for steps in (SHORT, LONG))
    each = 2 * latent if name in SAMPLERS else latent
    assert (LONG - SHORT) * latent <= long - short <= (LONG - SHORT) * each
    assert kept(name, Host, SHORT) == (short, latent), "on a CPU, the same"


def three():
    return Revolve(3)


@pytest.mark.parametrize("name", MODELS)
def test_a_fixed_number_of_latents_does_not_grow(name):
    (short, latent), (long, _) = (kept(name, three, steps) for steps in (SHORT, LONG))
    assert short == long <= 3 * latent * (2 if name in SAMPLERS else 1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_auto_spends_its_budget_to_a_tenth(name, share):
    every, _ = kept(name, Store, SHORT)
    budget = share * every
    found, _ = kept(name, lambda: Auto(budget / GIB), SHORT)
    assert 0.9 * budget <= found <= budget


@pytest.fixture(scope="module")
def counted():
    table = pd.read_csv(CONF.parent / "results" / COUNTED)
    return table[table["metric"] == "growth"].groupby(["model", "memory"])["value"].first()


def test_flat_from_20_to_50_steps_at_the_true_sizes(counted):
    """Within 3 %: the large networks when checkpointed, every model with the latents elsewhere or a number of them."""
    for name in counted.index.get_level_values("model").unique():
        assert counted[name, "host"] == counted[name, "revolve"] == 0
    for name in ("paper", "paper, fused", "paper, 24 s", "musicldm", "audioldm2_music"):
        assert 0 < counted[name, "checkpoint"] < 0.03
    assert counted["embedded", "checkpoint"] > 0.2, "a latent is much beside so small a network"
