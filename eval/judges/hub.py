"""The Hugging Face hub is asked only for what is needed and not here.

On import laion_clap loads three tokenizers that no judge uses, and frechet_audio_distance imports laion_clap whatever
its network; where there is no network each of them is tried for minutes, also if the cache has it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

ROBERTA = {"roberta-base": ("config.json", "model.safetensors", "vocab.json", "merges.txt")}  # CLAP's text half


@contextlib.contextmanager
def offline(unless_missing: Mapping[str, tuple[str, ...]] | None = None) -> Iterator[None]:
    """Inside, nothing is downloaded; but where a file of `unless_missing` (by repository) is not cached, as ever."""
    from huggingface_hub import constants, try_to_load_from_cache

    files = [(name, file) for name, needed in (unless_missing or {}).items() for file in needed]
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or all(isinstance(try_to_load_from_cache(*file), str) for file in files)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
