"""`model=diffusers model.checkpoint=FOLDER_OR_ID`: any checkpoint of the families that have an adapter here.

A checkpoint in the layout of diffusers says in its model_index.json which pipeline it belongs to; that name chooses the
adapter. Another family: an adapter with a `load` of these options, and a line in `LOADERS`.
"""

from __future__ import annotations

import importlib
from typing import Any

from ditto.models.base import MusicModel
from ditto.models.pretrained.checkpoint import fetch, read_index
from ditto.models.pretrained.source import INDEX, Source
from ditto.types import UserError

# `_class_name` of model_index.json -> module of the adapter; imported when it is asked for.
LOADERS = {
    "MusicLDMPipeline": "ditto.models.pretrained.musicldm",
    "AudioLDMPipeline": "ditto.models.pretrained.musicldm",
    "AudioLDM2Pipeline": "ditto.models.pretrained.audioldm2",
    "StableAudioPipeline": "ditto.models.pretrained.stable_audio",
}
UNKNOWN = Source("the checkpoint", hub="", gib=0.0, licence="")


def load(
    checkpoint: str | None = None,
    device: str = "cpu",
    precision: str = "auto",
    decoder_precision: str = "float32",
    recompute: bool = False,
    revision: str | None = None,
    name: str = "diffusers",
    **options: Any,
) -> MusicModel:
    """The model of a folder or hub id; further `options` are those of the adapter that it turns out to need."""
    if not checkpoint:
        raise UserError(
            "no weights chosen: give model.checkpoint=FOLDER (in the layout of diffusers) or the id of a model on the "
            f"Hugging Face hub; supported are checkpoints of {', '.join(LOADERS)}"
        )
    adapter = importlib.import_module(LOADERS[family_of(checkpoint, revision)])
    model: MusicModel = adapter.load(
        checkpoint=checkpoint,
        device=device,
        precision=precision,
        decoder_precision=decoder_precision,
        recompute=recompute,
        revision=revision,
        name=name,
        **options,
    )
    return model


def family_of(checkpoint: str, revision: str | None = None) -> str:
    """The pipeline class of a checkpoint; UserError that names what is supported where it is none of those."""
    pipeline = read_index(fetch(checkpoint, UNKNOWN, parts=(), revision=revision)).get("_class_name")
    if pipeline not in LOADERS:
        raise UserError(
            f"{checkpoint} is a checkpoint of {pipeline} ({INDEX}), which has no adapter: supported are "
            f"{', '.join(LOADERS)}"
        )
    return str(pipeline)
