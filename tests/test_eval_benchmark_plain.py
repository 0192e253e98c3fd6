"""The plain reference is DITTO's own algorithm: the same loss, the same gradient, the same x_T after Adam."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from ditto.controls.intensity import Intensity
from ditto.method import Request
from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.optimization import Ditto
from ditto.sampling import DDIM
from ditto.schedules import SigmaSchedule
from ditto.types import ClipRequest, UserError
from eval.benchmark import plain


def request(spacing="trailing", dtype="float32", clips=1, model=None):
    model = model or Toy(dtype=dtype)
    asked = [ClipRequest(str(i), "a song", i, i) for i in range(clips)]
    sampler = DDIM(steps=5, guidance_scale=3.0, spacing=spacing)
    x_T = noise(range(clips), model.shape, dtype=model.latent_dtype)
    control = Intensity(smoothing_s=0.1).bind(model, asked)
    return Request(model, sampler, control, ["a song"] * clips, x_T, list(range(clips)), progress=False)


# From pure noise the first step divides by √ᾱ_T = 5e-5, and diffusers has ᾱ in float32.
@pytest.mark.parametrize(("spacing", "tolerance"), [("leading", 1e-5), ("trailing", 2e-3)])
def test_its_loss_and_gradient_are_dittos(spacing, tolerance):
    asked = request(spacing)
    x_T = asked.x_T.clone().requires_grad_()
    scheduler = plain.ddim(asked.model, 5, spacing)
    condition = plain.prompts_and_nothing(asked.model, asked.prompts)
    loss_B = plain.loss(asked.model, asked.control, condition, scheduler, 3.0, x_T)
    loss_B.sum().backward()

    mine = Ditto(steps=1, optimizer=partial(torch.optim.SGD, lr=1.0))(asked)
    gradient = asked.x_T - mine.x_T
    torch.testing.assert_close(loss_B.tolist(), mine.history.rows[0]["loss"], rtol=tolerance, atol=0)
    assert (x_T.grad - gradient).norm() <= 10 * tolerance * gradient.norm()
    assert gradient.norm() > 0.1


def test_it_takes_dittos_steps():
    asked = request("leading", dtype="float64", clips=2)
    theirs, ours = plain.Plain(steps=3)(asked), Ditto(steps=3)(asked)
    assert [row["loss"] for row in theirs.history.rows] == [
        pytest.approx(row["loss"], rel=1e-5) for row in ours.history.rows
    ]
    torch.testing.assert_close(theirs.x_T, ours.x_T, rtol=0, atol=1e-4)
    torch.testing.assert_close(theirs.wave_BN, ours.wave_BN, rtol=0, atol=1e-3)
    assert not torch.allclose(theirs.x_T, asked.x_T, atol=1e-2)


def test_no_prompt_is_weighed_as_dittos_guidance_weighs_it():
    """Another scale gives another clip, so the test above is about CFG too."""
    asked = request("leading")
    other = replace(asked, sampler=replace(asked.sampler, guidance_scale=1.5))
    first, second = (plain.Plain(steps=0)(one).x_0 for one in (asked, other))
    assert (first - second).abs().max() > 1e-3


def test_a_model_on_another_schedule_is_refused():
    model = Toy()
    model.schedule = SigmaSchedule(0.3, 80.0)
    with pytest.raises(UserError, match="cosine schedule"):
        plain.ddim(model, 5, "leading")


def test_it_stays_short():
    assert len(Path(plain.__file__).read_text().splitlines()) < 100
