"""Stable Audio's adapter on tiny random parts: the pipeline's own sound, exact gradients, flat memory, clear errors."""

import copy
import json
import sys
import types

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.controls.intensity import Intensity
from ditto.memory import Checkpoint, Store, saved_bytes
from ditto.method import Request
from ditto.models.pretrained import stable_audio
from ditto.models.pretrained.random_parts import read_size
from ditto.models.pretrained.stable_audio import load, random_weights, schedule_of
from ditto.noise import noise
from ditto.optimization import Ditto
from ditto.run import CONF
from ditto.sampling import DPMSolverPP2M
from ditto.types import ClipRequest, UserError
from tests import tiny_stable_audio as tiny
from tests.finite_differences import directional_check

PROMPTS = ["a calm jazz song", "fast polka"]
SOLVER = {"spacing": "linspace"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("stable_audio"))


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def model(folder):
    return load(folder, precision="float32")


@pytest.fixture(scope="module")
def model64(folder):
    return load(folder, precision="float64", decoder_precision="float64")


def sampled(pipeline, x_T, prompts=PROMPTS, **options):
    """The pipeline's latents [B, C, 1, T] and its two channels [B, 2, N]."""
    made = [pipeline(prompts, latents=x_T[:, :, 0], output_type=kind, **options).audios for kind in ("latent", "pt")]
    return made[0][:, :, None], made[1]


@pytest.mark.parametrize(("steps", "scale"), [(5, 7.0), (20, 1.0), (20, 7.0)])
def test_the_chain_and_its_sound_are_the_pipelines_own(model, pipeline, steps, scale):
    x_T = noise([0, 1], model.shape)
    with torch.no_grad():
        x_0 = DPMSolverPP2M(steps, scale, **SOLVER)(model, x_T, model.encode(PROMPTS))
        channels = model.channels(x_0)
    latents, sound = sampled(pipeline, x_T, num_inference_steps=steps, guidance_scale=scale)
    torch.testing.assert_close(x_0, latents, atol=1e-4, rtol=0)
    torch.testing.assert_close(channels, sound, atol=1e-4, rtol=0)
    torch.testing.assert_close(model.wave(x_0), sound.mean(1), atol=1e-4, rtol=0)
    assert x_0.std() > 0.5
    assert sound.std() > 0.02


def test_a_shorter_clip_is_told_its_own_length(model, pipeline):
    x_T = noise([3], (4, 1, 8))
    options = {"num_inference_steps": 6, "guidance_scale": 3.0, "audio_end_in_s": 8 * tiny.HOP / tiny.RATE}
    x_0 = DPMSolverPP2M(6, 3.0, **SOLVER)(model, x_T, model.encode(PROMPTS[:1]))
    latents, sound = sampled(pipeline, x_T, PROMPTS[:1], **options)
    torch.testing.assert_close(x_0, latents, atol=1e-4, rtol=0)
    torch.testing.assert_close(model.channels(x_0), sound, atol=1e-4, rtol=0)
    sampled_as_long, _ = sampled(pipeline, x_T, PROMPTS[:1], **options | {"audio_end_in_s": None})
    assert (latents - sampled_as_long).abs().max() > 1e-3  # so the seconds matter, and ours were the right ones


def test_seconds_end_and_the_clips_length_can_be_chosen(folder, pipeline):
    model = load(folder, precision="float32", seconds=0.2, seconds_end=0.1)
    assert (model.clip.latent_frames, model.clip.frames, model.clip.hop) == (12, 24, tiny.HOP // 2)
    assert load(folder, precision="float32", seconds=0.064).shape == (4, 1, 4)
    x_T = noise([0], model.shape)
    x_0 = DPMSolverPP2M(4, **SOLVER)(model, x_T, model.encode(PROMPTS[:1]))
    latents, _ = sampled(pipeline, x_T, PROMPTS[:1], num_inference_steps=4, guidance_scale=1.0, audio_end_in_s=0.1)
    torch.testing.assert_close(x_0, latents, atol=1e-4, rtol=0)


def test_noise_levels_and_times_are_those_of_the_published_scheduler(model, monkeypatch):
    if "torchsde" not in sys.modules:
        try:
            import torchsde  # noqa: F401
        except ImportError:  # it is needed for steps only, which are not taken here
            monkeypatch.setitem(sys.modules, "torchsde", types.ModuleType("torchsde"))
    from diffusers.schedulers.scheduling_cosine_dpmsolver_multistep import CosineDPMSolverMultistepScheduler

    published = CosineDPMSolverMultistepScheduler(**tiny.PARTS["scheduler"])
    published.set_timesteps(20)
    levels = DPMSolverPP2M(20, **SOLVER).levels(model.schedule)
    ours = torch.tensor([level.t for level in levels])
    sigma = torch.tensor([((1 - level.alpha_bar) / level.alpha_bar) ** 0.5 for level in levels])
    torch.testing.assert_close(ours.float(), published.timesteps)
    torch.testing.assert_close(sigma.float(), published.sigmas[:-1])
    torch.testing.assert_close(tiny.angle(sigma), published.precondition_noise(sigma))
    assert levels[-1].alpha_bar_prev == 1 - published.sigmas[-1] == 1
    x_ve, v = sigma[5] * noise([1], model.shape), noise([2], model.shape)
    signal, spread = levels[5].alpha_bar ** 0.5, (1 - levels[5].alpha_bar) ** 0.5
    x_0 = signal * (signal * x_ve) - spread * v
    torch.testing.assert_close(published.precondition_outputs(x_ve, v, sigma[5]), x_0, check_dtype=False)


def test_prompts_are_encoded_as_the_pipeline_does(model, pipeline):
    long = "a jazz song a jazz song a jazz song"
    with pytest.warns(UserWarning, match="first 6 tokens"):
        c = model.encode([*PROMPTS, long, ""])
    with torch.no_grad():
        expected = pipeline.encode_prompt([*PROMPTS, long], torch.device("cpu"), True)
    torch.testing.assert_close(c.tensors["tokens_BLD"][:3], expected, atol=1e-6, rtol=0)
    assert (c.tensors["tokens_BLD"][0] - c.tensors["tokens_BLD"][1]).abs().max() > 0.05
    assert c.tensors["tokens_BLD"][3].abs().max() == 0
    assert c.tensors["mask_B"].tolist() == [True, True, True, False]


def test_without_a_prompt_all_tokens_are_zero_and_the_seconds_stay_in_the_global_state(model):
    tokens, state = model._conditioning(model.encode(["", "rock"]), tiny.LATENTS)
    assert tokens.shape == (2, tiny.TOKENS + 2, 8)
    assert tokens[0].abs().max() == 0
    assert (tokens[1, -2:].abs().amax(-1) > 0).all()
    assert torch.equal(state[0], state[1])
    assert state.abs().max() > 0


def test_encodings_do_not_depend_on_batch_mates_and_are_remembered(folder, monkeypatch):
    model = load(folder, precision="float32")
    alone, together = model.encode(PROMPTS[1:]), model.encode(PROMPTS)
    assert torch.equal(alone.tensors["tokens_BLD"][0], together.tensors["tokens_BLD"][1])
    monkeypatch.setattr(model.text, "encoder", None)  # not needed again
    assert torch.equal(model.encode(PROMPTS).tensors["tokens_BLD"], together.tensors["tokens_BLD"])


def loss_of(model, steps=4, memory=None):
    """Something of the sound and of the latent, per clip; float64 all the way."""
    condition = model.encode(PROMPTS)

    def loss(x_T):
        x_0 = DPMSolverPP2M(steps, 3.0, **SOLVER)(model, x_T, condition, memory=memory or Store())
        loudness = model.wave(x_0).unflatten(1, (-1, model.clip.hop)).square().mean(-1).add(1e-4).log()
        return (loudness + 3).square().mean(1) + (x_0 - 0.5).square().mean((1, 2, 3))

    return loss


@pytest.mark.parametrize("memory", [Store(), Checkpoint()])
def test_finite_differences_through_chain_and_decoder(model64, memory):
    x_T = noise([0, 1], model64.shape, dtype=torch.float64)
    directional_check(loss_of(model64, memory=memory), x_T, directions=2)


def test_a_detached_chain_would_be_caught(model64):
    loss = loss_of(model64)
    with pytest.raises(AssertionError):
        directional_check(
            lambda x: loss(x) + x.detach().square().sum(), noise([0, 1], model64.shape, dtype=torch.float64)
        )


def gradient_of(model, memory=None):
    x_T = noise([0, 1], model.shape, dtype=model.latent_dtype).requires_grad_()
    with saved_bytes() as meter:
        losses = loss_of(model, memory=memory)(x_T)
    return torch.autograd.grad(losses.sum(), x_T)[0], meter.bytes


def test_memory_policies_and_recomputation_give_the_same_gradient(folder, model64):
    again = load(folder, precision="float64", decoder_precision="float64", recompute=True)
    stored, bytes_stored = gradient_of(model64, Store())
    assert torch.equal(stored, gradient_of(model64, Checkpoint())[0])
    recomputed, bytes_recomputed = gradient_of(again, Store())
    torch.testing.assert_close(recomputed, stored, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient_of(again, Checkpoint())[0], stored, rtol=1e-12, atol=1e-12)
    assert bytes_recomputed < 0.4 * bytes_stored


def test_a_clips_gradient_does_not_depend_on_its_batch_mates(model64):
    x_T = noise([0, 1], model64.shape, dtype=torch.float64).requires_grad_()
    loss = loss_of(model64)
    (of_first,) = torch.autograd.grad(loss(x_T)[0], x_T)
    (of_both,) = torch.autograd.grad(loss(x_T).sum(), x_T)
    assert of_first[1].abs().max() == 0
    torch.testing.assert_close(of_both[0], of_first[0], rtol=1e-10, atol=1e-12)


def kept_bytes(model, steps, memory):
    x_T = noise([0], model.shape).requires_grad_()
    c, null = model.encode(PROMPTS[:1]), model.encode([""])
    with saved_bytes() as meter:
        DPMSolverPP2M(steps, 3.0, **SOLVER)(model, x_T, c, memory=memory, null=null)
    return meter.bytes


def test_memory_stays_flat_from_20_to_50_steps():
    size = copy.deepcopy(tiny.SIZE)
    size["network"] |= {"num_attention_heads": 8, "num_layers": 4}
    model = random_weights(size, precision="float32")
    latent = 4 * tiny.LATENTS * 4
    short, long = (kept_bytes(model, steps, Checkpoint()) for steps in (20, 50))
    assert 30 * latent <= long - short <= 30 * 2 * latent  # x_t, and the x̂_0 that a step of second order needs
    step = kept_bytes(model, 1, Store())  # the one that is run again
    assert (long + step) / (short + step) < 1.03
    assert kept_bytes(model, 50, Store()) > 40 * step


def test_ditto_lowers_an_intensity_loss(model):
    clips = [ClipRequest(prompt, prompt, seed=i, index=i) for i, prompt in enumerate(PROMPTS)]
    control = Intensity(curve="crescendo", smoothing_s=0.05).bind(model, clips)
    x_T = noise([0, 1], model.shape)
    method = Ditto(steps=12, optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.2))
    sampler = DPMSolverPP2M(4, 3.0, **SOLVER)
    generation = method(Request(model, sampler, control, PROMPTS, x_T, [0, 1], progress=False))
    first, last = (torch.tensor(generation.history.rows[i]["loss"]) for i in (0, -1))
    assert (last < 0.8 * first).all()
    assert (generation.x_T - x_T).abs().max() > 0.05
    assert generation.wave_BN.shape == (2, model.clip.samples)


def test_bf16_runs_near_float32_and_keeps_the_time_in_float32(folder, model):
    low = load(folder, precision="bf16", decoder_precision="bf16")
    x_T = noise([0, 1], model.shape).requires_grad_()
    outputs = [DPMSolverPP2M(8, 3.0, **SOLVER)(m, x_T, m.encode(PROMPTS)) for m in (model, low)]
    assert outputs[1].dtype == low.wave(outputs[1]).dtype == torch.float32
    assert (outputs[0] - outputs[1]).norm() / outputs[0].norm() < 0.1
    (gradient,) = torch.autograd.grad(low.wave(outputs[1]).square().sum(), x_T)
    assert gradient.isfinite().all()
    t = torch.tensor([0.9985, 0.9987])  # one number in bf16
    assert t.bfloat16().unique().numel() == 1
    features = [m.network.time_proj(t.to(m.network.dtype)) for m in (model, low)]
    assert torch.equal(*features)
    assert low.network.timestep_proj(features[1]).dtype == torch.bfloat16


def test_folding_the_weight_normalisation_changes_nothing(model, pipeline):
    x_0 = noise([5], model.shape)
    with torch.no_grad():
        assert torch.equal(model.channels(x_0), pipeline.vae.decode(x_0[:, :, 0]).sample)
    assert not any(name.endswith(("weight_g", "weight_v")) for name, _ in model.vae.named_parameters())


def test_audio_goes_into_latents_and_back(model, pipeline):
    wave_BN = (0.1 * noise([7, 8], (model.clip.samples,))).requires_grad_()
    x_0 = model.encode_audio(wave_BN)
    assert x_0.shape == (2, *model.shape)
    with torch.no_grad():
        stereo = torch.stack([wave_BN, wave_BN], dim=1)
        expected = pipeline.vae.encode(stereo).latent_dist.mode()
    torch.testing.assert_close(x_0[:, :, 0], expected, atol=1e-6, rtol=1e-5)
    back = model.wave(x_0)
    assert back.shape == wave_BN.shape
    (gradient,) = torch.autograd.grad(back.square().sum(), wave_BN)
    assert (gradient.abs().amax(1) > 0).all()
    with pytest.raises(UserError, match="use a multiple of 256"):
        model.encode_audio(wave_BN[:, :-1])


def test_everything_is_frozen(model):
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_errors_say_what_to_do(model, folder):
    for wrong in ({"sigma_data": 0.5}, {"prediction_type": "epsilon"}):
        with pytest.raises(UserError, match=f"the scheduler has {next(iter(wrong))}="):
            schedule_of(tiny.PARTS["scheduler"] | wrong)
    with pytest.raises(UserError, match=r"at least 0\.016 s"):
        load(folder, precision="float32", seconds=0.001)
    with pytest.raises(UserError, match="no mel, use the wave"):
        model.decode(noise([0], model.shape))
    with pytest.raises(UserError, match=r"accept the licence .* 4\.9 GiB, licence Stability AI Community License"):
        load()


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", [*overrides, "device=cpu", "precision=float32"])
    return build(OmegaConf.to_container(cfg.model, resolve=True), "model")


def test_both_configurations_make_the_model(folder, model, tmp_path):
    loaded = composed("model=stable_audio_open", f"model.checkpoint={folder}")
    assert (loaded.name, loaded.weights_hash) == ("stable_audio_open", model.weights_hash)
    (tmp_path / "size.json").write_text(json.dumps(tiny.SIZE))
    first, second = (composed("model=stable_audio_open_random", f"model.config={tmp_path / 'size.json'}") for _ in "ab")
    x_T = noise([0], first.shape)
    made = [DPMSolverPP2M(3, 3.0, **SOLVER)(m, x_T, m.encode(["any words"])) for m in (first, second)]
    assert torch.equal(*made)
    assert made[0].isfinite().all()


def test_the_true_size_is_the_published_one():
    """Evans et al. 2024, section 2: 1057 M, 156 M and 109 M parameters (T5 is not part of the size)."""
    from diffusers.models import AutoencoderOobleck, StableAudioDiTModel

    size = read_size("stable_audio_open.json")
    with torch.device("meta"), stable_audio._no_notice():
        network, vae = StableAudioDiTModel(**size["network"]), AutoencoderOobleck(**size["vae"])
    assert sum(weight.numel() for weight in network.parameters()) == 1_056_939_136
    assert sum(weight.numel() for weight in vae.parameters()) == 156_112_514
    assert (len(network.state_dict()), vae.hop_length) == (445, 2048)
    assert size["network"]["sample_size"] * vae.hop_length / vae.config.sampling_rate == pytest.approx(47.55, abs=0.01)
    schedule = schedule_of(size["scheduler"])
    assert (schedule.sigma_min, schedule.sigma_max) == (0.3, 500)
