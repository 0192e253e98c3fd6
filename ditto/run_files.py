"""Is a run whole? What status.json says it holds, against what is there.

A finished run's status.json lists its files: name -> [bytes, first 16 hex digits of the SHA-256]. `damage` is the
cheap check, made before a run is skipped or listed: sizes, and that the JSON files parse. `deep_damage` reads
everything. Runs made before there was such a list are held to less: the JSON files parse and agree, and each clip has
its sound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ditto.atomic import read_json

Print = list[Any]  # [bytes, digest]: a list, as JSON gives it back
# What later readers count on in status.json, and of what kind it has to be.
_KINDS: dict[str, type | tuple[type, ...]] = {
    "reason": str,
    "traceback": str,
    "started": (int, float),
    "finished": (int, float),
    "duration_s": (int, float),
    "names": dict,
    "clips": int,
    "metric": str,
    "failed_clips": dict,
    "files": dict,
}


def fingerprint(data: bytes) -> Print:
    return [len(data), hashlib.sha256(data).hexdigest()[:16]]


def read_status(folder: Path) -> dict[str, Any]:
    """What status.json says, without entries of the wrong kind; {} where it is missing or no status at all."""
    said = read_json(folder / "status.json")
    if not isinstance(said, dict) or not isinstance(said.get("status"), str):
        return {}
    kept: dict[str, Any] = {key: value for key, value in said.items() if isinstance(value, _KINDS.get(key, object))}
    if not all(isinstance(value, list) and len(value) == 2 for value in kept.get("files", {}).values()):
        del kept["files"]
    return kept


def read_clips(path: Path) -> dict[str, dict[str, Any]]:
    """metrics.json or history.json: clip id -> its values; {} where the file is missing or something else."""
    said = read_json(path)
    return said if isinstance(said, dict) and all(isinstance(value, dict) for value in said.values()) else {}


def damage(folder: Path, status: Mapping[str, Any] | None = None) -> str:
    """What is wrong with a run that says it is done, in a few words; "" for a whole one."""
    status = read_status(folder) if status is None else status
    metrics = read_clips(folder / "metrics.json")
    if not metrics:
        return _absent(folder / "metrics.json")
    if set(read_clips(folder / "history.json")) != set(metrics):
        return _absent(folder / "history.json", "does not fit metrics.json")
    if len(metrics) != status.get("clips", len(metrics)):
        return f"metrics.json has {len(metrics)} of {status['clips']} clips"
    return next(_changed_sizes(folder, status.get("files") or _expected(metrics)), "")


def deep_damage(folder: Path) -> str:
    """As `damage`, with every file read: digests, and that sound and latents open."""
    status = read_status(folder)
    found = damage(folder, status)
    if found:
        return found
    prints = status.get("files", {})
    names = prints or [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return next(filter(None, (_unreadable(folder / name, name, prints.get(name)) for name in names)), "")


def intact(path: Path, expected: Print) -> bool:
    """Is the file byte for byte what was written?"""
    try:
        return path.stat().st_size == expected[0] and fingerprint(path.read_bytes()) == expected
    except (OSError, IndexError, TypeError):
        return False


def _changed_sizes(folder: Path, files: Mapping[str, Any]) -> Iterator[str]:
    for name, expected in files.items():
        try:
            size = (folder / name).stat().st_size if (folder / name).is_file() else -1
        except OSError:
            size = -1
        if size < 0:
            yield f"{name} is missing"
        elif size != expected[0] if expected else size == 0:
            yield f"{name} has {size} bytes" + (f" and should have {expected[0]}" if expected else "")


def _expected(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, None]:
    """Files of a run that has no list of them."""
    return {f"audio/{clip}.flac": None for clip, values in metrics.items() if "failed" not in values}


def _absent(path: Path, otherwise: str = "holds no clips") -> str:
    if not path.exists():
        return f"{path.name} is missing"
    return f"{path.name} " + (otherwise if isinstance(read_json(path), dict) else "cannot be read")


def _unreadable(path: Path, name: str, expected: Print | None) -> str:
    if expected is not None and not intact(path, expected):
        return f"{name} is not what was written"
    try:
        if path.suffix == ".flac":
            import soundfile

            with soundfile.SoundFile(path) as sound:
                if sum(len(block) for block in sound.blocks(2**16)) != sound.frames:
                    return f"{name} ends early"
        elif path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "numpy") as file:
                list(file.keys())
    except Exception as error:
        return f"{name} cannot be opened ({next(iter(str(error).splitlines()), type(error).__name__)})"
    return ""
