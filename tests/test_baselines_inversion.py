"""Added noise, DDIM inversion, null-text inversion and DITTO from an inversion, on the toy model."""

from dataclasses import replace

import pytest
import torch

from baselines.added_noise import AddedNoise
from baselines.ddim_inversion import DDIMInversion, invert
from baselines.from_inversion import FromInversion
from baselines.null_text import NullText
from ditto.controls.inversion import Inversion
from ditto.method import Request
from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.optimization import Ditto
from ditto.sampling import DDIM, DDPM, DPMSolverPP2M
from ditto.types import UndefinedTask, UserError
from tests.control_cases import FRAMES, bound, recordings, requests, toy

PROMPTS = ["a calm song", "a fast song"]
SEEDS = [0, 1]


@pytest.fixture(scope="module")
def control():
    return bound("inversion")


def run(method, control, w=1.0, prompts=PROMPTS, seeds=SEEDS, sampler=None, **options):
    """The method's generation; leading, as a chain from ᾱ_T = 0 has a first step without an inverse."""
    sampler = sampler or DDIM(guidance_scale=w, **{"steps": 10, **options})
    model = control.model
    x_T = noise(seeds, (*model.shape[:2], control.clip.frames), dtype=model.latent_dtype)
    return method(Request(model, sampler, control, prompts, x_T, seeds, progress=False))


def errors(method, control, w=1.0, **options):
    return control.loss(run(method, control, w, **options).x_0)


def test_inversion_reconstructs_better_with_more_steps_and_much_better_than_added_noise(control):
    noised = errors(AddedNoise(), control)
    few, many = errors(DDIMInversion(), control, steps=5), errors(DDIMInversion(), control, steps=40)
    assert (many < 0.5 * few).all()
    assert (few < 0.2 * noised).all()


def test_refinements_come_to_the_exact_inverse():
    """In float64, so that what is left is the method's error; with guidance and steps without it too."""
    model, control = toy("float64"), bound("inversion", "float64")
    sampler = DDIM(steps=10, guidance_scale=2.0, guidance_interval=(0.0, 0.6))
    c, x_0 = model.encode(PROMPTS), control.target

    def missed(refinements):
        x_T = invert(model, sampler, x_0, c, guidance_scale=2.0, refinements=refinements)
        return float((sampler(model, x_T, c) - x_0).square().mean())

    plain, once, often = missed(0), missed(1), missed(60)
    assert once < 0.5 * plain
    assert often < 1e-16


def test_the_chain_of_trailing_spacing_is_finite(control):
    """ᾱ_T = 2e-9 there."""
    generation = run(DDIMInversion(refinements=2), control, spacing="trailing")
    assert generation.x_T.isfinite().all()
    assert (control.loss(generation.x_0) < errors(AddedNoise(), control, spacing="trailing")).all()


@pytest.mark.parametrize("w", [0.0, 4.0])
def test_null_text_lowers_the_error_of_guided_sampling(control, w):
    plain = errors(DDIMInversion(), control, w)
    assert (errors(NullText(rate=0.1), control, w) < 0.8 * plain).all()
    torch.testing.assert_close(errors(NullText(inner_steps=0), control, w), plain)


def test_null_text_without_guidance_is_ddim_inversion(control):
    assert torch.equal(run(NullText(), control).x_0, run(DDIMInversion(), control).x_0)
    partly = {"w": 4.0, "guidance_interval": (0.5, 0.5)}
    assert torch.equal(run(NullText(), control, **partly).x_0, run(DDIMInversion(), control, **partly).x_0)


def test_null_text_counts_its_calls_and_stops_where_the_error_is_small(control):
    history = run(NullText(inner_steps=3, threshold=0.0, threshold_growth=0.0), control, 4.0, steps=4).history
    assert history.model_calls == 4 + 4 * (1 + 3 + 1)  # the inversion, then ε(c), three fits and the step
    assert len(history.rows) == 12
    assert [row["step"] for row in history.rows] == list(range(12))
    first = [history.rows[k]["loss"] for k in (0, 2)]
    assert all(after < before for before, after in zip(*first, strict=True))
    early = run(NullText(inner_steps=3, threshold=1e9), control, 4.0, steps=4).history
    assert early.model_calls == 4 + 4 * (1 + 1 + 1)


def test_a_clip_that_stops_early_keeps_its_null(control):
    """The threshold lies between the two clips' first errors: one stops at once, the other goes on."""
    options = {"inner_steps": 3, "rate": 0.1, "threshold_growth": 0.0}
    first = run(NullText(threshold=0.0, **options), control, 4.0, steps=1).history.rows[0]["loss"]
    low, high = (first.index(value) for value in sorted(first))
    history = run(NullText(threshold=sum(first) / 2, **options), control, 4.0, steps=1).history
    losses = [row["loss"] for row in history.rows]
    assert losses[0][low] == losses[1][low]
    assert losses[0][high] > losses[1][high]


def test_rate_and_threshold_at_the_published_length():
    method = NullText()
    assert method.rate_at(10, 50) == pytest.approx(1e-2 * (1 - 10 / 100))
    assert method.threshold_at(10, 50) == pytest.approx(1e-5 + 10 * 2e-5)
    assert method.threshold_at(4, 20) == pytest.approx(method.threshold_at(10, 50))


def test_null_text_leaves_masks_and_whole_numbers_alone(control):
    model = _Masked(frames=FRAMES)
    run(NullText(rate=0.1), Inversion(recordings()).bind(model, requests()), 4.0, steps=3)
    assert model.seen == {"mask_BL": {1.0}, "count": {3}}


class _Masked(Toy):
    """A toy whose conditions also hold a mask and a whole number; remembers the values it is called with."""

    def encode(self, prompts):
        self.seen = {"mask_BL": set[float](), "count": set[float]()}  # run encodes before it samples
        condition = super().encode(prompts)
        rows = len(prompts)
        condition.tensors.update(mask_BL=torch.ones(rows, 1), count=torch.full((rows,), 3))
        return condition

    def denoise(self, x_t, t, condition):
        for name, values in self.seen.items():
            values |= set(condition.tensors[name].flatten().tolist())
        gate = condition.tensors["mask_BL"].view(-1, 1, 1, 1)
        return super().denoise(x_t, t, condition) * gate


@pytest.mark.parametrize("w", [0.0, 1.0, 4.0])
def test_ditto_goes_on_from_the_inversion(control, w):
    method = FromInversion(Ditto(steps=4))
    generation = run(method, control, w, steps=5)
    losses = torch.tensor([row["loss"] for row in generation.history.rows])
    torch.testing.assert_close(losses[0], errors(DDIMInversion(), control, w, steps=5))
    assert (losses[0] < torch.tensor(run(Ditto(steps=1), control, w, steps=5).history.rows[0]["loss"])).all()
    assert (control.loss(generation.x_0) < losses[0]).all()
    assert generation.history.model_calls == 5 + run(Ditto(steps=4), control, w, steps=5).history.model_calls


METHODS = [
    AddedNoise(), AddedNoise(0.5), DDIMInversion(2.0, 1), NullText(inner_steps=4, rate=0.1, threshold=2e-4),
    FromInversion(Ditto(steps=2)),
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_a_clip_does_not_depend_on_its_batch_mates(control, method):
    together = run(method, control, 4.0, steps=4)
    for i in range(2):
        alone = run(method, control.select([i]), 4.0, PROMPTS[i : i + 1], SEEDS[i : i + 1], steps=4)
        torch.testing.assert_close(together.x_0[i : i + 1], alone.x_0, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_longer_clips_without_the_prompt(control, method):
    """24 s of a 6 s model: only x_T is longer. w = 0 is the null prompt alone."""
    longer = Inversion(recordings()).bind(control.model, requests(), 80)
    generation = run(method, longer, 0.0, steps=3)
    assert generation.x_0.shape[-1] == 80
    assert generation.wave_BN.shape[-1] == 80 * 256
    other = run(method, longer, 0.0, prompts=["x", "y"], steps=3)
    if type(method) is AddedNoise:
        assert torch.equal(generation.x_0, other.x_0)


def test_strength_is_the_share_of_the_chain_that_is_run(control):
    assert run(AddedNoise(0.3), control).history.model_calls == 3
    assert run(AddedNoise(0.01), control).history.model_calls == 1
    assert (errors(AddedNoise(0.3), control) < 0.5 * errors(AddedNoise(), control)).all()
    stochastic = run(AddedNoise(0.5), control, sampler=DDPM(steps=6))
    assert stochastic.x_0.isfinite().all()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_only_inversion_gives_a_whole_recording(method):
    with pytest.raises(UndefinedTask, match=r"is not defined for melody: choose task=inversion"):
        run(method, bound("melody"))


@pytest.mark.parametrize("method", METHODS[2:], ids=lambda method: type(method).__name__)
def test_noise_of_its_own_cannot_be_inverted(control, method):
    for sampler in (DDPM(steps=3), DDIM(steps=3, eta=0.5)):
        with pytest.raises(UserError, match=r"deterministic sampler: choose sampler=ddim sampler\.eta=0"):
            run(method, control, sampler=sampler)


def test_multistep_samplers(control):
    multistep = DPMSolverPP2M(steps=10)
    assert (errors(DDIMInversion(), control, sampler=multistep) < errors(AddedNoise(), control)).all()
    guided = replace(multistep, guidance_scale=4.0)
    fitted = errors(NullText(rate=0.1), control, sampler=guided)
    assert (fitted < errors(DDIMInversion(), control, sampler=guided)).all()
    with pytest.raises(UserError, match="choose sampler=ddim or ddpm"):
        run(AddedNoise(0.5), control, sampler=multistep)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AddedNoise(0.0), "strength=0"),
        (lambda: AddedNoise(1.2), r"strength=1\.2"),
        (lambda: DDIMInversion(refinements=-1), "refinements=-1"),
        (lambda: NullText(inner_steps=-1), "must not be negative"),
        (lambda: NullText(rate=0.0), "rate is above 0"),
        (lambda: FromInversion(Ditto(), refinements=-2), "refinements=-2"),
    ],
)
def test_options_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
