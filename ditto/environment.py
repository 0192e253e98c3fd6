"""What a run was made with: commit, versions, device, weights. Enough to tell two results apart, not to log in."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ditto.models.base import MusicModel

PACKAGES = ("torch", "numpy", "scipy", "diffusers", "transformers", "hydra-core", "librosa", "soundfile")


def environment(model: MusicModel) -> dict[str, Any]:
    """The contents of environment.json."""
    import torch

    return {
        **_of_process(),
        "device": device_name(model.device),
        "threads": torch.get_num_threads(),
        "model": model.name,
        "weights": model.weights_hash,
        "network_dtype": str(model.dtype).removeprefix("torch."),
    }


@lru_cache(maxsize=1)
def _of_process() -> dict[str, Any]:
    """What is loaded does not change; the commit is that of the first job, whose code all of them run."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
    }


def commit() -> str:
    """The commit of the code, with "+" when files but results/ differ from it; "unknown" outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)results")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("+" if changed else "")


def device_name(device: Any) -> str:
    """The GPU's name, or the CPU's with its number of cores."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return (
        f"{_cpu_name()} ({len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores)"
    )


@lru_cache(maxsize=1)
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "CPU"


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
