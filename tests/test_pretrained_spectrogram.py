"""What the AudioLDM family shares: a latent chain whose gradient is exact through VAE and vocoder, on tiny networks."""

import librosa
import numpy as np
import pytest
import torch

from ditto.controls.intensity import Intensity
from ditto.memory import Auto, Checkpoint, Store, saved_bytes
from ditto.method import Request
from ditto.models.pretrained.musicldm import MusicLDM
from ditto.models.pretrained.random_parts import read_size, seeded, size_hash
from ditto.models.pretrained.random_prompts import RandomPrompts
from ditto.noise import noise
from ditto.optimization import Ditto
from ditto.sampling import DDIM
from ditto.types import ClipRequest, UserError
from tests import tiny_pipelines as tiny
from tests.finite_differences import directional_check

SEEDS = [0, 1]
PROMPTS = ["a calm song", "fast rock"]


def small(precision: str = "float32", width: int = 8, **options) -> MusicLDM:
    parts = tiny.film_unet(width), tiny.vae(), tiny.hifigan(), RandomPrompts({"text_BD": [tiny.TEXT]}, unit=True)
    decoder = "float64" if precision == "float64" else "float32"
    options = {"precision": precision, "decoder_precision": decoder} | options
    return MusicLDM(*parts, tiny.ddim().config, name="tiny", weights_hash="0" * 16, **options)


@pytest.fixture(scope="module")
def model() -> MusicLDM:
    return small()


def chain(model, memory, steps=4):
    """Something of the sound and of the latent, per clip."""
    condition = model.encode(PROMPTS)

    def loss(x_T):
        x_0 = DDIM(steps, 2.0)(model, x_T, condition, memory=memory)
        loudness = model.wave(x_0).view(len(x_T), -1, model.clip.hop).square().mean(-1).log()
        return (loudness + 3).square().mean(1) + (x_0 - 0.5).square().mean((1, 2, 3))

    return loss


def gradient(model, memory):
    x_T = noise(SEEDS, model.shape).requires_grad_()
    chain(model, memory)(x_T).sum().backward()
    return x_T.grad


def test_the_grids_follow_from_the_networks(model) -> None:
    clip = model.clip
    assert (clip.sample_rate, clip.hop, clip.stride, clip.mel_bins) == (16000, 160, 4, tiny.MEL_BINS)
    assert (clip.frames, model.shape) == (4 * tiny.COLUMNS, (tiny.LATENTS, tiny.MEL_BINS // 4, tiny.COLUMNS))
    x_0 = noise(SEEDS, model.shape)
    assert model.decode(x_0).shape == (2, tiny.MEL_BINS, clip.frames)
    assert model.wave(x_0).shape == (2, clip.samples)
    assert model.vocoder(model.decode(x_0).transpose(1, 2)).shape[1] > clip.samples  # what is cut off is there
    assert small(seconds=0.33).clip.frames == 32  # whole columns of latents
    with pytest.raises(UserError, match=r"at least 0\.04 s"):
        small(seconds=0.01)


@pytest.mark.parametrize("recompute", [False, True])
def test_finite_differences_through_chain_vae_and_vocoder(recompute: bool) -> None:
    model = small("float64", recompute=recompute)
    x_T = noise(SEEDS, model.shape, dtype=torch.float64)
    directional_check(chain(model, Checkpoint(), steps=3), x_T, step=1e-6)  # few kinks of leaky ReLUs within a step


def test_finite_differences_of_the_way_back() -> None:
    model = small("float64")
    wave_BN = 0.1 * noise(SEEDS, (8 * model.clip.hop,), dtype=torch.float64)
    directional_check(lambda wave: model.encode_audio(wave).square(), wave_BN, step=1e-6, rtol=1e-4)


def test_memory_policies_and_recomputation_give_the_same_gradient(model) -> None:
    stored = gradient(model, Store())
    assert stored.abs().max() > 0
    assert torch.equal(stored, gradient(model, Checkpoint()))
    assert torch.equal(stored, gradient(model, Auto(1e-3)))
    assert torch.equal(stored, gradient(small(recompute=True), Checkpoint()))


def test_recomputation_keeps_a_fraction() -> None:
    kept = {}
    for recompute in (False, True):
        model = small(recompute=recompute)
        x_T = noise(SEEDS, model.shape).requires_grad_()
        with saved_bytes() as step:
            _ = DDIM(1, 2.0)(model, x_T, model.encode(PROMPTS))
        with saved_bytes() as decoder:
            _ = model.wave(x_T)
        kept[recompute] = (step.bytes, decoder.bytes)
    assert kept[True][0] < 0.1 * kept[False][0]
    assert kept[True][1] < 0.3 * kept[False][1]


def test_memory_stays_flat_from_20_to_50_steps() -> None:
    """The latents are all that grows; next to the one step that is run again they are little."""
    model = small(width=32)
    x_T = noise(SEEDS, model.shape).requires_grad_()
    condition, kept = model.encode(PROMPTS), {}
    for steps in (20, 50):
        with saved_bytes() as meter:
            _ = DDIM(steps, 2.0)(model, x_T, condition, memory=Checkpoint())
        kept[steps] = meter.bytes
    with saved_bytes() as one_step:
        _ = DDIM(1, 2.0)(model, x_T, condition)
    latent = x_T.numel() * x_T.element_size()
    assert 0 < kept[50] - kept[20] <= 30 * latent
    assert kept[50] + one_step.bytes <= 1.03 * (kept[20] + one_step.bytes)


def test_a_clip_does_not_depend_on_its_batch_mates(model) -> None:
    x_T, condition, sampler = noise(SEEDS, model.shape), model.encode(PROMPTS), DDIM(4, 2.0)
    together = sampler(model, x_T, condition)
    for i in range(2):
        alone = sampler(model, x_T[i : i + 1], model.encode([PROMPTS[i]]))
        torch.testing.assert_close(alone[0], together[i], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(model.wave(alone)[0], model.wave(together)[i], atol=1e-4, rtol=1e-4)


def test_bf16_stays_near_float32_with_float32_latents(model) -> None:
    x_T, half = noise(SEEDS, model.shape), small("bf16")
    assert next(half.network.parameters()).dtype == torch.bfloat16
    assert next(half.vae.parameters()).dtype == next(half.vocoder.parameters()).dtype == torch.float32
    outputs = [DDIM(4, 2.0)(each, x_T, each.encode(PROMPTS)) for each in (model, half)]
    assert outputs[1].dtype == torch.float32
    assert (outputs[0] - outputs[1]).norm() < 0.05 * outputs[0].norm()
    whole = small("bf16", decoder_precision="bf16")
    x_T.requires_grad_()
    wave_BN = whole.wave(DDIM(2, 2.0)(whole, x_T, whole.encode(PROMPTS)))
    wave_BN.square().mean().backward()
    assert wave_BN.dtype == torch.float32
    assert wave_BN.isfinite().all()
    assert x_T.grad.isfinite().all()


def test_no_parameter_gets_a_gradient(model) -> None:
    assert not any(weight.requires_grad for weight in model.parameters())
    assert not any(part.training for part in model.modules())


def test_the_log_mel_is_that_of_the_training_sets(model) -> None:
    """Said again with librosa: 1024-sample Hann window, hop 160, mirrored ends, Slaney bands to 8 kHz, ln, 1e-5."""
    wave_N = 0.3 * noise([5], (model.clip.samples,))[0]
    padded = np.pad(wave_N.numpy(), 512, mode="reflect")
    magnitude = np.abs(librosa.stft(padded, n_fft=1024, hop_length=160, center=False))[:, : model.clip.frames]
    bands = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=tiny.MEL_BINS, fmin=0, fmax=8000)
    expected = np.log(np.maximum(bands @ magnitude, 1e-5))
    np.testing.assert_allclose(model.mel(wave_N[None])[0], expected, atol=1e-4)


def test_audio_becomes_the_vaes_most_likely_latent(model) -> None:
    wave_BN = 0.1 * noise([3, 4], (40 * model.clip.hop,))
    x_0 = model.encode_audio(wave_BN)
    assert x_0.shape == (2, tiny.LATENTS, tiny.MEL_BINS // 4, 10)
    latent = model.vae.encode(model.mel(wave_BN).transpose(1, 2)[:, None]).latent_dist.mean * 0.7
    torch.testing.assert_close(x_0, latent.transpose(2, 3))
    assert model.decode(x_0).shape == (2, tiny.MEL_BINS, 40)
    with pytest.raises(UserError, match="multiples of 4"):
        model.encode_audio(wave_BN[:, : 39 * model.clip.hop])


def test_ditto_moves_the_noise_and_lowers_an_intensity_loss(model) -> None:
    clips = [ClipRequest(f"clip{i}", prompt, i, i) for i, prompt in enumerate(PROMPTS)]
    x_T = noise(SEEDS, model.shape)
    control = Intensity(curve=[-30.0, -15.0], smoothing_s=0.2).bind(model, clips)
    method = Ditto(lambda weights: torch.optim.Adam(weights, lr=0.05), steps=12)
    made = method(Request(model, DDIM(3, 2.0), control, PROMPTS, x_T, SEEDS, progress=False))
    first, last = made.history.rows[0]["loss"], control.loss(made.x_0)
    assert all(after < 0.8 * before for before, after in zip(first, last.tolist(), strict=True))
    assert ((made.x_T - x_T).flatten(1).norm(dim=1) > 0.1).all()


def test_random_prompts_belong_to_the_prompt_alone() -> None:
    encoder = RandomPrompts({"text_BD": [6], "tokens_BLD": [3, 4], "mask_BL": [3]}, unit=True)
    both, alone = encoder(["a", "b"]).tensors, encoder(["b"]).tensors
    assert {name: tuple(value.shape) for name, value in both.items()} == {
        "text_BD": (2, 6),
        "tokens_BLD": (2, 3, 4),
        "mask_BL": (2, 3),
    }
    assert all(torch.equal(both[name][1:], alone[name]) for name in both)
    assert not torch.equal(both["text_BD"][0], both["text_BD"][1])
    torch.testing.assert_close(both["text_BD"].norm(dim=-1), torch.ones(2))
    assert both["mask_BL"].eq(1).all()


def test_random_parts_are_seeded_and_leave_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    first, again, other = (seeded(lambda: torch.randn(4), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_size_is_a_mapping_or_a_file() -> None:
    size = read_size("musicldm.json")
    assert read_size(size) is size
    assert size_hash(size) == size_hash({**size}) != size_hash({**size, "condition": {}})
    with pytest.raises(UserError, match=r"choose .*musicldm\.json"):
        read_size("nothing.json")
