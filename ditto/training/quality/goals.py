"""The goals of the embedded model, read from the table: reached, not reached, or not measured.

1. FAD of the generated clips at most twice that of the vocoder's round trip, at equal n.
2. The prompted genre's family recognised in more than 80 % of the generated clips; beside it what the same judge
   recognises in real clips and in their round trip, which is as much as a generated clip could be expected to reach.
"""

from __future__ import annotations

import pandas as pd

FAD_RATIO = 2.0
FAMILY_SHARE = 0.8


def goal_lines(rows: pd.DataFrame) -> list[str]:
    """One line a goal, T and guidance scale w, from the rows of one model."""
    lines = []
    others = rows[rows["set"] != "generated"]
    for (steps, scale), made in rows[rows["set"] == "generated"].groupby(["T", "guidance_scale"], dropna=False):
        both = pd.concat([made, others])
        title = f"T = {steps}, w = {scale:g}"
        lines += [f"{title}: {_fad_line(both)}", f"{title}: {_family_line(both)}"]
    return lines


def _fad_line(rows: pd.DataFrame) -> str:
    made, vocoder = _pair(rows, "fad")
    if made is None or vocoder is None:
        return "FAD not measured"
    ratio = made["value"] / vocoder["value"]
    figures = f"{made['value']:.1f}, vocoder round trip {vocoder['value']:.1f}, ratio {ratio:.2f}, n = {made['n']}"
    return f"FAD {figures}; goal at most {FAD_RATIO:g}: {_verdict(ratio <= FAD_RATIO)}"


def _family_line(rows: pd.DataFrame) -> str:
    made, vocoder = _pair(rows, "family_accuracy")
    if made is None:
        return "genre family not measured"
    real = _first(rows[rows["set"] == "real"], "family_accuracy")
    same = (rows["set"] == "generated") & (rows["n"] == made["n"])
    shuffled = _first(rows[same], "family_accuracy_shuffled")
    beside = [
        f"{name} {one['value']:.0%}"
        for name, one in (("shuffled", shuffled), ("round trip", vocoder), ("real", real))
        if one is not None
    ]
    figures = f"{made['value']:.0%} ({', '.join(beside)}), n = {made['n']}"
    goal = f"goal over {FAMILY_SHARE:.0%}: {_verdict(made['value'] > FAMILY_SHARE)}"
    return f"genre family recognised {figures}; {goal}"


def _pair(rows: pd.DataFrame, metric: str) -> tuple[pd.Series | None, pd.Series | None]:
    """The generated clips' row and the round trip's, of the same n where there is one."""
    vocoder = _first(rows[rows["set"] == "vocoder"], metric)
    made = rows[rows["set"] == "generated"]
    equal = made[made["n"] == vocoder["n"]] if vocoder is not None else made
    return _first(equal if metric == "fad" or len(equal) else made, metric), vocoder


def _first(rows: pd.DataFrame, metric: str) -> pd.Series | None:
    found = rows[rows["metric"] == metric]
    return found.iloc[0] if len(found) else None


def _verdict(reached: bool) -> str:
    return "reached" if reached else "not reached"
