"""Seconds in words."""

from __future__ import annotations


def spell(seconds: float) -> str:
    """3725 -> "1 h 02 min"; never negative, whatever a clock did."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"
