import pytest
import torch

from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.types import UserError
from tests.finite_differences import directional_check


@pytest.fixture
def model():
    return Toy()


def test_shapes_and_dtypes(model):
    x = noise([0, 1], model.shape)
    eps = model.denoise(x, torch.tensor([10, 900]), model.encode(["a", "b"]))
    mel_BFT, wave_BN = model.decode(x), model.wave(x)
    assert eps.shape == x.shape
    assert mel_BFT.shape == (2, 16, 32)
    assert wave_BN.shape == (2, model.clip.samples)
    assert wave_BN.abs().max() <= 1
    assert model.encode_audio(wave_BN).shape == x.shape
    assert {x.dtype, eps.dtype, mel_BFT.dtype, wave_BN.dtype} == {torch.float32}


def test_longer_clips_work(model):
    x = noise([0], (1, 16, 48))
    assert model.wave(x).shape == (1, 48 * 256)
    assert model.encode_audio(model.wave(x)).shape == x.shape


def test_prompts_and_times_matter_and_repeat(model):
    x = noise([0], model.shape)
    t = torch.tensor([500])
    assert torch.equal(model.encode(["jazz"]).tensors["text"], model.encode(["jazz"]).tensors["text"])
    jazz = model.denoise(x, t, model.encode(["jazz"]))
    assert not torch.allclose(jazz, model.denoise(x, t, model.encode(["polka"])))
    assert not torch.allclose(jazz, model.denoise(x, t + 400, model.encode(["jazz"])))


def test_weights_are_seeded_and_frozen(model):
    assert model.weights_hash == Toy().weights_hash != Toy(seed=1).weights_hash
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_bf16_network_keeps_float32_latents():
    model = Toy(dtype="bf16")
    x = noise([0], model.shape)
    eps = model.denoise(x, torch.tensor([500]), model.encode(["a"]))
    assert model.first.dtype == torch.bfloat16
    assert eps.dtype == torch.float32
    torch.testing.assert_close(eps, Toy().denoise(x, torch.tensor([500]), Toy().encode(["a"])), rtol=0.05, atol=0.05)


def test_encode_audio_nearly_inverts_a_slow_clip(model):
    frames = torch.linspace(-1, 1, 32)
    x_0 = torch.stack([frames * (1 if f % 2 else -1) for f in range(16)])[None, None]
    middle = slice(4, -4)  # the ends see the padding
    again = model.encode_audio(model.wave(x_0))
    assert (again - x_0)[..., middle].abs().mean() < 0.3


def test_unknown_precision_is_named():
    with pytest.raises(UserError, match="bf16"):
        Toy(dtype="fp7")


@pytest.mark.parametrize("part", ["denoise", "wave", "encode_audio"])
def test_gradients(part):
    model = Toy(dtype="float64")
    x = noise([0, 1], model.shape, dtype=torch.float64)
    wave_BN = model.wave(x)
    t_B, condition = torch.tensor([100, 800]), model.encode(["a", "b"])
    if part == "denoise":
        directional_check(lambda x: model.denoise(x, t_B, condition).square(), x)
    elif part == "wave":
        directional_check(lambda x: model.wave(x).square(), x)
    else:
        directional_check(lambda wave: model.encode_audio(wave).square(), wave_BN)
