"""Which network, optimiser or noise: short trainings of equal cost, `python -m ditto.training.search`.

The candidates and what was expected of each stand in conf/training_search.yaml. Each is trained by
`python -m ditto.training.train`, exported, and judged on the validation split: the loss of the averaged weights over
all times (four batches, with the same times and noise for all) and, for n > 0, the FAD of that many text-only clips.
A finished training or a finished measurement is not repeated; the table <results>/<name>.csv is written after every
candidate, with the commit and device of each training (`trained_at`, `trained_on`) beside those of the measurement.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from ditto.build import pick_device
from ditto.command import command
from ditto.environment import commit, device_name
from ditto.models.base import hash_weights
from ditto.models.embedded import load
from ditto.types import UserError

FINISHED = "finished"  # a file of a candidate's folder: what its training was made with


def run(cfg: DictConfig) -> pd.DataFrame:
    """Train and judge all candidates; a row each: steps, loss, FAD with its interval, what was expected."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    rows = []
    for name, candidate in tqdm(options["candidates"].items(), unit="candidate"):
        folder = Path(options["folder"]) / name
        train(folder, candidate, options)
        rows.append({"candidate": name, "steps": candidate["steps"], **trained(folder), **loss_of(folder)})
        rows[-1]["weights"] = exported(folder)
        if options["n"]:
            rows[-1] |= fad_of(folder, options)
        rows[-1] |= {"expected": candidate["expected"], "overrides": " ".join(candidate["overrides"])}
        write(rows, options)
    return write(rows, options)


def train(folder: Path, candidate: dict[str, Any], options: dict[str, Any]) -> None:
    """Train one candidate to its number of steps, or go on where it stopped."""
    if (folder / FINISHED).exists():
        return
    steps = candidate["steps"]
    places = [f"folder={folder}", f"data_root={options['data_root']}"]
    length = [f"max_steps={steps}", f"stage.validate_every={steps}", "hours=24"]
    call(folder, "ditto.training.train", *options["shared"], *places, *length, *candidate["overrides"])
    pieces = len(pd.read_csv(Path(options["data_root"]) / "music" / "mels" / "train.csv"))
    about = {"trained_at": commit(), "trained_on": _device(), "train_pieces": pieces}
    (folder / FINISHED).write_text(json.dumps(about))


def trained(folder: Path) -> dict[str, Any]:
    """Commit and device of a finished training, and how many pieces it drew from; "unknown" where it did not say."""
    said = (folder / FINISHED).read_text()
    return json.loads(said) if said else dict.fromkeys(("trained_at", "trained_on", "train_pieces"), "unknown")


def loss_of(folder: Path) -> dict[str, float]:
    """The last validation loss of a training, as its log has it: the averaged weights on ClipData's fixed batches."""
    logs = sorted(folder.glob("logs/version_*/metrics.csv"), key=lambda path: int(path.parent.name.split("_")[1]))
    losses = [loss for path in logs for loss in pd.read_csv(path).get("val/loss", pd.Series()).dropna()]
    if not losses:
        raise UserError(f"{folder} has no validation loss: remove that folder and run the command again")
    return {"val_loss": losses[-1]}


def exported(folder: Path) -> str:
    """Write <folder>/weights once; hash of the denoiser alone, as the vocoder beside it is the one that ships."""
    weights = folder / "weights"
    if not (weights / "config.json").exists():
        call(folder, "ditto.training.export", str(folder), "-o", str(weights))
    return hash_weights(load(str(weights), precision="float32").network)


def fad_of(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """FAD of `n` text-only clips against the validation split's other tunes, with interval and reference.

    UserError where there are too few: the embedding has more dimensions than they have windows.
    """
    table = folder / f"quality_{options['n']}.csv"
    if not table.exists():
        few = [f"n={options['n']}", f"n_reference={options['n']}", "n_griffin_lim=0", "split=val", "steps=[20]"]
        few += ["n_train=0", "n_band=0", "recognition=false"]
        places = [f"results={folder}", f"name={table.stem}", f"data_root={options['data_root']}"]
        call(folder, "ditto.training.quality", f"model.weights={folder / 'weights'}", *few, *places)
    rows = pd.read_csv(table)
    found = rows[(rows["set"] == "generated") & (rows["metric"] == "fad")]
    if found.empty:
        raise UserError(
            f"{options['n']} clips are too few for a FAD (see {folder / 'log.txt'}): n=128, or n=0 for none"
        )
    names = {"value": "fad", "low": "fad_low", "high": "fad_high", "reference": "reference"}
    return dict(found.iloc[0][list(names)].rename(names))


def call(folder: Path, module: str, *arguments: str) -> None:
    """A command of this repository in a process of its own; what it says goes to `<folder>/log.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "a") as log:
        done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        raise UserError(f"`python -m {module}` failed for {folder.name}: see {folder / 'log.txt'}, then run it again")


def write(rows: list[dict[str, Any]], options: dict[str, Any]) -> pd.DataFrame:
    """The table so far, on disk too."""
    about = {"fad_n": options["n"], "split": "val", "commit": commit(), "device": _device()}
    table = pd.DataFrame(rows).assign(**about)
    path = Path(options["results"]) / f"{options['name']}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.6g")
    return table


def _device() -> str:
    return device_name(torch.device(pick_device("auto")))


@command("training_search")
def main(cfg: DictConfig) -> None:
    table = run(cfg)
    print(table.drop(columns=["overrides", "commit", "device"]).to_string(index=False, float_format="%.4g"))
    print(f"written to {cfg.results}/{cfg.name}.csv")


if __name__ == "__main__":
    main()
