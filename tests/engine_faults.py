"""DITTO that kills its process, or raises, in the jobs that it is told to: for tests of what runs a sweep's jobs."""

import os
import signal
from pathlib import Path
from typing import Any

from ditto.optimization import Ditto


class Faulty(Ditto):
    """Notes its calls in folder/calls. Job `killed` dies the first time, `broken` raises until folder/mended exists."""

    def __init__(self, seed: int, folder: str, killed: int, broken: int, **options: Any) -> None:
        super().__init__(**options)
        self.faulty_seed, self.folder, self.killed, self.broken = seed, Path(folder), killed, broken

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        with open(self.folder / "calls", "a") as file:
            file.write(f"{self.faulty_seed} {os.getpid()}\n")
        if self.faulty_seed == self.killed and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.faulty_seed == self.broken and not (self.folder / "mended").exists():
            raise RuntimeError("broken on purpose")
        return super().__call__(*arguments, **options)
