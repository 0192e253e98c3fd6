"""musicnn: the music tagger whose penultimate layer is the default, offline embedding of FAD and of the tag score.

Paper: Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", ISMIR LBD 2019;
weights of the `musicnn` 0.1.0 package (ISC, see weights/MUSICNN_LICENCE.md), converted by `eval.convert_musicnn`.

Conventions: audio is resampled to 16 kHz (soxr, quality HQ, as librosa.load does); power mel spectrogram of 96 Slaney
bands, window 512, hop 256, centred with zeros; log10(10000 m + 1) in float32 (the package rounds m to float16 first;
that rounding is left out). The network sees windows of 187 frames (3 s), one every 92 frames (1.472 s): three windows
for a 5.94 s clip, which use all but its last frame. Clips below 3 s are repeated, as the package's training did.

Legend: B waves or windows, N samples, T mel frames, F = 96 bands, W windows, D = 200 embedding, K = 50 tags.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ditto.types import UserError

SAMPLE_RATE, WINDOW, HOP, BANDS = 16_000, 512, 256, 96
FRAMES, FRAME_HOP = 187, 92  # 3 s windows every 1.472 s
DIMENSION = 200
WEIGHTS = Path(__file__).parent / "weights"

NAMES = ("msd", "mtt")  # Million Song Dataset tags, with genres; MagnaTagATune tags, with instruments


class _ConvNorm(nn.Module):
    """Convolution, ReLU, batch norm (epsilon 1e-3, as TensorFlow), zero padding on the time axis only."""

    def __init__(self, channels_in: int, channels_out: int, kernel: tuple[int, int], pad: tuple[int, int]) -> None:
        super().__init__()
        self.pad = (0, 0, *pad)
        self.conv = nn.Conv2d(channels_in, channels_out, kernel)
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.relu(self.conv(nn.functional.pad(x, self.pad))))


class MusicNN(nn.Module):
    """Timbral and temporal filters, three residual convolutions, max and mean over time, a dense layer, tag logits."""

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, eps=1e-3)
        timbral = [_ConvNorm(1, 204, (7, int(share * BANDS)), (3, 3)) for share in (0.4, 0.7)]
        temporal = [_ConvNorm(1, 51, (k, 1), ((k - 1) // 2, k - 1 - (k - 1) // 2)) for k in (128, 64, 32)]
        self.front = nn.ModuleList(timbral + temporal)
        self.middle = nn.ModuleList([_ConvNorm(1, 64, (7, width), (3, 3)) for width in (561, 64, 64)])
        self.pool_norm = nn.BatchNorm1d(1506, eps=1e-3)
        self.dense = nn.Linear(1506, DIMENSION)
        self.dense_norm = nn.BatchNorm1d(DIMENSION, eps=1e-3)
        self.logits = nn.Linear(DIMENSION, tags)
        self.eval().requires_grad_(False)

    def forward(self, mel_BTF: Tensor) -> Tensor:
        """Log mel [B, T, 96] -> penultimate embedding [B, 200] (tag logits: `self.logits(embedding)`)."""
        return self.embedding(self.pooled(mel_BTF))

    def embedding(self, pooled_BP: Tensor) -> Tensor:
        """Pooled convolutions [B, 1506] -> penultimate embedding [B, 200]."""
        return self.dense_norm(torch.relu(self.dense(pooled_BP)))

    def pooled(self, mel_BTF: Tensor) -> Tensor:
        """Log mel [B, T, 96] -> what the dense layer sees: max and mean over time of all convolutions [B, 1506]."""
        x = self.norm(mel_BTF[:, None])
        front = torch.cat([block(x).amax(3) for block in self.front], 1).transpose(1, 2)  # [B, T, 561]
        layers = [front[:, None]]
        for index, block in enumerate(self.middle):
            h = block(layers[-1]).permute(0, 3, 2, 1)  # [B, 64, T, 1] -> [B, 1, T, 64]
            layers.append(h + layers[-1] if index else h)
        x = torch.cat(layers, 3)[:, 0]  # [B, T, 753]
        return self.pool_norm(torch.stack([x.amax(1), x.mean(1)], 2).flatten(1))

    def tags(self, embedding_BD: Tensor) -> Tensor:
        """Embedding [B, 200] -> probability of each tag [B, 50]."""
        return torch.sigmoid(self.logits(embedding_BD))


@lru_cache(maxsize=4)
def load(name: str = "msd", device: str = "cpu") -> MusicNN:
    """The converted tagger of this name (see NAMES)."""
    path = WEIGHTS / f"musicnn_{name}.safetensors"
    if name not in NAMES or not path.exists():
        raise UserError(f"no musicnn weights '{name}' at {path}: choose one of {', '.join(NAMES)}")
    with torch.random.fork_rng(devices=[]):  # the module's own initial values would draw from the process's generator
        model = MusicNN()
    model.load_state_dict(load_file(path))
    return model.to(device)


@lru_cache(maxsize=4)
def weights_hash(name: str) -> str:
    """First 12 hex of the sha256 of a tagger's weight file."""
    return hashlib.sha256((WEIGHTS / f"musicnn_{name}.safetensors").read_bytes()).hexdigest()[:12]


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    import warnings

    import librosa

    with warnings.catch_warnings():  # 96 bands at this window leave the lowest ones empty: musicnn was trained so
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=BANDS)).float()


def log_mel(wave_BN: Tensor) -> Tensor:
    """16 kHz waves [B, N] -> log10(10000 x power mel + 1), float32 [B, T, 96]."""
    window = torch.hann_window(WINDOW, device=wave_BN.device)
    spectrum = torch.stft(wave_BN, WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True)
    power = torch.view_as_real(spectrum).square().sum(-1)
    return torch.log10(10_000 * (_filters().to(wave_BN.device) @ power) + 1).transpose(1, 2)


def windows(mel_TF: Tensor) -> Tensor:
    """Log mel [T, 96] -> 3 s windows [W, 187, 96]; a shorter clip is repeated to fill one."""
    if len(mel_TF) < FRAMES:
        mel_TF = mel_TF.repeat(-(-FRAMES // len(mel_TF)), 1)[:FRAMES]
    return mel_TF.unfold(0, FRAMES, FRAME_HOP).transpose(1, 2)


@lru_cache(maxsize=1)
def _tag_names() -> dict[str, list[str]]:
    return json.loads((WEIGHTS / "musicnn_tags.json").read_text())


_POOLED: OrderedDict[tuple[str, bytes], Tensor] = OrderedDict()  # of the newest windows, 6 kB each
_POOLED_SIZE = 8192


def pooled(name: str, windows: Tensor, device: str = "cpu") -> Tensor:
    """Windows [W, 187, 96] -> `MusicNN.pooled` [W, 1506] on the CPU; a window heard a moment ago is not heard again.

    FAD and the text score both need it, and it is nearly all of their time.
    """
    keys = [(name, hashlib.blake2b(one.contiguous().numpy().tobytes(), digest_size=16).digest()) for one in windows]
    new = [row for row, key in enumerate(keys) if key not in _POOLED]
    if new:
        with torch.no_grad():
            made = load(name, device).pooled(windows[new].to(device)).float().cpu()
        found = dict(zip([keys[row] for row in new], made, strict=True))
    else:
        found = {}
    rows = torch.stack([found[key] if key in found else _POOLED[key] for key in keys])
    _POOLED.update(found)
    while len(_POOLED) > _POOLED_SIZE:
        _POOLED.popitem(last=False)
    return rows


def tag_names(name: str = "msd") -> list[str]:
    """The 50 tags of a tagger, in the order of its logits."""
    return _tag_names()[name]


def tag_probabilities(embedding_WD: np.ndarray, name: str = "msd") -> np.ndarray:
    """Embeddings [W, 200] -> tag probabilities [W, 50], in the order of `tag_names(name)`."""
    with torch.no_grad():
        return load(name).tags(torch.from_numpy(np.asarray(embedding_WD, dtype=np.float32))).numpy()
