"""Figures of a run that eval.measure has: control, sound and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from eval.sets import Row as Line
from eval.sets import row
from eval.tables.base import Found, Lacking, Needs


@dataclass(frozen=True)
class TextScore:
    """The score of the judge of text and sound under its own name; the genre's probability where there is no judge."""

    needs: Needs = "clips"

    def __call__(self, found: Found) -> Line | Lacking:
        judge = found.context.judges.text
        return Measured([judge.column if judge else "tag_score"])(found)


@dataclass(frozen=True)
class Measured:
    """The first of these metrics that the run has; `*` stands for any letters (fad_pc*: any number of components)."""

    names: Sequence[str]
    needs: Needs = "clips"

    def __call__(self, found: Found) -> Line | Lacking:
        lines = [] if found.run.clips.empty else found.lines
        for name in self.names:
            for line in lines:
                if fnmatchcase(str(line["metric"]), name):
                    return line
        if found.cell.method == "text_only" and all(name.endswith("_ratio") for name in self.names):
            return row(self.names[0], 1.0, len(found.run.clips))  # to itself
        if found.run.clips.empty:
            return Lacking(f"every clip of {found.cell.method} on {found.cell.task} failed")
        return Lacking(f"no {' or '.join(self.names)} of {found.cell.method} on {found.cell.task}")
