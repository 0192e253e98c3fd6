"""What the two processes of a judge say to each other: messages of JSON and arrays, never code.

A message is one JSON object, whose "arrays" is the number of arrays that follow, each in NumPy's own file format
without pickles. So the two may run different versions of Python, NumPy and torch.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np


def send(channel: Connection, message: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """message: what JSON can hold; arrays: of numbers, any shapes."""
    channel.send_bytes(json.dumps({**message, "arrays": len(arrays)}).encode())
    for array in arrays:
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        channel.send_bytes(file.getvalue())


def receive(channel: Connection) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The next message and its arrays; EOFError where the other side has ended."""
    message = json.loads(channel.recv_bytes())
    count = message.pop("arrays")
    return message, [np.load(io.BytesIO(channel.recv_bytes()), allow_pickle=False) for _ in range(count)]
