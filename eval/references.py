"""What a FAD is measured against: clips of the rendered music, a folder of sound, or FMA-Pop's published statistics.

A source is a callable (embedder, cache) -> `Reference`, made by a yaml of conf/evaluator/reference. Only the mean and
covariance of a reference are kept, so it may have any number of files; intervals are those of the judged set, with the
reference as it is.

FMA-Pop: Gui et al., "Adapting Fréchet Audio Distance for generative music evaluation", ICASSP 2024; 4,839 tracks of the
Free Music Archive. Its statistics were taken by fadtk with its own windows and resampler, on embeddings rounded to
float16; figures against it are comparable to fadtk's only as far as an embedder here cuts the same windows.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ditto.types import UserError
from eval.embedders.base import Embedder
from eval.embeddings import read_files, stream
from eval.fad import Statistics
from eval.real import load_excerpts, read_excerpts
from eval.tags import SECONDS

SOUND = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
FMA_POP_TRACKS = 4839


@dataclass(frozen=True)
class Reference:
    """Mean and covariance of a reference, with the words that tables say it with."""

    statistics: Statistics
    name: str  # "500 test clips"
    embedding: str  # the embedder's name

    def __str__(self) -> str:
        return f"{self.name} ({self.embedding})"


class Source(Protocol):
    """Where a reference comes from."""

    def __call__(self, embedder: Embedder, cache: Path) -> Reference:
        """Embed what was not embedded before; a file that cannot be read is an error that names it."""


@dataclass(frozen=True)
class HeldOutClips:
    """The first n clips of a split of the rendered music (`eval.real`), of `seconds` each."""

    n: int = 500
    split: str = "test"
    data_root: str = "data"
    seconds: float = SECONDS

    def __call__(self, embedder: Embedder, cache: Path) -> Reference:
        excerpts = load_excerpts(self.split, self.seconds, root=Path(self.data_root))
        clips = (clip for _, clip in read_excerpts(excerpts, self.n))
        embedded = stream(clips, cache, embedder, total=self.n, label="reference")
        return Reference(Statistics.of(values for _, values in embedded), f"{self.n} {self.split} clips", embedder.name)


@dataclass(frozen=True)
class Folder:
    """Every sound file in a folder and below it."""

    path: str

    def __call__(self, embedder: Embedder, cache: Path) -> Reference:
        folder = Path(self.path)
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SOUND)
        if not files:
            raise UserError(f"no sound files ({', '.join(SOUND)}) in {folder}: evaluator.reference.path=<a folder>")
        embedded = stream(read_files(files), cache, embedder, total=len(files), label="reference")
        name = f"{len(files)} files of {folder.resolve().name}"
        return Reference(Statistics.of(values for _, values in embedded), name, embedder.name)


@dataclass(frozen=True)
class FmaPop:
    """The statistics inside the package fadtk (only its file is read), or in a copy of that file."""

    path: str | None = None

    def __call__(self, embedder: Embedder, cache: Path) -> Reference:
        with np.load(self._file()) as file:
            known = sorted(name.removesuffix(".mu") for name in file.files if name.endswith(".mu"))
            if embedder.fma_pop not in known:
                raise UserError(
                    f"FMA-Pop has no figures of {embedder.name}: evaluator/embedding=vggish, fad_clap or encodec; or "
                    f"evaluator.embedding.fma_pop=<one of {', '.join(known)}> where it is the very network"
                )
            mean, covariance = (file[f"{embedder.fma_pop}.{part}"] for part in ("mu", "cov"))
        if len(mean) != embedder.dimension:
            raise UserError(
                f"FMA-Pop's {embedder.fma_pop} has {len(mean)} dimensions, {embedder.name} has {embedder.dimension}: "
                "set evaluator.embedding.fma_pop to the network's own name"
            )
        name = f"FMA-Pop, {FMA_POP_TRACKS} tracks (fadtk's statistics {embedder.fma_pop})"
        return Reference(Statistics.given(mean, covariance, FMA_POP_TRACKS), name, embedder.name)

    def _file(self) -> Path:
        spec = None if self.path else importlib.util.find_spec("fadtk")
        folder = Path(spec.origin).parent if spec and spec.origin else None
        file = Path(self.path) if self.path else folder / "stats/fma_pop.npz" if folder else None
        if file is None or not file.exists():
            raise UserError(
                f"no statistics of FMA-Pop{f' at {file}' if file else ''}: `pip install --no-deps fadtk` (only its "
                "file fadtk/stats/fma_pop.npz is read), or evaluator.reference.path=<that file>"
            )
        return file
