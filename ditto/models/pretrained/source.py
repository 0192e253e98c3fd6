"""Where the weights of a published model come from, and what to tell somebody who has not got them.

A checkpoint is a folder in the layout of diffusers (`model_index.json`, one folder a part) or the id of one on the
Hugging Face hub. Sizes are GiB (2^30 bytes) of the files that are needed, not of everything that the hub holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INDEX = "model_index.json"
# Pickled weights, weights of other frameworks, and second copies in half precision.
LEFT_OUT = ("*.bin", "*.ckpt", "*.pt", "*.h5", "*.msgpack", "*.onnx", "*.fp16*", "*.bf16*", "*non_ema*")


@dataclass(frozen=True)
class Source:
    """title: of the model; hub: its id; gib: of the needed files; licence: of the weights.

    gated: the hub asks for a login and for the licence to be accepted; also: whatever else must be done first.
    """

    title: str
    hub: str
    gib: float
    licence: str
    gated: bool = False
    also: str = ""

    def how_to_get(self, checkpoint: str, parts: Sequence[str], revision: str | None = None) -> str:
        """What to download, how large, under which licence, with which command, and where to put it."""
        if not checkpoint:
            return "give a folder that a pipeline of diffusers was saved to, or the id of one on the Hugging Face hub"
        page = f"https://huggingface.co/{checkpoint}"
        if checkpoint == self.hub:
            what = f"{checkpoint}, {self.gib:.1f} GiB, licence {self.licence}"
            steps = [f"accept the licence at {page} and `hf auth login`"] if self.gated else []
            steps += [self.also] if self.also else []
        else:  # somebody's own weights: nothing is known about them here
            what, steps = f"{checkpoint} (size and licence: {page})", []
        first = "".join(f"first {step}; then " for step in steps)
        return (
            f"{first}download {what}: `{download_command(checkpoint, parts, revision)}` where there is a network. "
            "After that the run works offline; for another machine add `--local-dir FOLDER` to the download, copy "
            "FOLDER there and give model.checkpoint=FOLDER"
        )


def allowed(parts: Sequence[str]) -> list[str]:
    """Patterns of the files that are needed; `LEFT_OUT` are those of them that are not."""
    return [INDEX, *(f"{part}/*" for part in parts)]


def download_command(checkpoint: str, parts: Sequence[str], revision: str | None = None) -> str:
    """What downloads these parts (none named: all of them) by hand, in one line."""
    words = ["hf download", checkpoint]
    words += ["--revision", revision] if revision else []
    words += [f"--include '{pattern}'" for pattern in allowed(parts)] if parts else []
    words += [f"--exclude '{pattern}'" for pattern in LEFT_OUT if pattern in ("*.bin", "*.fp16*")]
    return " ".join(words)
