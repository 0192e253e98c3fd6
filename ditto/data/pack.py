"""The corpus in the repository: a ``midi-<split>.tar.xz`` per split or series; bytes depend on its content alone."""

import io
import lzma
import os
import re
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ditto.data.grooves import CORPUS
from ditto.errors import UserError


def atomic_write(path: Path, data: bytes) -> None:
    """Write a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    partial.write_bytes(data)
    os.replace(partial, path)


def write_pack(split: str, files: Mapping[str, bytes], folder: Path = CORPUS) -> Path:
    """Pack MIDI files by piece id."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            info = tarfile.TarInfo(f"{name}.mid")
            info.size = len(files[name])
            tar.addfile(info, io.BytesIO(files[name]))
    path = folder / f"midi-{split}.tar.xz"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26}]
    atomic_write(path, lzma.compress(buffer.getvalue(), filters=filters))
    return path


def pack_of(piece_id: str, split: str) -> str:
    """The pack that holds a piece: ``train-e0042`` is of the electronic series, others of their split."""
    return "electronic" if re.match(r"train-e\d", piece_id) else split


@cache
def read_pack(split: str, folder: Path = CORPUS) -> dict[str, bytes]:
    """MIDI bytes by piece id."""
    path = folder / f"midi-{split}.tar.xz"
    if not path.exists():
        raise UserError(f"{path} is missing: python -m ditto.data.build midi")
    with tarfile.open(path, mode="r:xz") as tar:
        return {info.name.removesuffix(".mid"): tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
