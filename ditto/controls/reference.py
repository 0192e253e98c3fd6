"""Reference recordings of painting, inversion and structure transfer: the shipped examples or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ditto.audio.io import read_clip
from ditto.controls.base import ControlError
from ditto.types import ClipRequest, ClipSpec

EXAMPLES = Path(__file__).parent.parent / "data" / "examples"
EXAMPLES_S = 5.95  # just above what the short examples last
AUDIO = (".wav", ".flac", ".ogg", ".mp3")


def reference_files(reference: str | Path | Sequence[str]) -> list[Path]:
    """`examples` (shipped test clips), `long_examples` (24 s each), an audio file, a folder of them, or a list."""
    if not isinstance(reference, str | Path):
        return [Path(path) for path in reference]
    shipped = {"examples": EXAMPLES, "long_examples": EXAMPLES / "long"}
    folder = shipped.get(str(reference), Path(reference))
    if not folder.is_dir():
        return [folder]
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO)
    if not files:
        raise ControlError(f"no audio in the folder '{folder}': give a wav, flac, ogg or mp3 file as reference")
    return files


def reference_waves(
    reference: str | Path | Sequence[str], start_s: float, clip: ClipSpec, clips: list[ClipRequest]
) -> Tensor:
    """One excerpt of a clip's length per clip, [B, N]; files are taken in turn by the clips' position in the run.

    `examples` are the long ones where a model's clips are longer than the short ones.
    """
    if reference == "examples" and clip.seconds > EXAMPLES_S:
        reference = "long_examples"
    files = reference_files(reference)
    if not files:
        raise ControlError("the list of references is empty: give at least one audio file")
    chosen = [files[request.index % len(files)] for request in clips]
    waves = {path: read_clip(path, clip, start_s) for path in dict.fromkeys(chosen)}
    return torch.stack([waves[path] for path in chosen])
