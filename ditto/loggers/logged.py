"""Which rows W&B has of a run, so that an interrupted one goes on in its W&B run and repeats none.

W&B cannot replace the history of a run (without `resume` old rows stay between the new: wandb issue 6216), so a run is
only ever continued. Every row is counted under its part: the batch (by its first clip) or, at the end, "curve" and
"clips". On resuming, W&B says how many rows arrived; the rest of them was lost on the way and is logged again.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ditto.loggers.marker import FOLDER
from ditto.run_directory import read_json, write_json
from ditto.types import UserError

LOST = "lost"  # rows of a part that arrived in part only, and is logged again as a whole
ENDING = ("curve", "clips", LOST)


class Logged:
    """parts: [part, rows] in the order of logging; chosen: the clips with curves of their own.

    mode: what was logged online and what offline are kept apart, each in a file of the run's `wandb/` folder.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self.file = path / FOLDER / f"logged.{mode}.json"
        seen = read_json(self.file) or {}
        self.chosen: list[str] = seen.get("chosen", [])
        self.parts: list[Any] = seen.get("parts", [])
        self.everything = False  # W&B has it all, whatever is known here

    def count(self, part: str) -> int:
        """Rows of a part."""
        return sum(rows for name, rows in self.parts if name == part)

    def has(self, part: str) -> bool:
        return self.everything or self.count(part) > 0

    def before(self, batch: str) -> int:
        """Rows of the batches that came before this one."""
        batches = list(dict.fromkeys(name for name, _ in self.parts if name not in ENDING))
        return sum(self.count(name) for name in batches[: batches.index(batch)])

    def add(self, part: str, rows: int = 1) -> None:
        if self.parts and self.parts[-1][0] == part:
            self.parts[-1][1] += rows
        else:
            self.parts.append([part, rows])

    def agree(self, arrived: int, complete: bool) -> None:
        """Believe W&B: so many rows arrived. complete: it calls the run done, though nothing may be known here."""
        known = sum(rows for _, rows in self.parts)
        self.everything = complete and arrived > known
        while known > arrived:
            name, rows = self.parts.pop()
            known -= rows
            if known < arrived:
                self.parts.append([name if name not in ENDING else LOST, arrived - known])
                known = arrived

    def remember(self) -> None:
        """Write it down; where there is no room, a resumed run repeats a few rows."""
        with contextlib.suppress(OSError, UserError):
            write_json(self.file, {"chosen": self.chosen, "parts": self.parts})
