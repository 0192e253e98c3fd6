"""The models that this repository trains: a denoiser on log-mels, a text encoder and a vocoder behind MusicModel.

`model=embedded` loads the weights that ship with the package; `model=paper` is the same class with the paper's U-Net.
Shapes: B clips, C = 1, F = 160 mel bins, T frames, N samples.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ditto.audio.mel import FLOOR, LogMel
from ditto.audio.vocoder import Vocoder
from ditto.models.attention import AttentionProcessor
from ditto.models.base import MusicModel, hash_weights
from ditto.models.compiled import compile_blocks
from ditto.models.precondition import precondition
from ditto.models.recompute import recompute_in_backward
from ditto.models.text import TextEncoder, shared_text_encoder
from ditto.models.unet import Residuals, SpectrogramUNet
from ditto.schedules import diffusers_schedule
from ditto.types import ClipSpec, Condition, UserError

PACKAGED = Path(__file__).parent.parent / "weights" / "embedded"
CONFIG, DENOISER, VOCODER = "config.json", "denoiser.safetensors", "vocoder.safetensors"


class Embedded(MusicModel):
    """x_0 = (log-mel - mean_F) / sigma; the network's output becomes x_0_hat and then the epsilon that samplers expect.

    The network computes in `dtype` (its weights are cast once, so no autocast is needed); latents stay float32. The
    vocoder stays float32: its inverse STFT has no bf16 form, and it is a small part of a step.
    """

    mean_F: Tensor
    sigma: Tensor

    clip = ClipSpec(sample_rate=22050, hop=256, frames=512, mel_bins=160)
    shape = (1, 160, 512)

    def __init__(
        self,
        network: SpectrogramUNet,
        vocoder: Vocoder | None,
        text: TextEncoder,
        mean_F: Tensor,
        sigma: Tensor,
        dtype: torch.dtype = torch.float32,
        name: str = "embedded",
        skip_scale: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.dtype, self.schedule, self.skip_scale = name, dtype, diffusers_schedule(), skip_scale
        # Before the cast, so that the identity does not depend on the precision.
        self.weights_hash = hash_weights(nn.ModuleList(filter(None, (network, vocoder))))
        self.network, self.vocoder, self.mel = network.to(dtype), vocoder, LogMel()
        self._encode_text = text.__call__  # no part of this module: models share it, so it must not move with one
        self.register_buffer("mean_F", mean_F.float())
        self.register_buffer("sigma", sigma.float())
        self.frame_multiple = network.time_multiple
        # Nothing in a log-mel lies below the clamp; the same distance above the mean bounds the other side.
        self.x0_bound = float(((self.mean_F - torch.tensor(FLOOR).log()) / self.sigma).max())
        self.freeze()

    def encode(self, prompts: list[str]) -> Condition:
        text = self._encode_text(prompts)
        tensors = {"tokens_BLD": text.tokens_BLD, "mask_BL": text.mask_BL, "pooled_BD": text.pooled_BD}
        return Condition({name: value.to(self.device) for name, value in tensors.items()})

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition, residuals: Residuals | None = None) -> Tensor:
        """As every model's; `residuals` of a control branch are added inside the network (baselines/controlnet.py)."""
        self.check_frames(x_t.shape[-1])
        signal, noise = self.schedule.signal_and_noise(t, x_t)
        c_skip, c_out = precondition(signal.square(), self.skip_scale)
        F = self.network(x_t.to(self.dtype), t, *self.text_inputs(condition), residuals)
        x_0_hat = c_skip * x_t + c_out * F.to(x_t.dtype)
        return (x_t - signal * x_0_hat) / noise

    def text_inputs(self, condition: Condition) -> tuple[Tensor, Tensor, Tensor]:
        """tokens_BLD, mask_BL and pooled_BD as the network takes them."""
        c = condition.tensors
        return c["tokens_BLD"].to(self.dtype), c["mask_BL"], c["pooled_BD"].to(self.dtype)

    def readout_blocks(self) -> list[nn.Module]:
        net: Any = self.network.net
        return [resnet for block in net.up_blocks for resnet in block.resnets]

    def decode(self, x_0: Tensor) -> Tensor:
        return x_0[:, 0] * self.sigma + self.mean_F[:, None]

    def vocode(self, mel_BFT: Tensor) -> Tensor:
        if self.vocoder is None:
            raise UserError(
                f"model={self.name} has no vocoder: `python -m ditto.training.train stage=vocoder`, then export"
            )
        return self.vocoder(mel_BFT)

    def encode_audio(self, wave_BN: Tensor) -> Tensor:
        return self.encode_mel(self.mel(wave_BN))

    def encode_mel(self, mel_BFT: Tensor) -> Tensor:
        return ((mel_BFT - self.mean_F[:, None]) / self.sigma)[:, None]


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where the hardware multiplies bf16 matrices, float32 elsewhere."""
    if precision == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
        precision = "bf16" if native else "float32"
    dtypes = {"float32": torch.float32, "bf16": torch.bfloat16, "float64": torch.float64}
    if precision not in dtypes:
        raise UserError(f"unknown precision {precision!r}: choose auto, {', '.join(dtypes)}")
    return dtypes[precision]


def load(
    weights: str | None = None,
    device: str = "cpu",
    precision: str = "auto",
    name: str = "embedded",
    attention: str = "auto",
    compile: str | None = None,
    recompute: bool = False,
) -> Embedded:
    """The model whose weights lie in the folder `weights` (default: those shipped with the package).

    Options of speed and memory, for the same results within the precision: `attention` auto, plain or fused
    (ditto/models/attention.py); `compile` null, default, reduce-overhead or max-autotune (ditto/models/compiled.py);
    `recompute`: blocks of the network keep their inputs only and run again in the backward pass.
    """
    folder = Path(weights) if weights else PACKAGED
    missing = [file for file in (CONFIG, DENOISER) if not (folder / file).exists()]
    if missing:
        raise UserError(
            f"no weights for model={name}: {folder} lacks {', '.join(missing)}; train them with "
            f"`python -m ditto.training.train` and write them with `python -m ditto.training.export`"
        )
    with _readable(folder):
        config = json.loads((folder / CONFIG).read_text())
        state = {key: value.float() for key, value in load_file(folder / DENOISER).items()}
        mean_F, sigma, skip_scale = state.pop("mean_F"), state.pop("sigma"), config["skip_scale"]
        network = SpectrogramUNet(**config["network"])
        network.load_state_dict(state)
        vocoder_folder = next((f for f in (folder, PACKAGED) if (f / VOCODER).exists()), None)
        vocoder = read_vocoder(vocoder_folder, config) if vocoder_folder else None
    target = torch.device(device)
    dtype = choose_dtype(precision, target)
    model = Embedded(network, vocoder, shared_text_encoder(), mean_F, sigma, dtype, name, skip_scale)
    return _quick(model.to(target), attention, compile, recompute)


def random_weights(
    network: dict[str, Any],
    device: str = "cpu",
    precision: str = "auto",
    name: str = "paper",
    attention: str = "auto",
    compile: str | None = None,
    recompute: bool = False,
) -> Embedded:
    """A model of the given shape with seeded random weights: for measuring speed and memory, not for listening.

    Options of speed and memory as those of :func:`load`.
    """
    target = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = SpectrogramUNet(**{key: value for key, value in network.items() if key != "_target_"})
        vocoder = Vocoder()
    statistics = torch.full((160,), -5.0), torch.tensor(2.5)
    model = Embedded(unet, vocoder, shared_text_encoder(), *statistics, choose_dtype(precision, target), name)
    return _quick(model.to(target), attention, compile, recompute)


def _quick(model: Embedded, attention: str, compile: str | None, recompute: bool) -> Embedded:
    """The model with the options of speed and memory."""
    net: Any = model.network.net
    net.set_attn_processor(AttentionProcessor(attention))
    if compile is not None:
        compile_blocks(model.network.blocks(), compile, model.device)
    if recompute:
        recompute_in_backward(model.network.blocks())
    return model


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Files that are cut off, or do not belong together, are one UserError."""
    try:
        yield
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the weights in {folder} are damaged ({reason}): copy or export them again") from error


def read_vocoder(folder: Path, config: dict[str, Any]) -> Vocoder:
    """The vocoder of exported weights; `config` is their config.json."""
    vocoder = Vocoder(**config.get("vocoder", {}))
    vocoder.load_state_dict({key: value.float() for key, value in load_file(folder / VOCODER).items()})
    return vocoder


def save(folder: Path, config: dict[str, Any], denoiser: dict[str, Tensor], vocoder: nn.Module | None) -> None:
    """Write a folder that :func:`load` reads: float16 weights and the configuration of the networks."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.half().contiguous() for key, value in denoiser.items()}, folder / DENOISER)
    if vocoder is not None:
        save_file({key: value.half().contiguous() for key, value in vocoder.state_dict().items()}, folder / VOCODER)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
