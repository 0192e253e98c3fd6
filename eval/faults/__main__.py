"""`python -m eval.faults`: one sweep twice, in peace and under faults; the figures go to <results>/<name>.csv."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from ditto.command import command as hydra_command
from ditto.environment import commit, device_name
from ditto.runs import run_paths
from ditto.types import UserError
from eval.faults.compare import compare, difference
from eval.faults.cost import costs
from eval.faults.inject import lines
from eval.faults.launchers import Storm, command, launch, with_faults


def figures(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run both sweeps (what is there is gone on with) and count."""
    peace, storm_folder = folder / "peace", folder / "storm"
    storm_folder.mkdir(parents=True, exist_ok=True)
    quiet_s = _peace(options["jobs"], peace)
    start = time.perf_counter()
    storm = Storm(options, storm_folder, expected=len(run_paths(peace)))
    storm.weather()
    under_s = time.perf_counter() - start
    last = launch(command(options["jobs"], storm.runs, "here"), storm_folder / "last.log").wait()
    result = compare(peace, storm.runs)
    return {
        "jobs": result.expected,
        **{f"jobs {kind}": number for kind, number in sorted(_kinds(storm_folder / "faults").items())},
        "launchers killed": len(lines(storm_folder / "kills")),
        "directories damaged": len(lines(storm_folder / "damaged")),
        "launches": len(lines(storm_folder / "launches")),
        "launches that ended badly": len(lines(storm_folder / "exits")),
        "exit code of the same command afterwards": last,
        "runs there and whole": result.made,
        "runs that nobody asked for": result.unexpected,
        "runs equal in every byte of their metrics": result.equal_metrics,
        "runs equal in every byte of latents and sound": result.equal_files,
        "clips": result.clips,
        "runs made although they were there": _made_twice(storm_folder),
        **_halved(options, folder / "halved"),
        "seconds without faults": round(quiet_s),
        "seconds with faults": round(under_s),
        **{name: round(seconds, 3) for name, seconds in costs(options, folder / "cost").items()},
        "device": device_name(torch.device("cpu")),
        "commit": commit(),
    }


def _peace(jobs: list[str], runs_dir: Path, *more: str) -> float:
    """A sweep that nobody disturbs; its seconds."""
    start = time.perf_counter()
    runs_dir.mkdir(parents=True, exist_ok=True)
    log = runs_dir.with_suffix(".log")
    if launch(command(jobs, runs_dir, "here", *more), log).wait() != 0:
        raise UserError(f"the sweep does not even end well without faults: {log.read_text()[-2000:]}")
    return time.perf_counter() - start


def _halved(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Every batch out of memory at its second call of the network, so that it is made in halves."""
    folder.mkdir(parents=True, exist_ok=True)
    _peace(options["halved"], folder / "whole")
    _peace(
        options["halved"], folder / "halves", *with_faults(folder=folder, chance=1, budget=999, kinds="[memory]", at=1)
    )
    return {
        "batches halved": len(lines(folder / "faults")),
        "largest relative difference of a metric after halving, float64": difference(
            folder / "whole", folder / "halves"
        ),
    }


def _kinds(file: Path) -> Counter[str]:
    return Counter(line.split()[0] for line in lines(file))


def _made_twice(folder: Path) -> int:
    """Times that a job ended as done, beyond once and once more for each damage done to the finished run."""
    done = Counter(line.split()[0] for line in lines(folder / "ends") if line.endswith(" done"))
    damaged = Counter(line.split()[0] for line in lines(folder / "damaged") if line.endswith(" done"))
    return sum(max(0, times - 1 - damaged[run]) for run, times in done.items())


@contextlib.contextmanager
def _folder(given: str | None) -> Iterator[Path]:
    if given is not None:
        yield Path(given).absolute()
        return
    with tempfile.TemporaryDirectory(prefix="sweep_faults_") as folder:
        yield Path(folder)


@hydra_command("faults")
def main(cfg: DictConfig) -> None:
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    with _folder(options["folder"]) as folder:
        found = figures(options, folder)
    table = pd.DataFrame({"what": list(found), "value": list(found.values())})
    file = Path(options["results"]) / f"{options['name']}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False)
    print(table.to_string(index=False))
    print(f"written to {file}")
    if not found["jobs"] == found["runs there and whole"] == found["runs equal in every byte of their metrics"]:
        raise UserError("the sweep under faults is not the sweep without them")


if __name__ == "__main__":
    main()
