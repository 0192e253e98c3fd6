"""FAD and tag score of small sets, and their ratio to the text-only clips of the same prompts and noise.

With a few dozen clips FAD's covariance is mostly noise in 200 dimensions or more, so it is also taken in the leading
principal components of the reference (`fad_pc<k>`); its value holds for this n only. The question is the ratio: both
sets have the same n and prompts, and the bootstrap draws the same clips from both. Intervals of FAD and of its ratio
are the spread of the resampled logarithms about their own mean, laid around the value, since resampling raises FAD
itself.

Legend: W windows of a clip, D embedding dimensions, k components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eval import tags
from eval.embedders.base import Embedder
from eval.fad import Clips, Projection, Statistics, fad, warn_if_small
from eval.references import Reference
from eval.sets import Row, mean_row, row


@dataclass(frozen=True)
class Judge:
    """An embedder, the reference it was heard with, whole and projected, and the genre classifier."""

    embedder: Embedder
    reference: Reference
    projection: Projection
    projected: Statistics
    genres: tags.GenreJudge
    draws: int
    seed: int

    @classmethod
    def of(cls, embedder: Embedder, reference: Reference, components: int, draws: int, seed: int) -> Judge:
        projection = Projection.fit(reference.statistics, components)
        projected = projection.statistics(reference.statistics)
        return cls(embedder, reference, projection, projected, tags.load(), draws, seed)

    def __str__(self) -> str:
        share = f"{self.projected.dimension} principal components, {self.projection.explained:.0%} of its variance"
        return f"{self.reference.name} ({self.reference.embedding}; {share})"

    @property
    def full(self) -> Statistics:
        return self.reference.statistics

    def distances(self, clips: Clips) -> Iterator[tuple[str, Callable[[Clips], float]]]:
        """The forms of FAD that this many windows allow."""
        windows = sum(len(clip) for clip in clips)
        if windows > 2 * self.projected.dimension:
            yield f"fad_pc{self.projected.dimension}", lambda one: fad(self.projection(one), self.projected)
        if windows > self.full.dimension:
            yield "fad", lambda one: fad(one, self.full)

    def warn_if_small(self, name: str, clips: Clips, value: float) -> None:
        warn_if_small(clips, self.full if name == "fad" else self.projected, value)

    def resamples(self, n: int) -> np.ndarray:
        """Indices of clips [draws, n], the same for every set of n clips: pairs stay pairs."""
        return np.random.default_rng(self.seed).integers(n, size=(self.draws, n))

    def fad_rows(self, clips: Clips, beside: Clips | None) -> list[Row]:
        """FAD of a set and, against the text-only set of the same clips, its ratio."""
        rows = []
        for name, distance in self.distances(clips):
            draws = self.resamples(len(clips))[: 200 if name == "fad" else None]
            value, spread = distance(clips), _log_values(distance, clips, draws)
            self.warn_if_small(name, clips, value)
            rows.append(_log_row(name, value, spread, len(clips)))
            if beside is not None:
                ratio = spread - _log_values(distance, beside, draws)
                rows.append(_log_row(f"{name}_ratio", value / distance(beside), ratio, len(clips)))
        return rows

    def tag_rows(self, prompts: Sequence[str], clips: Clips, beside: Clips | None) -> list[Row]:
        """Tag score and accuracy of the clips whose prompt names a genre, and the score's ratio to text-only.

        The clips are embeddings of `tags.embedder()`, whatever FAD is measured in.
        """
        prompted = [self.genres.prompted_genre(prompt) for prompt in prompts]
        known = [i for i, genre in enumerate(prompted) if genre is not None]
        if not known:
            return []
        names, heard = [str(prompted[i]) for i in known], [clips[i] for i in known]
        score = self.genres.tag_score(heard, names)
        rows = [mean_row("tag_score", score), mean_row("tag_accuracy", self.genres.tag_hits(heard, names))]
        if beside is not None:
            other = self.genres.tag_score([beside[i] for i in known], names)
            draws = self.resamples(len(known))
            low, high = np.quantile(score[draws].mean(1) / other[draws].mean(1), [0.025, 0.975])
            rows.append(row("tag_score_ratio", score.mean() / other.mean(), len(known), float(low), float(high)))
        return rows


def _log_values(distance: Callable[[Clips], float], clips: Clips, draws: np.ndarray) -> np.ndarray:
    return np.log([distance([clips[i] for i in picks]) for picks in draws])


def _log_row(name: str, value: float, spread: np.ndarray, n: int) -> Row:
    """The spread of the resampled logarithms about their own mean, laid around the value."""
    low, high = value * np.exp(np.quantile(spread, [0.025, 0.975]) - spread.mean())
    return row(name, value, n, float(low), float(high))
