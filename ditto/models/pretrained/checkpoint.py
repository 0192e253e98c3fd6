"""A published checkpoint on this machine: fetched, checked whole, hashed, and loaded part by part.

Only the parts that are asked for are downloaded, once, into the cache of the hub (HF_HOME); a cached snapshot works
offline. Weights are read from safetensors alone: a pickle (`.bin`) can run code when it is opened, so a part that has
nothing else is refused. Nothing here touches the network but `fetch`.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ditto.models.pretrained.source import INDEX, LEFT_OUT, Source, allowed
from ditto.types import NoSpace, UserError

CONFIGS = ("config.json", "scheduler_config.json", "tokenizer_config.json", "preprocessor_config.json")
STEMS = ("diffusion_pytorch_model", "model")  # of weight files: diffusers, transformers
COVERED = 0.9  # share of a text model's vocabulary that its tokenizer must know
# Constants that older versions saved with the weights and newer ones make themselves.
CONSTANTS = ("position_ids", ".attn.bias", ".attn.masked_bias", "num_batches_tracked")


def fetch(checkpoint: str, source: Source, parts: Sequence[str], revision: str | None = None) -> Path:
    """The folder that holds `parts` of a checkpoint, each of them whole.

    checkpoint: a folder, or a hub id, of which only the parts are downloaded (with the hub's progress bar);
    revision: branch, tag or commit of a hub id. Raises UserError that says what to download and how.
    """
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"model.revision={revision} is for a hub id; {checkpoint} is a folder")
    else:
        folder = _snapshot(checkpoint, source, parts, revision)
    try:
        check_whole(folder, parts)
    except UserError as error:
        how = source.how_to_get(source.hub if folder == Path(checkpoint).expanduser() else checkpoint, parts, revision)
        raise UserError(f"no weights of {source.title}: {error}; {how}") from error
    return folder


def check_whole(folder: Path, parts: Sequence[str]) -> None:
    """Raise UserError unless model_index.json and every part are there, those with a config.json with all weights."""
    if not (folder / INDEX).is_file():
        raise UserError(f"{folder} is no checkpoint in the layout of diffusers: it has no {INDEX}")
    absent = [part for part in parts if not any((folder / part / name).is_file() for name in CONFIGS)]
    if absent:
        raise UserError(f"{folder} is not whole: nothing of {', '.join(absent)}")
    for part in parts:
        if (folder / part / "config.json").is_file():
            absent = [file.name for file in weight_files(folder, part) if not file.is_file()]
            if absent:
                raise UserError(f"{folder} is not whole: {part} lacks {', '.join(absent)}")


def weight_files(folder: Path, part: str) -> list[Path]:
    """The safetensors files of a part: one, or those that its index names (they may be missing)."""
    for stem in STEMS:
        index = folder / part / f"{stem}.safetensors.index.json"
        if index.is_file():
            return sorted({folder / part / name for name in _json(index)["weight_map"].values()})
        if (folder / part / f"{stem}.safetensors").is_file():
            return [folder / part / f"{stem}.safetensors"]
    if any((folder / part).glob("*.bin")):
        raise UserError(f"{folder / part} has pickled weights (.bin) only, which can run code: see docs/models.md")
    raise UserError(f"{folder} is not whole: {part} has no weights ({' or '.join(STEMS)}.safetensors)")


def weights_hash(folder: Path, parts: Sequence[str]) -> str:
    """16 hex digits that change with any weight or setting of these parts; not with the folder's name or place."""
    digest = hashlib.sha256()
    for part in sorted(parts):
        settings = {key: value for key, value in read_config(folder, part).items() if not key.startswith("_")}
        digest.update(json.dumps([part, settings], sort_keys=True).encode())
        if (folder / part / "config.json").is_file():
            for path in weight_files(folder, part):
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def read_config(folder: Path, part: str) -> dict[str, Any]:
    """The settings of a part: of a model, a scheduler, a tokenizer or a feature extractor."""
    for name in CONFIGS:
        if (folder / part / name).is_file():
            return _json(folder / part / name)
    raise UserError(f"{folder} is not whole: {part} has no {' or '.join(CONFIGS[:2])}")


def read_index(folder: Path) -> dict[str, Any]:
    """model_index.json: the class of the pipeline (`_class_name`), and library and class of each part."""
    return _json(folder / INDEX)


def load_part(cls: type, folder: Path, part: str, unused: Sequence[str] = ()) -> nn.Module:
    """A network of diffusers or transformers with all its weights, in float32 and evaluation mode.

    unused: beginnings of the names of weights that the checkpoint has and `cls` need not have. Raises UserError where
    a weight is missing, of another shape, or one that the network does not know.
    """
    from transformers import PreTrainedModel

    weight_files(folder, part)
    dtype = "dtype" if issubclass(cls, PreTrainedModel) else "torch_dtype"
    options = {dtype: torch.float32} | ({} if issubclass(cls, PreTrainedModel) else {"low_cpu_mem_usage": False})
    try:
        with _quiet():
            module, found = cast(Any, cls).from_pretrained(
                str(folder / part), local_files_only=True, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:  # a damaged file ends in errors of several libraries
        raise UserError(f"{folder / part} cannot be loaded as {cls.__name__}: {_first_line(error)}") from error
    wrong = {kind: _named(found.get(f"{kind}_keys", ())) for kind in ("missing", "mismatched", "unexpected")}
    known = tuple(unused)
    wrong["unexpected"] = [n for n in wrong["unexpected"] if not n.endswith(CONSTANTS) and not n.startswith(known)]
    told = [f"{len(names)} weights {kind} ({names[0]} …)" for kind, names in wrong.items() if names]
    if told:
        raise UserError(f"{folder / part} is no whole {cls.__name__}: {', '.join(told)}")
    return cast(nn.Module, module).eval()


def load_tokenizer(folder: Path, part: str, vocabulary: int | None = None) -> Any:
    """The tokenizer of a part; vocabulary: how many tokens its text model knows, if that is to be compared.

    Where a tokenizer's files are missing, transformers 5 builds an empty one without a word: that one is refused.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder / part), local_files_only=True)
    except Exception as error:  # of several libraries, as above
        raise UserError(f"no tokenizer in {folder / part}: {_first_line(error)}") from error
    special = {*tokenizer.all_special_tokens, *(str(token) for token in tokenizer.added_tokens_decoder.values())}
    words = set(tokenizer.get_vocab()) - special
    if not words or len(tokenizer) < COVERED * (vocabulary or 0):
        of = f" of {vocabulary}" if vocabulary else ""
        raise UserError(
            f"the tokenizer in {folder / part} knows {len(words)}{of} words: its files are missing (tokenizer.json, or "
            "vocab.json and merges.txt); download the part again"
        )
    return tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no report of weights from transformers: what is wrong is told by `load_part`."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _snapshot(checkpoint: str, source: Source, parts: Sequence[str], revision: str | None) -> Path:
    """The hub's snapshot of the parts: from the cache, or downloaded."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                checkpoint, revision=revision, allow_patterns=allowed(parts), ignore_patterns=list(LEFT_OUT)
            )
        )
    except Exception as error:  # the hub's errors, those of its HTTP and transfer libraries, and the system's
        room = (getattr(error, "errno", None) == errno.ENOSPC) or "no space left" in str(error).lower()
        how = source.how_to_get(source.hub if isinstance(error, ValueError) else checkpoint, parts, revision)
        why = _reason(error, checkpoint, revision, room)
        raise (NoSpace if room else UserError)(f"no weights of {source.title}: {why}; {how}") from error


def _reason(error: Exception, checkpoint: str, revision: str | None, room: bool) -> str:
    """Why there is no snapshot, in a few words."""
    from huggingface_hub import constants, errors

    if room:
        return f"no room for {checkpoint} in {constants.HF_HUB_CACHE}: make room, or set HF_HOME to a larger disk"
    if isinstance(error, errors.GatedRepoError):
        return f"{checkpoint} is gated, and no login that has accepted its licence was found"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has no model {checkpoint}, or it needs a login"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{checkpoint} has no revision {revision}"
    if isinstance(error, errors.HFValidationError):
        return f"{checkpoint} is neither a folder here nor the id of a model on the hub"
    if isinstance(error, errors.LocalEntryNotFoundError):
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        return f"{checkpoint} is not on this machine (or not whole), and {why}"
    return f"{checkpoint} could not be downloaded ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"


def _named(keys: Any) -> list[str]:
    """Names of weights; a mismatch also carries its shapes."""
    return sorted(key if isinstance(key, str) else str(key[0]) for key in keys)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {_first_line(error)}; download it again") from error
