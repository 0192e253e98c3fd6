"""What every set is held against: unseen real clips, a reference of other tunes, training clips, the judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.diversity import Space, diversity_rows
from eval.embedders.musicnn import Musicnn
from eval.fad import Statistics
from eval.neighbours import Neighbours
from eval.real import Excerpt, embed_excerpts, load_excerpts
from eval.recognition import judge as judges
from eval.recognition.asked import Asked
from eval.recognition.ear import Hearing, listen
from eval.recognition.judge import Judge
from eval.recognition.rows import recognition_rows
from eval.references import Reference
from eval.sets import Row


@dataclass(frozen=True)
class Training:
    """Training clips: where they lie, their embeddings, and what is measured with them."""

    excerpts: list[Excerpt]
    embedded: list[np.ndarray]
    space: Space
    neighbours: Neighbours


@dataclass(frozen=True)
class Yardsticks:
    """`real`, `heard`: unseen clips as embeddings and as judges hear them; `training`, `judge`: None if left out."""

    excerpts: list[Excerpt]
    real: list[np.ndarray]
    heard: list[Hearing]
    reference: Reference
    training: Training | None
    judge: Judge | None

    @classmethod
    def of(cls, options: dict[str, Any], seconds: float) -> Yardsticks:
        """Embed and hear the real clips of these options, or take them from the cache."""
        root, cache, split = Path(options["data_root"]), Path(options["cache"]), options["split"]
        others = load_excerpts(split, seconds, half=1, root=root)
        _, embedded = embed_excerpts(others, options["n_reference"], cache, "reference")
        name = f"{options['n_reference']} {split} clips of other tunes"
        reference = Reference(Statistics.of(embedded), name, Musicnn().name)
        excerpts, real = embed_excerpts(
            load_excerpts(split, seconds, half=0, root=root), options["n"], cache, f"real {split}"
        )
        judge = judges.load() if options["recognition"] else None
        waves = (clip for excerpt in excerpts if (clip := excerpt.read()))
        heard = listen(waves, cache, len(excerpts), f"real {split}") if judge else []
        return cls(excerpts, real, heard, reference, _training(options, seconds, real), judge)

    def distance_rows(self, embedded: Sequence[np.ndarray], prompts: Sequence[str]) -> list[Row]:
        """Diversity and nearest training clips of a set; none without training clips."""
        if self.training is None:
            return []
        points = self.training.space(embedded)
        return [*diversity_rows(points, prompts), *self.training.neighbours.rows(points)]

    def recognition_rows(self, heard: Sequence[Hearing], asked: Sequence[Asked]) -> list[Row]:
        return recognition_rows(heard, asked, self.judge) if self.judge else []


def _training(options: dict[str, Any], seconds: float, real: list[np.ndarray]) -> Training | None:
    if not options["n_train"]:
        return None
    excerpts = load_excerpts("train", seconds, root=Path(options["data_root"]))
    chosen, embedded = embed_excerpts(excerpts, options["n_train"], Path(options["cache"]), "train")
    space = Space.of(embedded)
    return Training(chosen, embedded, space, Neighbours(space(embedded), space(real)))
