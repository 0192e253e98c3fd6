"""GPU hours that a method trained for before it could be used, where its packaged weights say so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ditto.run_directory import read_json
from eval.sets import Row as Line
from eval.sets import row
from eval.tables.base import Found, Lacking, Needs

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class TrainingHours:
    """`hours` of the config.json beside a method's weights; `weights`: method -> folder of the repository."""

    weights: dict[str, str]
    needs: Needs = "nothing"

    def __call__(self, found: Found) -> Line | Lacking:
        folder = self.weights.get(found.cell.method)
        if folder is None:
            return {**row("fine_tuning_hours", 0.0, 0), "n": None}  # nothing to train
        config = read_json(ROOT / folder / "config.json") or {}
        if "hours" in config:
            device = config.get("device", "a device that was not recorded")
            trained = f"hours of training of {found.cell.method}: on {device}"
            return {**row("fine_tuning_hours", float(config["hours"]), 0), "n": None, "note": trained}
        known = ", ".join(f"{name} {config[name]}" for name in ("steps", "clips_seen") if name in config)
        return Lacking(f"{folder}/config.json does not tell the hours of training ({known or 'no such file'})")
