"""Convert the weights inside the `musicnn` 0.1.0 package to safetensors, without TensorFlow.

    pip install --no-deps musicnn==0.1.0 && python -m eval.convert_musicnn

A TF-V2 checkpoint ("tensor bundle") is an `.index` file, a LevelDB table whose values are BundleEntryProto messages
(1 dtype, 2 shape, 4 offset, 5 size), and a data file holding the little-endian arrays. Only what these two files use
is read: one shard, no compression, float32. Golden values for the tests are written beside the weights.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import shutil
import struct
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from eval.musicnn import NAMES, WEIGHTS, MusicNN

LEVELDB_MAGIC = bytes.fromhex("57fb808b247547db")
FLOAT32 = 1
# torch module -> (TensorFlow layer, TensorFlow batch norm), in the order the package builds its graph
LAYERS = {
    **{f"front.{i}": (f"conv2d_{i}" if i else "conv2d", f"batch_normalization_{i + 1}") for i in range(5)},
    **{f"middle.{i}": (f"conv2d_{i + 5}", f"batch_normalization_{i + 6}") for i in range(3)},
}
NORMS = {"norm": "batch_normalization", "pool_norm": "batch_normalization_9", "dense_norm": "batch_normalization_10"}
DENSE = {"dense": "dense", "logits": "dense_1"}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _table_block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Key, value pairs of one LevelDB block (keys are prefix-compressed)."""
    if data[offset + size] != 0:
        raise ValueError("compressed table blocks are not supported")
    block = data[offset : offset + size]
    end, at, key = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0], 0, b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + length]
        at += length


def _message(data: bytes) -> list[tuple[int, int | bytes]]:
    """(field, value) pairs of a protocol buffer message."""
    fields: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            fields.append((key >> 3, value))
            continue
        length, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        fields.append((key >> 3, data[at : at + length]))
        at += length
    return fields


def _shape(message: bytes) -> list[int]:
    """TensorShapeProto -> sizes; a size of zero fields means 0."""
    dims = [value for field, value in _message(message) if field == 2 and isinstance(value, bytes)]
    return [int(dict(_message(dim)).get(1, 0)) for dim in dims]


def read_bundle(prefix: str) -> dict[str, np.ndarray]:
    """Every float32 tensor of the bundle `<prefix>.index`, by name."""
    index = Path(prefix + ".index").read_bytes()
    data = Path(prefix + ".data-00000-of-00001").read_bytes()
    footer, at = index[-48:], 0
    if footer[-8:] != LEVELDB_MAGIC:
        raise ValueError(f"{prefix}.index is not a TensorFlow bundle index")
    for _ in range(2):  # the handle of the meta-index block
        _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, at = _varint(footer, at)
    tensors = {}
    for _, handle in _table_block(index, offset, size):
        start, at = _varint(handle, 0)
        for key, value in _table_block(index, start, _varint(handle, at)[0]):
            entry = dict(_message(value))
            if key and entry.get(1) == FLOAT32:
                begin = int(entry.get(4, 0))
                raw = data[begin : begin + int(entry[5])]
                shape = entry.get(2, b"")
                tensors[key.decode()] = np.frombuffer(raw, "<f4").reshape(_shape(shape))  # type: ignore[arg-type]
    return tensors


def to_state(tensors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """TensorFlow names and layouts -> the state dict of `MusicNN`."""

    def tensor(name: str, *order: int) -> torch.Tensor:
        return torch.from_numpy(tensors[name].transpose(order or None).copy() if order else tensors[name].copy())

    def norm(target: str, source: str) -> dict[str, torch.Tensor]:
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        state = {f"{target}.{ours}": tensor(f"{source}/{theirs}") for ours, theirs in names.items()}
        return state | {f"{target}.num_batches_tracked": torch.tensor(0)}

    state: dict[str, torch.Tensor] = {}
    for target, (layer, batch_norm) in LAYERS.items():
        state[f"{target}.conv.weight"] = tensor(f"{layer}/kernel", 3, 2, 0, 1)
        state[f"{target}.conv.bias"] = tensor(f"{layer}/bias")
        state |= norm(f"{target}.norm", batch_norm)
    for target, source in NORMS.items():
        state |= norm(target, source)
    for target, source in DENSE.items():
        state[f"{target}.weight"] = tensor(f"{source}/kernel", 1, 0)
        state[f"{target}.bias"] = tensor(f"{source}/bias")
    return state


def golden_input() -> torch.Tensor:
    """A log mel [2, 187, 96] from plain numbers, in the range of music (0 to 4): the tests build it again."""
    grid = np.add.outer(np.arange(2) * 0.7, np.add.outer(np.arange(187) * 0.13, np.arange(96) * 0.29))
    return torch.from_numpy(2 + np.sin(grid) + np.cos(3.1 * grid)).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    out = parser.parse_args().out
    spec = importlib.util.find_spec("musicnn")
    if spec is None or spec.origin is None:
        raise SystemExit("the musicnn package is missing: pip install --no-deps musicnn==0.1.0")
    out.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        model = MusicNN()
        model.load_state_dict(to_state(read_bundle(f"{Path(spec.origin).parent}/{name.upper()}_musicnn/")))
        source = {"source": "musicnn 0.1.0", "licence": "ISC"}
        save_file(model.state_dict(), out / f"musicnn_{name}.safetensors", source)
        with torch.no_grad():
            embedding = model(golden_input())
            golden = {"embedding": embedding, "logits": model.logits(embedding)}
        save_file(golden, out / f"musicnn_{name}_golden.safetensors")
    labels = importlib.import_module("musicnn.configuration")
    tags = {name: getattr(labels, f"{name.upper()}_LABELS") for name in NAMES}
    (out / "musicnn_tags.json").write_text(json.dumps(tags) + "\n")
    notice = next(f for f in distribution("musicnn").files or [] if f.name.upper().startswith("LICENSE"))
    shutil.copy(str(notice.locate()), out / "MUSICNN_LICENCE.md")
    print(f"wrote {', '.join(sorted(p.name for p in out.iterdir()))} to {out}")


if __name__ == "__main__":
    main()
