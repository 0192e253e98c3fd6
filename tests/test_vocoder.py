"""The vocoder's contract: length, range, gradients."""

import torch

from ditto.audio.mel import LogMel
from ditto.audio.vocoder import Vocoder
from ditto.training.vocoding import stft_distance


def test_a_frame_is_a_hop_and_the_wave_stays_in_range() -> None:
    mel_BFT = torch.randn(2, 160, 40) * 4
    wave_BN = Vocoder(width=32, blocks=1)(mel_BFT)
    assert wave_BN.shape == (2, 40 * 256)
    assert wave_BN.abs().max() <= 1


def test_clips_of_a_batch_are_independent() -> None:
    vocoder, mel_BFT = Vocoder(width=32, blocks=1), torch.randn(3, 160, 32)
    torch.testing.assert_close(vocoder(mel_BFT)[1:2], vocoder(mel_BFT[1:2]))


def test_gradients_reach_every_frame() -> None:
    mel_BFT = torch.randn(1, 160, 32, requires_grad=True)
    Vocoder(width=32, blocks=1)(mel_BFT).square().sum().backward()
    assert mel_BFT.grad is not None
    assert (mel_BFT.grad.abs().sum(1) > 0).all()


def test_a_few_steps_lower_the_distance() -> None:
    torch.manual_seed(0)
    t = torch.arange(32 * 256) / 22050
    wave_BN = 0.3 * torch.sin(2 * torch.pi * 440 * t)[None]
    mel_BFT, vocoder = LogMel()(wave_BN), Vocoder(width=32, blocks=1)
    optimizer = torch.optim.Adam(vocoder.parameters(), 3e-3)
    distances = []
    for _ in range(30):
        distance = stft_distance(vocoder(mel_BFT), wave_BN).mean()
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
        distances.append(float(distance.detach()))
    assert distances[-1] < 0.7 * distances[0]


def test_the_distance_is_zero_at_identity_and_keyed_to_the_clip() -> None:
    wave_BN = torch.randn(2, 8192) * 0.1
    worse = wave_BN.clone()
    worse[1] *= 0.5
    distance_B = stft_distance(worse, wave_BN)
    assert distance_B[0] == 0
    assert distance_B[1] > 0.3
