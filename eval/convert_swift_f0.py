"""Convert the weights inside the `swift-f0` 0.3.0 package to safetensors.

    pip install --no-deps swift-f0==0.3.0 && pip install onnx && python -m eval.convert_swift_f0

The package holds one ONNX file. Its convolutions are taken in the order of the graph; the three band matrices are
given by the places and values that are not zero, in the order of the spectra. The confidence head is left out.
"""

from __future__ import annotations

import shutil
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from eval.control.swift_f0 import BLOCKS, WEIGHTS, WINDOWS


def main() -> None:
    import onnx
    from onnx import numpy_helper

    package = distribution("swift-f0")
    graph = onnx.load(str(package.locate_file("swift_f0/model.onnx"))).graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    state = _bands(graph, arrays) | _convolutions(graph, arrays)
    save_file(state, WEIGHTS)
    licence = next(file for file in package.files or () if Path(str(file)).name == "LICENSE")
    shutil.copy(str(package.locate_file(licence)), WEIGHTS.with_name("SWIFT_F0_LICENCE.md"))
    print(f"written: {WEIGHTS}, {sum(value.numel() for value in state.values())} values")


def _bands(graph: Any, arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Where the matrices [K, F] are not zero, as places in the flattened matrix, and their values there."""
    found: dict[str, torch.Tensor] = {}
    scattered = [node for node in graph.node if node.op_type == "ScatterElements"]
    for window, node in zip(WINDOWS, scattered, strict=True):
        places, values = (torch.from_numpy(arrays[name].copy()) for name in node.input[1:3])
        found |= {f"places_{window}": places.int(), f"values_{window}": values}
    return found


def _convolutions(graph: Any, arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Weight and bias of every convolution up to the pitch scores."""
    blocks = [f"blocks.{k}.{part}" for k in range(len(BLOCKS)) for part in ("first", "second")]
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    pitch_score = next(node for node in nodes if arrays[node.input[1]].shape == (1, 4, 1, 1))
    chosen = [*nodes[: len(blocks) + 2], pitch_score]
    found: dict[str, torch.Tensor] = {}
    for name, node in zip(["start", *blocks, "narrow", "score"], chosen, strict=True):
        weight, bias = (torch.from_numpy(arrays[part].copy()) for part in node.input[1:3])
        found |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return found


if __name__ == "__main__":
    main()
