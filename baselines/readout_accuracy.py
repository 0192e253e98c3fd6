"""How well the readout heads read, against t: `python -m baselines.readout_accuracy`.

Windows of the validation split are noised to timesteps of ten bins (uniform within a bin, seeded), read, and compared
with what was measured of the sound, both in the form that a control compares (smoothed as it smooths):

    intensity_mse    dB², of the level curve;                        constant: the mean level
    melody_accuracy  % of frames whose strongest class is right;     constant: the class that is most often strongest
    structure_mse    of the self-similarity matrix;                  constant: the mean similarity

`constant` is the best constant answer on these very windows. Writes readout_accuracy.csv (one row a metric and bin; se
is the standard error over the n windows) and readout_accuracy.png.
Shapes: B clips, N windows, T frames, P = 12 pitch classes.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from baselines.readout_controls import estimate
from baselines.readout_heads import Readings, ReadoutHeads, read
from baselines.readout_training import Batch, condition_of, draw
from baselines.readout_weights import CONFIG, PACKAGED, load_heads
from ditto.controls.base import Control, mean_squared_error
from ditto.controls.intensity import Intensity
from ditto.controls.melody import Melody
from ditto.controls.structure import Structure
from ditto.environment import commit, device_name
from ditto.models.base import MusicModel
from ditto.models.embedded import load
from ditto.small_png import write_png
from ditto.training.control_clips import ControlData
from ditto.types import ClipRequest, UserError

BINS, BATCH = 10, 16


@dataclass(frozen=True)
class Judge:
    """A metric [B] of what a control compares, and what it is for the best constant answer [N]."""

    metric: str
    control: Control
    score: Callable[[Tensor, Tensor], Tensor]
    constant: Callable[[Tensor], Tensor]


def hits(y_hat_BPT: Tensor, y_BPT: Tensor) -> Tensor:
    """Percentage of frames whose strongest class is the same, [B]."""
    return 100 * (y_hat_BPT.argmax(1) == y_BPT.argmax(1)).float().mean(1)


def majority(y_NPT: Tensor) -> Tensor:
    """Percentage of frames of each window that have the most frequent class of all, [N]."""
    strongest_NT = y_NPT.argmax(1)
    return 100 * (strongest_NT == strongest_NT.flatten().mode().values).float().mean(1)


def from_mean(y: Tensor) -> Tensor:
    """Squared distance of [N, ...] from their mean, [N]."""
    return mean_squared_error(y, y.mean())


def judges(model: MusicModel) -> list[Judge]:
    """The three tasks with their default options."""
    clip = [ClipRequest("validation", "", 0, 0)]
    return [
        Judge("intensity_mse", Intensity().bind(model, clip), mean_squared_error, from_mean),
        Judge("melody_accuracy", Melody().bind(model, clip), hits, majority),
        Judge("structure_mse", Structure().bind(model, clip), mean_squared_error, from_mean),
    ]


def measured(batch: Batch) -> Readings:
    """What perfect heads would say."""
    return Readings(batch["rms_db_BT"], batch["chroma_BPT"].clamp_min(1e-6).log(), batch["mfcc_BDT"])


@torch.no_grad()
def accuracy(model: MusicModel, heads: ReadoutHeads, batches: list[Batch], tasks: list[Judge]) -> pd.DataFrame:
    """metric, t_from, t_to, value, se, constant, n: one row a metric and bin."""
    truths = {task.metric: [estimate(task.control, measured(batch)) for batch in batches] for task in tasks}
    constants = {task.metric: task.constant(torch.cat(truths[task.metric])).mean().item() for task in tasks}
    rows = []
    for number in tqdm(range(BINS), desc="timesteps", unit="bin"):
        readings = [read_in_bin(model, heads, batch, number, k) for k, batch in enumerate(batches)]
        for task in tasks:
            pairs = zip(readings, truths[task.metric], strict=True)
            score_N = torch.cat([task.score(estimate(task.control, reading), y) for reading, y in pairs])
            se = (score_N.std() / len(score_N) ** 0.5).item()
            row = {"metric": task.metric, "t_from": number * 1000 // BINS, "t_to": (number + 1) * 1000 // BINS}
            rows.append({**row, "value": score_N.mean().item(), "se": se, "constant": constants[task.metric]})
    return (
        pd.DataFrame(rows).assign(n=sum(len(batch["mel_BFT"]) for batch in batches)).sort_values(["metric", "t_from"])
    )


def read_in_bin(model: MusicModel, heads: ReadoutHeads, batch: Batch, number: int, k: int) -> Readings:
    """The readings of batch k at timesteps of bin `number`; the noise is the same in every bin."""
    t_B, noise = draw(batch, torch.Generator().manual_seed(k))
    t_B = (number * 1000 + t_B) // BINS
    x_t = model.schedule.add_noise(model.encode_mel(batch["mel_BFT"]), noise, t_B)
    return read(model, heads, x_t, t_B, condition_of(batch))


def validation(data_root: Path, n: int) -> list[Batch]:
    """At least n windows of the validation split, each with a caption."""
    data = ControlData(str(data_root), batch_size=min(BATCH, n), val_batches=-(-n // BATCH))
    data.prepare_data()
    data.setup()
    return [data.sets["val"][k] for k in range(len(data.sets["val"]))]


def draw_picture(table: pd.DataFrame, path: Path) -> None:
    """One panel a metric: the heads, and the best constant dashed."""
    from matplotlib.figure import Figure

    units = {"intensity_mse": "dB²", "melody_accuracy": "%", "structure_mse": "mean squared error"}
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    for ax, (metric, rows) in zip(figure.subplots(1, len(units)), table.groupby("metric"), strict=True):
        ax.errorbar((rows["t_from"] + rows["t_to"]) / 2, rows["value"], rows["se"], marker=".", label="head")
        ax.axhline(rows["constant"].iloc[0], color="black", linestyle="--", label="best constant")
        ax.set(title=metric, xlabel="t (999: noise)", ylabel=units[metric], ylim=(0, None))
    figure.axes[0].legend(fontsize="small")
    write_png(figure, path, dpi=100)


def write(folder: Path, heads_folder: Path, base: str | None, data_root: Path, n: int) -> Path:
    """Measure and write both files; returns the table's path."""
    model = load(base)
    heads, config = load_heads(heads_folder, model), json.loads((heads_folder / CONFIG).read_text())
    table = accuracy(model, heads, validation(data_root, n), judges(model))
    facts = {"examples": config.get("examples"), "steps": config.get("steps"), "base": model.weights_hash}
    folder.mkdir(parents=True, exist_ok=True)
    table = table.assign(**facts, commit=commit(), device=device_name(model.device))
    table.to_csv(folder / "readout_accuracy.csv", index=False, float_format="%.5g")
    draw_picture(table, folder / "readout_accuracy.png")
    return folder / "readout_accuracy.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=Path, default=PACKAGED, help="folder of the heads (default: the packaged ones)")
    parser.add_argument("--base", help="folder of the base model's weights (default: the packaged ones)")
    parser.add_argument("--n", type=int, default=64, help="validation windows, in batches of 16 (default: %(default)s)")
    parser.add_argument("-o", "--out", type=Path, default=Path("results"), help="folder (default: %(default)s)")
    arguments = parser.parse_args()
    data_root = Path(os.environ.get("DITTO_DATA", "data"))
    try:
        path = write(arguments.out, arguments.heads, arguments.base, data_root, max(1, arguments.n))
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    print(pd.read_csv(path).pivot(index="t_from", columns="metric", values="value").to_string())
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
