"""What every control must do: one loss per clip, exact gradients, metrics, plots, and a task yaml that builds it."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from ditto.controls.base import Control
from ditto.sampling import DDIM
from tests.control_cases import CASES, bound, latents, requests, toy

TASKS = sorted((Path(__file__).parent.parent / "conf" / "task").glob("*.yaml"))
every_control = pytest.mark.parametrize("name", CASES)


@every_control
def test_binding_leaves_the_configured_control_alone(name):
    control = CASES[name]()
    control.bind(toy(), requests())
    assert not hasattr(control, "target")
    assert not hasattr(control, "model")


@every_control
def test_one_finite_loss_per_clip(name):
    control = bound(name)
    loss = control.loss(latents())
    assert loss.shape == (2,)
    assert torch.isfinite(loss).all()
    assert (loss > 0).all()


@every_control
def test_the_loss_is_that_of_features_and_target(name):
    control = bound(name)
    y_hat = control.features(latents())
    assert y_hat.shape == control.target.shape
    torch.testing.assert_close(control.distance(y_hat, control.target), control.loss(latents()))


@every_control
def test_the_metric_beside_the_loss_is_the_reported_one(name):
    """It comes of the same features, without a gradient, and the loss's gradient is none the different for it."""
    control, x_0 = bound(name), latents().requires_grad_()
    loss_B, metric_B = control.judge(x_0)
    assert not metric_B.requires_grad
    reported = control.metrics(x_0, control.model.wave(x_0))[control.metric]
    torch.testing.assert_close(metric_B, reported, rtol=1e-5, atol=1e-6)
    y_hat = control.features(x_0)
    gradients = [
        torch.autograd.grad(value.sum(), x_0)[0] for value in (loss_B, control.distance(y_hat, control.target))
    ]
    assert torch.equal(*gradients)


@every_control
def test_judging_decodes_once(name, monkeypatch):
    control, calls = bound(name), []
    vocode = type(control.model).vocode
    monkeypatch.setattr(type(control.model), "vocode", lambda *args: calls.append(args) or vocode(*args))
    control.judge(latents())
    assert len(calls) <= 1
    if control.parts()[0].metric in ("overlap_mse", "reconstruction_mse") and len(control.parts()) == 1:
        assert not calls, "nothing is heard where the loss is taken of x_0"


@pytest.mark.parametrize("name", [name for name in CASES if name != "melody"])
def test_no_loss_at_its_own_target(name):
    control = bound(name)
    control.target = control.features(latents())
    torch.testing.assert_close(control.loss(latents()), torch.zeros(2), atol=1e-5, rtol=0)


@every_control
def test_clips_are_independent(name):
    together, alone = bound(name), bound(name).select([1])
    torch.testing.assert_close(together.loss(latents())[1:], alone.loss(latents()[1:]), rtol=1e-5, atol=1e-6)
    x_0 = latents().requires_grad_()
    (gradient,) = torch.autograd.grad(together.loss(x_0)[0], x_0)
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0


@every_control
def test_metrics(name):
    control, x_0 = bound(name), latents().requires_grad_()
    metrics = control.metrics(x_0, control.model.wave(x_0))
    assert control.metric in metrics
    for value in metrics.values():
        assert value.shape == (2,)
        assert torch.isfinite(value).all()
        assert not value.requires_grad
    assert torch.is_grad_enabled()


@every_control
def test_finite_differences_through_the_chain(name):
    control, sampler = bound(name, "float64"), DDIM(steps=3, guidance_scale=2.0)
    condition = control.model.encode(["a calm song", "a loud one"])

    def loss(x_T):
        return control.loss(sampler(control.model, x_T, condition)).sum()

    x_T = latents(dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x_T), x_T)
    direction = latents(dtype=torch.float64, seed=1)
    step = 1e-5
    with torch.no_grad():
        slope = (loss(x_T + step * direction) - loss(x_T - step * direction)) / (2 * step)
    torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-4, atol=1e-9)


@every_control
def test_gradients_are_finite_at_silence(name):
    control = bound(name)
    x_0 = torch.full_like(latents(), -100.0).requires_grad_()
    control.loss(x_0).sum().backward()
    assert torch.isfinite(x_0.grad).all()


@every_control
def test_plots_on_given_axes(name):
    control, x_0 = bound(name), latents()
    for part in control.parts():
        axes = Figure().subplots()
        part.plot(axes, 1, x_0, control.model.wave(x_0))
        assert axes.lines or axes.images
        assert axes.get_xlabel()
        assert axes.get_ylabel()


@every_control
def test_works_on_longer_clips(name):
    longer = CASES[name]().bind(toy(), requests(), frames=96)
    assert torch.isfinite(longer.loss(torch.cat([latents(), latents(seed=2)[..., :32]], -1))).all()


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_task_yaml_builds_its_control(path):
    config = OmegaConf.create({"task": OmegaConf.load(path)})
    OmegaConf.resolve(config)
    assert config.task.name == path.stem
    assert config.task.steps in (40, 70, 150)
    assert isinstance(instantiate(config.task.control), Control)


def test_every_task_of_the_paper_has_a_yaml():
    assert {path.stem for path in TASKS} >= {
        *("outpainting", "inpainting", "looping", "loop_free", "intensity", "intensity_correlation", "melody"),
        *("structure", "structure_transfer", "inversion"),
        *("intensity_melody", "intensity_structure", "intensity_outpainting"),
    }
