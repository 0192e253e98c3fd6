"""How the page writes names and numbers: labels, units, and which way is better."""

from __future__ import annotations

import math
import re

from eval.orders import better_is_higher
from eval.page import number

METRICS = {  # label, unit
    "intensity_mse": ("intensity MSE", "dB²"),
    "intensity_correlation": ("intensity correlation", ""),
    "melody_accuracy": ("melody accuracy", "%"),
    "melody_nll": ("melody NLL", "nats"),
    "structure_mse": ("structure MSE", ""),
    "overlap_mse": ("overlap MSE", ""),
    "seam_db": ("overlap difference", "dB"),
    "overlap_mel_mse": ("overlap mel MSE", "Np²"),
    "seam_ratio": ("seam", ""),
    "seam_change": ("seam, change", ""),
    "seam_step": ("seam, step", ""),
    "melody_f0_accuracy": ("melody by f₀ tracker", "%"),
    "model_calls": ("model calls", ""),
    "seconds_per_clip": ("s per clip", ""),
    "seconds_per_step": ("s per step", ""),
    "peak_memory_gib": ("memory", "GiB"),
    "batch_size": ("batch", ""),
    "fad_ratio": ("FAD / text only", ""),
}
NEUTRAL = ("steps", "batch_size", "failed", "n")  # neither more nor fewer is better


def metric(name: str) -> tuple[str, str]:
    """(label, unit) of a metric."""
    words = re.sub(r"^fad_pc(\d+)", r"FAD, \1 PCs", name).replace("_", " ")
    return METRICS.get(name, (words.replace("fad", "FAD").replace("mse", "MSE"), ""))


def cost(name: str) -> str:
    """The words after a cost of one clip."""
    return {"steps": "steps", "model_calls": "calls", "seconds": "s"}.get(name, metric(name)[0])


def arrow(name: str) -> str:
    """Which way is better: ↑, ↓ or nothing."""
    return "" if name in NEUTRAL else "↑" if better_is_higher(name) else "↓"


def written(value: float) -> str:
    """Three digits; tiny values (rounding errors of a float) as a power of ten, nothing for NaN."""
    if value and abs(value) < 1e-3:
        exponent = math.floor(math.log10(abs(value)))
        raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{value / 10.0**exponent:.1f}·10{raised}".replace("-", "−")
    return number(value).replace("-", "−")
