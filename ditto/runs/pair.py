"""Two runs side by side: which options differ, then every metric, clip by clip."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeGuard

from ditto.run_directory import NOT_IDENTITY
from ditto.runs.reading import Run

if TYPE_CHECKING:
    import pandas as pd

_ABOUT = {"seed", "batch_size"}
_MISSING = "(none)"


def differing_options(first: Run, second: Run) -> dict[str, tuple[Any, Any]]:
    """Key -> (value of the first, of the second), for the options that change what is made."""
    keys = sorted({*first.config, *second.config})
    kept = [key for key in keys if key.split(".")[0] not in NOT_IDENTITY]
    pairs = {key: (first.config.get(key, _MISSING), second.config.get(key, _MISSING)) for key in kept}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def metrics_side_by_side(first: Run, second: Run) -> pd.DataFrame:
    """Rows (metric, clip), with the mean of the clips that both have as each metric's last; the two values and b - a.

    Clips are the same when prompt and seed are; those of one run alone are left out.
    """
    import pandas as pd

    ours, theirs = _by_prompt(first), _by_prompt(second)
    both = [key for key in ours if key in theirs]
    numbers = [name for key in both for name, value in ours[key][1].items() if _is_number(value)]
    rows = []
    for name in [name for name in dict.fromkeys(numbers) if name not in _ABOUT]:
        pairs = [(ours[key][0], ours[key][1].get(name), theirs[key][1].get(name)) for key in both]
        good = [(clip, float(a), float(b)) for clip, a, b in pairs if _is_number(a) and _is_number(b)]
        rows += [(name, clip, a, b) for clip, a, b in good]
        if good:
            rows.append((name, f"mean of {len(good)}", fmean(a for _, a, _ in good), fmean(b for _, _, b in good)))
    frame = pd.DataFrame(rows, columns=["metric", "clip", "a", "b"])
    frame["b - a"] = frame["b"] - frame["a"]
    return frame


def two_runs(first: Run, second: Run) -> str:
    """Both comparisons as text."""
    lines = [f"{label}  {run.id}  {run.status}  {_named(run)}" for label, run in (("a", first), ("b", second))]
    options = differing_options(first, second)
    width = max(map(len, options), default=0)
    lines += ["", "options that differ:" if options else "no option differs"]
    lines += [f"  {key:<{width}}  {a!r} -> {b!r}" for key, (a, b) in options.items()]
    frame = metrics_side_by_side(first, second)
    if frame.empty:
        return "\n".join([*lines, "", "no clip of the same prompt and seed in both"])
    for name, rows in frame.groupby("metric", sort=False):
        table = rows.drop(columns="metric").to_string(index=False, float_format=lambda value: f"{value:.4g}")
        lines += ["", str(name), table]
    return "\n".join(lines)


def _by_prompt(run: Run) -> dict[tuple[Any, Any], tuple[str, dict[str, Any]]]:
    return {(values.get("prompt"), values.get("seed")): (clip, values) for clip, values in run.metrics.items()}


def _named(run: Run) -> str:
    return " ".join(f"{key}={run.names[key]}" for key in ("task", "method", "model") if key in run.names)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
