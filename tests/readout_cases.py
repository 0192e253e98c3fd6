"""Readout heads of the toy model, trained for a few hundred tiny steps on clips that it makes itself."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch

from baselines.readout_training import Batch, ReadoutTraining, draw
from baselines.readout_weights import save_heads
from ditto.audio.features import chroma, mfcc, rms_db
from ditto.sampling import DDIM, noise
from tests.control_cases import FRAMES, toy

CLIPS, STEPS, BATCH = 96, 250, 16


@functools.cache
@torch.no_grad()
def clips() -> Batch:
    """What ControlData gives, of clips that the toy model samples."""
    model, rate, hop = toy(), toy().clip.sample_rate, toy().clip.hop
    condition = model.encode([f"song {k % 7}" for k in range(CLIPS)])
    x_0 = DDIM(steps=5)(model, noise(list(range(1000, 1000 + CLIPS)), model.shape), condition)
    x_0 = x_0 * torch.linspace(0.3, 1.5, CLIPS).view(-1, 1, 1, 1) + torch.linspace(-1, 1, FRAMES)
    wave_BN = model.wave(x_0)
    batch = {"mel_BFT": model.decode(x_0), "rms_db_BT": rms_db(wave_BN, hop), "mfcc_BDT": mfcc(wave_BN, rate, hop)}
    return {**batch, "chroma_BPT": chroma(wave_BN, rate, hop, window=9), **condition.tensors}


def training() -> ReadoutTraining:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ReadoutTraining(toy(), lr=3e-3, width=8, rows=16, hidden=32)


@functools.cache
def trained() -> tuple[ReadoutTraining, list[float]]:
    """The module, and its loss in every step."""
    module, batch, history = training(), clips(), []
    module.calibrate([batch])
    optimizer = module.configure_optimizers()
    random = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        rows = torch.randperm(CLIPS, generator=random)[:BATCH]
        part = {name: value[rows] for name, value in batch.items()}
        loss = torch.stack(list(module.losses(part, *draw(part, random)).values())).sum(0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return module, history


@functools.cache
def weights() -> str:
    """A folder of the trained heads."""
    folder = Path(tempfile.mkdtemp(prefix="ditto-test-"))
    save_heads(folder, trained()[0].network, {"name": "toy", "weights_hash": toy().weights_hash})
    return str(folder)
