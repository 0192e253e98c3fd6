"""The patched U-Net."""

import pytest
import torch

from ditto.models.unet import SpectrogramUNet, frequency_position, patchify, unpatchify

SMALL = {"channels": (16, 32), "attention": (False, True), "cross_width": 32, "norm_groups": 8}


def text(B: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(B, 5, 384), torch.tensor([1, 1, 1, 0, 0]).expand(B, -1).float(), torch.randn(B, 384)


@pytest.mark.parametrize("patch", [(8, 8), (16, 8), (1, 1), (4, 16)])
def test_folding_is_undone(patch: tuple[int, int]) -> None:
    x = torch.randn(2, 1, 160, 64)
    folded = patchify(x, *patch)
    assert folded.shape == (2, patch[0] * patch[1], 160 // patch[0], 64 // patch[1])
    assert torch.equal(unpatchify(folded, *patch), x)


def test_a_patch_holds_neighbours() -> None:
    x = torch.arange(16 * 16.0).reshape(1, 1, 16, 16)
    assert torch.equal(patchify(x, 8, 8)[0, :, 1, 0].reshape(8, 8), x[0, 0, 8:, :8])


def test_positions_differ_between_rows() -> None:
    rows = frequency_position(20, 8)[..., 0].T
    assert torch.pdist(rows).min() > 0.1


@pytest.mark.parametrize("frames", [64, 128])
def test_any_fitting_length_works_and_padding_tokens_do_not_matter(frames: int) -> None:
    torch.manual_seed(0)
    network = SpectrogramUNet(patch=(8, 8), **SMALL).eval()
    x_t, t, (tokens, mask, pooled) = torch.randn(2, 1, 160, frames), torch.tensor([3, 900]), text(2)
    with torch.no_grad():
        y = network(x_t, t, tokens, mask, pooled)
        padded = tokens.clone()
        padded[:, 3:] = 100.0
        assert y.shape == x_t.shape
        torch.testing.assert_close(network(x_t, t, padded, mask, pooled), y)
        other = tokens.clone()
        other[:, 0] += 1.0
        assert not torch.allclose(network(x_t, t, other, mask, pooled), y)
        assert not torch.allclose(network(x_t, t, tokens, mask, pooled + 1), y)
