"""Launch a sweep as a user does, keep launching it until it is done, and be unkind to it meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ditto.runs import run_paths, state
from eval.faults.damage import damage_one
from eval.faults.inject import lines, note

POLL_S = 0.5


def command(jobs: Sequence[str], runs_dir: Path, engine: str, *more: str) -> list[str]:
    """The words of one launch."""
    sweep = [sys.executable, "-m", "ditto.run", "-m", f"hydra/launcher={engine}"]
    return [*sweep, *jobs, f"runs_dir={runs_dir}", *more]


def launch(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start it, in a session of its own, its output in `log`."""
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    with log.open("ab") as out:
        return subprocess.Popen(words, stdout=out, stderr=out, env={**os.environ, **threads}, start_new_session=True)


def with_faults(**wanted: Any) -> list[str]:
    """The overrides that let `inject.Faults` into the jobs of a launch; no part of a run's identity."""
    name = "+hydra.callbacks.faults"
    return [f"{name}._target_=eval.faults.inject.Faults", *(f"{name}.{key}={value}" for key, value in wanted.items())]


@dataclass
class Storm:
    """A sweep under faults. In the folder: runs/, the output, and the notes faults, ends, kills, damaged, launches."""

    options: Mapping[str, Any]
    folder: Path
    expected: int
    chance: random.Random = field(default_factory=random.SystemRandom)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def weather(self) -> None:
        """Launch again and again until every launcher ends well and nothing more is to happen."""
        ended_well: set[str] = set()
        strike_at = self._next()
        with tqdm(total=self.expected, desc="runs done under faults", unit="run", mininterval=2) as bar:
            try:
                while len(ended_well) < len(self.options["engines"]):
                    for engine in self.options["engines"]:
                        self._keep(engine, ended_well)
                    if time.monotonic() > strike_at:
                        self._strike(ended_well)
                        strike_at = self._next()
                    bar.update(sum(state(path)[0] == "done" for path in run_paths(self.runs)) - bar.n)
                    time.sleep(POLL_S)
            finally:
                for process in self.running.values():
                    process.kill()

    def _keep(self, engine: str, ended_well: set[str]) -> None:
        process = self.running.get(engine)
        code = process.poll() if process else None
        if process and code is None:
            return
        if code == 0:
            ended_well.add(engine)
        if engine in ended_well:
            return
        if process:
            note(self.folder / "exits", f"{engine} {code}")
        more = with_faults(folder=self.folder, chance=self.options["chance"], budget=self.options["budget"])
        note(self.folder / "launches", engine)
        words = command(self.options["jobs"], self.runs, engine, "retry=true", *more)
        self.running[engine] = launch(words, self.folder / f"{engine}.log")

    def _strike(self, ended_well: set[str]) -> None:
        """Kill a launcher or damage a file, as long as there is something left of either."""
        alive = [engine for engine, process in self.running.items() if process.poll() is None]
        kills = self.options["launchers_killed"] - len(lines(self.folder / "kills"))
        damages = self.options["damaged"] - len(lines(self.folder / "damaged"))
        if self.chance.random() * (kills + damages) < kills and alive:
            engine = self.chance.choice(alive)
            note(self.folder / "kills", engine)
            self.running[engine].send_signal(signal.SIGKILL)
        elif damages > 0:
            damaged = damage_one(self.runs, self.chance)
            if damaged:
                note(self.folder / "damaged", damaged)
                ended_well.clear()  # what a launcher left whole may not be so any more

    def _next(self) -> float:
        return time.monotonic() + self.chance.expovariate(1 / self.options["every_s"])
