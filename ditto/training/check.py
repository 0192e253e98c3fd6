"""Is this machine ready to train? `python -m ditto.training.check` before anything long, on a machine that is new.

Packages, device, text encoder, memory and disk: all that is wanting is said at once, in a line each, and the exit code
is 1. `sweeps/gpu/train.sh check` calls it and then takes a few steps of every stage on a few pieces.
"""

import argparse
import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGES = (
    "torch", "pytorch_lightning", "hydra", "omegaconf", "antlr4", "transformers", "diffusers", "librosa", "soundfile",
    "soxr", "scipy", "sklearn", "numba", "pandas", "matplotlib", "safetensors", "tqdm", "mido", "tinysoundfont",
)  # fmt: skip
GIB = 2**30


def packages(names: tuple[str, ...] = PACKAGES) -> Iterator[str]:
    """What cannot be imported, and why."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken wheel may raise anything
            yield f"{name}: {type(error).__name__}: {error}"


def device(wanted: str, gib: float) -> Iterator[str]:
    """What keeps a matrix product from running there, or too little free memory."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        yield f"no GPU: torch {torch.__version__} (CUDA {torch.version.cuda}) sees none"
        return
    product = torch.ones(64, 64, device=wanted, dtype=torch.bfloat16)
    if float((product @ product).float().sum()) != 64.0**3:
        yield f"a matrix product on {wanted} is wrong"
    if wanted == "cuda":
        free, whole = (value / GIB for value in torch.cuda.mem_get_info())
        print(f"{torch.cuda.get_device_name()}: {free:.0f} of {whole:.0f} GiB free, torch {torch.__version__}")
        if free < gib:
            yield f"{free:.0f} GiB of GPU memory are free, {gib:g} are wanted"


def text() -> Iterator[str]:
    """Whether the sentence encoder knows the words of the corpus."""
    from ditto.data.labels import load_pieces
    from ditto.models.text import shared_text_encoder

    captions = [load_pieces(split)[0].captions[0] for split in ("train", "val", "test")]
    if not shared_text_encoder()(["", *captions]).tokens_BLD.isfinite().all():
        yield "the sentence encoder lacks words of the corpus: build the pack again, `python -m ditto.training.pack`"


def disk(folder: Path, gib: float) -> Iterator[str]:
    """Free space where the music goes."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free / GIB
    print(f"{os.cpu_count()} cores, {free:.0f} GiB free in {there}")
    if free < gib:
        yield f"{free:.0f} GiB are free in {there}, {gib:g} are wanted"


def _said(look: Callable[[], Iterator[str]]) -> list[str]:
    """What a check found; an exception is a finding, so that the others still run."""
    try:
        return list(look())
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def main(argv: list[str] | None = None) -> int:
    """Print what is there and what is wanting; 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m ditto.training.check", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="what will train (default: %(default)s)")
    parser.add_argument("--gpu-gib", type=float, default=40.0, help="free GPU memory wanted (default: %(default)s)")
    parser.add_argument("--disk-gib", type=float, default=30.0, help="free disk wanted (default: %(default)s)")
    args = parser.parse_args(argv)
    data = Path(os.environ.get("DITTO_DATA", "data"))
    looks = (packages, lambda: device(args.device, args.gpu_gib), text, lambda: disk(data, args.disk_gib))
    wanting = [line for look in looks for line in _said(look)]
    for line in wanting:
        print(f"wanting: {line}", file=sys.stderr)
    print("ready" if not wanting else "not ready")
    return 1 if wanting else 0


if __name__ == "__main__":
    sys.exit(main())
