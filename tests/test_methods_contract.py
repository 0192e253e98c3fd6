"""What every method must do with every task, on the toy model: a finite result with its cost, or one clear line.

Everything in conf/method and conf/task is covered, whatever is added there; clips are 48 frames (0.56 s), chains short.
In float64: Adam turns the sign of a gradient near 0, which is rounding, into a whole step.
"""

import copy
import math
import re
from functools import cache

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from ditto.build import build
from ditto.method import Request
from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.run import CONF
from ditto.types import ClipRequest, UndefinedTask, UserError
from tests.control_cases import recordings, tune

METHODS = sorted(path.stem for path in (CONF / "method").glob("*.yaml"))
TASKS = sorted(path.stem for path in (CONF / "task").glob("*.yaml"))
PROMPTS = ["a calm song", "a loud one"]
# Durations that fit the short clip, and recordings of it, wherever a control has such an option.
SHORT = {"overlap_s": 0.2, "gap_s": 0.3, "smoothing_s": 0.1, "n_mfcc": 8, "from_s": 0.0}
# Fewer repetitions, wherever a method has such an option.
FEW = {"steps": 2, "inner_steps": 2, "repeats": 2, "window_frames": 32, "samples": 2}
# What the toy model cannot have: trained weights, or a run to start from.
NEEDS = {"controlnet": "weights", "controlnet_tuned": "weights", "readout": "(weights|heads)"}
SAMPLERS = {"reuse": "ddpm", "reuse_freedom": "ddpm"}  # the others: ddim


@cache
def model():
    return Toy(frames=48, width=4, dtype="float64")


@cache
def composed(method):
    """The command's options of a method, on the toy model."""
    sampler = SAMPLERS.get(method, "ddim")
    overrides = [f"method={method}", f"sampler={sampler}", "model=toy", "sampler.steps=3", "memory=checkpoint"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("run", overrides)


def short(value, name=""):
    """A configuration with SHORT and FEW in place, and the tests' recordings for the shipped ones."""
    if isinstance(value, dict):
        return {key: short(item, key) for key, item in value.items()}
    if name == "reference":
        return recordings()
    if name == "melody" and isinstance(value, str):
        return tune()
    return {**SHORT, **FEW}.get(name, value) if value is not None else None


@cache
def control(task):
    """The task's control, bound to two clips."""
    config = OmegaConf.create({"task": OmegaConf.load(CONF / "task" / f"{task}.yaml")})
    OmegaConf.resolve(config)
    clips = [ClipRequest(f"clip{i}", prompt, seed=i, index=i) for i, prompt in enumerate(PROMPTS)]
    return build(short(OmegaConf.to_container(config.task.control)), "task.control").bind(model(), clips)


def parts(method, task):
    """(method, sampler) as the command would build them for this task."""
    config = copy.deepcopy(composed(method))
    with open_dict(config):
        config.task = OmegaConf.load(CONF / "task" / f"{task}.yaml")
        del config.names
    options = OmegaConf.to_container(config, resolve=True)
    return build(short(options["method"]), "method"), build(options["sampler"], "sampler")


def generate(method, task, positions=(0, 1)):
    made, sampler = parts(method, task)
    bound = control(task) if len(positions) == 2 else control(task).select(list(positions))
    x_T = noise(list(positions), model().shape, dtype=torch.float64)
    prompts = [PROMPTS[i] for i in positions]
    told: list = []
    result = made(Request(model(), sampler, bound, prompts, x_T, list(positions), progress=False, observe=told.append))
    assert told == result.history.rows, "every row is told to whoever observes, as it is written"
    return result


@cache
def outcome(method, task):
    """The generation, or the UserError that refuses it."""
    torch.manual_seed(0)
    try:
        return generate(method, task)
    except UserError as error:
        return error


every_pair = pytest.mark.parametrize(("method", "task"), [(m, t) for m in METHODS for t in TASKS])


@every_pair
def test_a_finite_result_or_one_clear_line(method, task):
    made = outcome(method, task)
    if isinstance(made, UserError):
        assert "\n" not in str(made)
        if isinstance(made, UndefinedTask):
            assert "choose task=" in str(made)
        else:
            assert method in NEEDS, f"{method} refuses {task}: {made}"
            assert re.search(NEEDS[method], str(made))
        return
    assert made.x_T.shape[0] == made.x_0.shape[0] == len(made.wave_BN) == 2
    for tensor in (made.x_T, made.x_0, made.wave_BN):
        assert tensor.isfinite().all()
        assert not tensor.requires_grad
    history = made.history
    assert history.model_calls > 0
    assert len(history.stopped) == 2
    for row in history.rows:
        assert len(row["loss"]) == 2
        assert all(map(math.isfinite, row["loss"]))
        assert all(map(math.isfinite, row.get("metric", [0.0, 0.0])))
        assert row["seconds"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_defined_somewhere_or_waiting_for_weights(method):
    made = [outcome(method, task) for task in TASKS]
    assert method in NEEDS or any(not isinstance(one, UserError) for one in made)


@pytest.mark.parametrize("method", METHODS)
def test_a_clip_alone_is_the_clip_in_the_batch(method):
    """On the first task that the method does, and on one of every kind where it does many."""
    done = [task for task in TASKS if not isinstance(outcome(method, task), UserError)]
    for task in [task for task in done if task in ("intensity", "outpainting", "inversion")] or done[:1]:
        alone, together = generate(method, task, (1,)), outcome(method, task)
        torch.testing.assert_close(alone.x_0[0], together.x_0[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_global_random_state_decides_nothing(method):
    done = [task for task in TASKS if not isinstance(outcome(method, task), UserError)]
    if done:
        torch.manual_seed(1)
        assert torch.equal(generate(method, done[0]).x_0, outcome(method, done[0]).x_0)


def test_the_table_of_all_methods_knows_what_is_defined():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = OmegaConf.to_container(compose("methods"), resolve=True)
    stopped = ("ditto_stop", "doodl_stop")  # defined everywhere; of the table where there is a threshold
    for method in [name for name in options["methods"] if name in METHODS and name not in stopped]:
        for task in options["tasks"]:
            listed = task in options["defined"].get(method, [task])
            assert listed == (not isinstance(outcome(method, task), UndefinedTask)), f"{method} on {task}"
