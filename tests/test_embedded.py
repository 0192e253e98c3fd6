"""The trained models' class, on small random weights: conversions, gradients, saving and loading, clear errors."""

from pathlib import Path

import pytest
import torch

from ditto.audio.vocoder import Vocoder
from ditto.models.embedded import CONFIG, DENOISER, PACKAGED, Embedded, choose_dtype, load, save
from ditto.models.precondition import precondition
from ditto.models.text import shared_text_encoder
from ditto.models.unet import SpectrogramUNet
from ditto.noise import noise
from ditto.sampling import DDIM
from ditto.types import UserError
from tests.finite_differences import directional_check

NETWORK = {"patch": [16, 8], "channels": [16, 32], "attention": [False, True], "cross_width": 32, "norm_groups": 8}
VOCODER = {"width": 32, "blocks": 1}


def small(dtype: torch.dtype = torch.float32) -> Embedded:
    torch.manual_seed(0)
    statistics = torch.linspace(-6, -4, 160), torch.tensor(2.0)
    parts = SpectrogramUNet(**NETWORK), Vocoder(**VOCODER), shared_text_encoder()
    return Embedded(*parts, *statistics, dtype, skip_scale=0.25)


def test_the_network_predicts_x0_and_samplers_get_epsilon() -> None:
    model = small()
    x_t, t, condition = noise([0, 1], (1, 160, 64)), torch.tensor([50, 700]), model.encode(["jazz", "rock"])
    eps = model.denoise(x_t, t, condition)
    c = condition.tensors
    c_skip, c_out = precondition(model.schedule.alphas_cumprod[t].float().view(-1, 1, 1, 1), 0.25)
    x_0_hat = c_skip * x_t + c_out * model.network(x_t, t, c["tokens_BLD"], c["mask_BL"], c["pooled_BD"])
    torch.testing.assert_close(model.schedule.add_noise(x_0_hat, eps, t), x_t, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("s", [0.0, 0.25, 1.0])
def test_the_networks_target_has_unit_variance_and_clean_data_pass(s: float) -> None:
    torch.manual_seed(0)
    x_0, eps = torch.randn(2, 200_000)
    for alpha_bar in torch.tensor([0.9999, 0.9, 0.5, 0.01]):
        c_skip, c_out = precondition(alpha_bar, s)
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
        assert ((x_0 - c_skip * x_t) / c_out).std() == pytest.approx(1.0, abs=0.02)
    assert precondition(torch.tensor(1.0), 0.25)[0] == pytest.approx(1.0)
    assert precondition(torch.tensor(0.5), 1.0)[0] == pytest.approx(0.5**0.5)  # v-prediction


def test_decoding_undoes_encoding_of_audio() -> None:
    model, wave_BN = small(), noise([3], (64 * 256,)) * 0.1
    torch.testing.assert_close(model.decode(model.encode_audio(wave_BN)), model.mel(wave_BN), atol=1e-4, rtol=1e-4)


def test_gradients_through_the_chain_and_the_vocoder() -> None:
    model = small().double()
    model.dtype = torch.float64
    x_T = noise([0], (1, 160, 32), dtype=torch.float64)
    condition = model.encode(["a calm song"])
    sampler = DDIM(steps=3, guidance_scale=2.0)
    directional_check(lambda x: sampler(model, x, condition).square(), x_T, rtol=1e-4)


def test_bf16_stays_near_float32_with_float32_latents() -> None:
    x_T, outputs = noise([0], (1, 160, 64)), []
    for dtype in (torch.float32, torch.bfloat16):
        model = small(dtype)
        outputs.append(DDIM(steps=4)(model, x_T, model.encode(["a calm song"])))
    assert outputs[1].dtype == torch.float32
    assert (outputs[0] - outputs[1]).norm() / outputs[0].norm() < 0.05


def test_saved_weights_load_as_the_same_model(tmp_path: Path) -> None:
    model = small()
    state = model.network.state_dict() | {"mean_F": model.mean_F, "sigma": model.sigma}
    save(tmp_path, {"network": NETWORK, "vocoder": VOCODER, "skip_scale": 0.25}, state, model.vocoder)
    loaded, again = load(str(tmp_path), precision="float32"), load(str(tmp_path), precision="bf16")
    x_t, t = noise([1], (1, 160, 64)), torch.tensor([500])
    condition = model.encode(["rock"])
    torch.testing.assert_close(
        loaded.denoise(x_t, t, condition), model.denoise(x_t, t, condition), atol=2e-2, rtol=2e-2
    )
    assert loaded.weights_hash == again.weights_hash != model.weights_hash  # float16 on disk; precision is no identity


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ditto.training.train"):
        load(str(tmp_path))
    model = small()
    with pytest.raises(UserError, match="multiples of 16: set frames=48"):
        model.denoise(noise([0], (1, 160, 50)), torch.tensor([1]), model.encode([""]))
    with pytest.raises(UserError, match="bf16"):
        choose_dtype("fp8", torch.device("cpu"))


@pytest.mark.parametrize("file", [DENOISER, "vocoder.safetensors", CONFIG])
def test_damaged_weights_are_one_clear_line(tmp_path: Path, file: str) -> None:
    model = small()
    state = model.network.state_dict() | {"mean_F": model.mean_F, "sigma": model.sigma}
    save(tmp_path, {"network": NETWORK, "vocoder": VOCODER, "skip_scale": 0.25}, state, model.vocoder)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"weights in .* are damaged") as error:
        load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    model = small()
    state = model.network.state_dict() | {"mean_F": model.mean_F, "sigma": model.sigma}
    save(tmp_path, {"network": NETWORK | {"channels": [16, 48]}, "skip_scale": 0.25}, state, None)
    with pytest.raises(UserError, match=r"weights in .* are damaged"):
        load(str(tmp_path))


def test_a_model_that_moves_leaves_the_shared_text_encoder() -> None:
    model, before = small(), small().encode(["rock"]).tensors["tokens_BLD"]
    model.double()
    assert next(shared_text_encoder().parameters()).dtype == torch.float32
    assert torch.equal(model.encode(["rock"]).tensors["tokens_BLD"], before)


@pytest.mark.skipif(not (PACKAGED / "denoiser.safetensors").exists(), reason="weights are not trained yet")
def test_the_packaged_weights_make_sound_within_the_size_limit() -> None:
    model = load()
    assert sum(file.stat().st_size for file in PACKAGED.iterdir()) <= 40 * 2**20
    with torch.no_grad():
        x_0 = DDIM(steps=5, guidance_scale=2.0)(model, noise([0], model.shape), model.encode(["a calm jazz song"]))
        wave_BN = model.wave(x_0)
    assert wave_BN.shape == (1, model.clip.samples)
    assert 0.005 < wave_BN.std() < 0.5
