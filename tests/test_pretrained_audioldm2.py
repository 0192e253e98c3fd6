"""AudioLDM 2 through our sampler is diffusers' own pipeline, and its gradients are exact; on tiny weights."""

import json
import shutil
from functools import partial

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.controls.intensity import Intensity
from ditto.memory import Checkpoint, Store, saved_bytes
from ditto.method import Request
from ditto.models.pretrained import audioldm2
from ditto.models.pretrained.random_parts import SIZES, read_size
from ditto.noise import noise
from ditto.optimization import Ditto
from ditto.run import CONF
from ditto.sampling import DDIM
from ditto.types import ClipRequest, Condition, UserError
from tests import tiny_audioldm2 as tiny
from tests.finite_differences import directional_check

PROMPTS, SEEDS = ["a calm jazz song", "a polka"], [0, 1]


@pytest.fixture(scope="module")
def pipeline():
    return tiny.audioldm2()


@pytest.fixture(scope="module")
def folder(pipeline, tmp_path_factory):
    path = tmp_path_factory.mktemp("audioldm2")
    pipeline.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def load(folder):
    return lambda **options: audioldm2.load(str(folder), **{"precision": "float32", **options})


@pytest.fixture(scope="module")
def model(load):
    return load()


@pytest.fixture(scope="module")
def short(load):
    return load(seconds=0.32)


@pytest.fixture(scope="module")
def exact(load):
    return load(precision="float64", decoder_precision="float64", seconds=0.16)


def theirs(pipeline, x_T, condition, null, output_type, **options):
    """The pipeline's latents [B, C, T, F] or waves [B, N] for these noises and encoded prompts."""
    names = {"prompt_embeds": "tokens_BLD", "attention_mask": "mask_BL", "generated_prompt_embeds": "generated_BSD"}
    both = condition.cat(null.expand(condition.batch_size)).tensors
    given = {}
    for argument, name in names.items():
        given[argument], given[f"negative_{argument}"] = both[name].chunk(2)
    return pipeline(**given, latents=x_T.transpose(2, 3), output_type=output_type, **options).audios


@pytest.mark.parametrize(("steps", "scale"), [(4, 3.0), (7, 1.0)])
def test_the_chain_is_the_pipelines(pipeline, model, steps, scale):
    x_T, condition, null = noise(SEEDS, model.shape), model.encode(PROMPTS), model.encode([""])
    options = {"num_inference_steps": steps, "guidance_scale": scale}
    with torch.no_grad():
        x_0 = DDIM(steps, scale, spacing="leading")(model, x_T, condition, null=null)
        wave_BN = model.wave(x_0)
    latents = theirs(pipeline, x_T, condition, null, "latent", **options).transpose(2, 3)
    torch.testing.assert_close(x_0, latents, atol=1e-4, rtol=0)
    torch.testing.assert_close(wave_BN, theirs(pipeline, x_T, condition, null, "pt", **options), atol=1e-4, rtol=0)
    assert (x_0 - x_T).std() > 0.1
    assert wave_BN.std() > 0.01


def test_from_prompt_to_sound_as_the_pipeline_does(pipeline, model):
    """The pipeline's null depends on the prompt's length, so this is without guidance."""
    x_T = noise([3], model.shape)
    with torch.no_grad():
        wave_BN = model.wave(DDIM(4, 1.0)(model, x_T, model.encode(PROMPTS[:1])))
    options = {"num_inference_steps": 4, "guidance_scale": 1.0, "output_type": "pt"}
    audios = pipeline(PROMPTS[:1], latents=x_T.transpose(2, 3), **options).audios
    torch.testing.assert_close(wave_BN, audios, atol=1e-4, rtol=0)


def test_the_grids_are_the_checkpoints_own(model, load):
    assert (model.clip.sample_rate, model.clip.hop, model.clip.stride) == (16000, 160, 4)
    assert model.shape == (4, 4, 16)
    assert model.clip.seconds == pytest.approx(0.64)
    assert load(seconds=0.3).shape == (4, 4, 8)  # to whole columns of 40 ms


@pytest.mark.parametrize("name", ["generated_BSD", "tokens_BLD", "mask_BL"])
def test_the_network_listens_to_both_texts_and_to_the_mask(model, name):
    x_t, t, tensors = noise(SEEDS, model.shape), torch.tensor([500, 20]), model.encode(PROMPTS).tensors
    eps = model.denoise(x_t, t, Condition(tensors))
    first = torch.zeros_like(tensors[name])
    first[:, :2] = tensors[name][:, :2]
    assert (model.denoise(x_t, t, Condition(tensors | {name: first})) - eps).std() > 0.02 * eps.std()


def test_a_clip_does_not_depend_on_its_batch_mates(model):
    x_T, sampler, null = noise(SEEDS, model.shape), DDIM(4, 3.0), model.encode([""])
    with torch.no_grad():
        both = sampler(model, x_T, model.encode(PROMPTS), null=null)
        alone = [sampler(model, x_T[i : i + 1], model.encode([PROMPTS[i]]), null=null) for i in range(2)]
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-4, rtol=1e-4)


def loss_of(model, sampler, memory, count=1):
    """Something of the sound and of the latent, per clip, as the controls have it."""
    condition, null = model.encode(PROMPTS[:count]), model.encode([""])

    def loss(x_T):
        x_0 = sampler(model, x_T, condition, null=null, memory=memory)
        loudness = model.wave(x_0).view(count, -1, model.clip.hop).square().mean(-1).log()
        return (loudness + 3).square().mean(1) + (x_0 - 0.5).square().mean((1, 2, 3))

    return loss


@pytest.mark.parametrize("memory", [Store(), Checkpoint()])
def test_finite_differences_through_the_whole_chain(exact, memory):
    x_T = noise(SEEDS[:1], exact.shape, dtype=torch.float64)
    directional_check(loss_of(exact, DDIM(3, 2.0), memory), x_T, step=1e-6)


def gradient(model, memory, steps=3):
    x_T = noise(SEEDS, model.shape).requires_grad_()
    loss_of(model, DDIM(steps, 2.0), memory, count=2)(x_T).sum().backward()
    return x_T.grad


def test_checkpointing_and_recomputation_change_no_gradient(short, load):
    stored = gradient(short, Store())
    assert stored.abs().max() > 0
    assert torch.equal(stored, gradient(short, Checkpoint()))
    recomputed = load(recompute=True, seconds=0.32)
    torch.testing.assert_close(gradient(recomputed, Store()), stored, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(gradient(recomputed, Checkpoint()), stored, atol=1e-6, rtol=1e-4)


def kept(model, steps, memory):
    """Bytes that autograd keeps of a chain."""
    x_T = noise(SEEDS, model.shape).requires_grad_()
    with saved_bytes() as meter:
        _ = DDIM(steps, 2.0)(model, x_T, model.encode(PROMPTS), memory=memory)
    return meter.bytes


def test_memory_stays_flat_from_20_to_50_steps(pipeline):
    """The latents are all that grows; next to the one step that is run again they are little."""
    network = tiny.NETWORK | {"block_out_channels": [16, 32]}
    wide = audioldm2.random_weights(tiny.size(pipeline) | {"network": network}, precision="float32", seconds=0.32)
    latents = 30 * 4 * noise(SEEDS, wide.shape).numel()
    one_step, at_20, at_50 = kept(wide, 1, Store()), kept(wide, 20, Checkpoint()), kept(wide, 50, Checkpoint())
    assert 0 < at_50 - at_20 <= latents
    assert at_50 + one_step <= 1.03 * (at_20 + one_step)
    assert kept(wide, 4, Store()) > 3 * one_step


def test_recomputation_keeps_a_fraction_of_a_step(short, load):
    assert kept(load(recompute=True, seconds=0.32), 1, Store()) < 0.2 * kept(short, 1, Store())


def test_ditto_lowers_an_intensity_loss(short):
    clips = [ClipRequest(f"clip{i}", prompt, seed=i, index=i) for i, prompt in enumerate(PROMPTS)]
    x_T = noise(SEEDS, short.shape)
    control = Intensity(curve=[-30.0, -10.0], smoothing_s=0.1).bind(short, clips)
    method = Ditto(partial(torch.optim.Adam, lr=0.05), steps=6)
    made = method(Request(short, DDIM(3, 2.0), control, PROMPTS, x_T, SEEDS, progress=False))
    first, last = made.history.rows[0]["loss"], made.history.rows[-1]["loss"]
    assert all(after < 0.8 * before for before, after in zip(first, last, strict=True))
    assert ((made.x_T - x_T).flatten(1).norm(dim=1) > 0.1).all()
    assert made.wave_BN.shape == (2, short.clip.samples)


@pytest.mark.parametrize("decoder", ["float32", "bf16"])
def test_bf16_stays_near_float32_with_float32_latents(model, load, decoder):
    half, x_T = load(precision="bf16", decoder_precision=decoder), noise(SEEDS, model.shape)
    outputs = [DDIM(3, 2.0)(m, x_T, m.encode(PROMPTS)) for m in (model, half)]
    assert outputs[1].dtype == torch.float32
    assert (outputs[0] - outputs[1]).norm() / outputs[0].norm() < 0.05
    wave_BN = half.wave(outputs[1])
    assert wave_BN.dtype == torch.float32
    assert wave_BN.isfinite().all()
    assert half.weights_hash == model.weights_hash  # precision is no identity


def test_sound_goes_into_latents_and_back(model, exact):
    wave_BN = 0.1 * noise(SEEDS, (model.clip.samples,))
    x_0 = model.encode_audio(wave_BN)
    assert x_0.shape == (2, *model.shape)
    assert model.decode(x_0).shape == (2, model.clip.mel_bins, model.clip.frames)
    exact_wave = 0.1 * noise([0], (exact.clip.samples,), dtype=torch.float64)
    directional_check(lambda wave: exact.decode(exact.encode_audio(wave)).square(), exact_wave, rtol=1e-4, step=1e-6)


def test_frozen_with_fused_attention(model):
    assert not any(weight.requires_grad for weight in model.parameters())
    assert not model.training
    assert {type(p).__name__ for p in model.network.attn_processors.values()} == {"AttnProcessor2_0"}


def test_a_checkpoint_that_speaks_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "speech")
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"text_encoder_2": ["transformers", "VitsModel"]}))
    with pytest.raises(UserError, match=r"speaks a transcription .*VitsModel.* cvssp/audioldm2-music") as told:
        audioldm2.load(str(copy))
    assert "\n" not in str(told.value)


def model_of(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", ["device=cpu", "precision=float32", *overrides])
    return build(OmegaConf.to_container(cfg.model, resolve=True), "model")


def test_the_config_loads_a_folder(model, folder):
    made = model_of("model=audioldm2_music", f"model.checkpoint={folder}", "model.seconds=0.32")
    assert (made.name, made.weights_hash, made.shape) == ("audioldm2_music", model.weights_hash, (4, 4, 8))


def test_without_weights_the_config_says_what_to_get():
    with pytest.raises(UserError, match=r"cvssp/audioldm2-music, 4\.2 GiB, licence CC BY-NC-SA 4\.0") as told:
        model_of("model=audioldm2_music", "model.checkpoint=cvssp/audioldm2-music")
    assert "\n" not in str(told.value)


def test_random_weights_of_a_size(pipeline, tmp_path):
    (tmp_path / "tiny.json").write_text(json.dumps(tiny.size(pipeline)))
    made, again = (model_of("model=audioldm2_music_random", f"model.config={tmp_path}/tiny.json") for _ in range(2))
    x_T, prompts = noise(SEEDS, made.shape), PROMPTS
    with torch.no_grad():
        waves = [m.wave(DDIM(2, 2.0)(m, x_T, m.encode(prompts))) for m in (made, again)]
    assert torch.equal(*waves)
    assert waves[0].isfinite().all()
    assert waves[0].std() > 1e-6
    assert made.weights_hash == again.weights_hash
    assert made.name == "audioldm2_music_random"


def test_the_published_size():
    """The weights of the U-Net on the hub, 1.39 GB in float32, and of the parts that make the sound."""
    with torch.device("meta"):
        parts = audioldm2._parts(read_size(str(SIZES / "audioldm2_music.json")))
    assert [sum(weight.numel() for weight in part.parameters()) for part in parts] == [346943496, 55376873, 55264897]
    assert parts[0].config.sample_size * 4 * 160 / 16000 == 10.24
