"""Does a clip sound like its prompt's genre? Two judges, both on musicnn (MSD) embeddings of 3 s windows.

1. tag_score, the tag score of every table here: the probability that a genre classifier gives to the prompted genre.
   The classifier is a multinomial logistic regression on a clip's mean embedding (standardised by the training clips),
   trained on the genre labels of the TRAINING split, its weight decay chosen on the validation split; its accuracy on
   unseen test clips stands in its metadata and in results/model_quality.csv. tag_accuracy: share of clips whose most
   probable genre is the prompted one. It knows only the genres of the rendered music.
2. tag_cosine, with no weights trained on our labels: the cosine between a clip's 50 MSD tag probabilities and the mean
   of the training clips of the prompted genre, both minus the mean of all training clips; 1 the same leaning, 0 none.

    python -m eval.tags train [n=2000] [n_val=400] [n_test=500]

Legend: n clips, W windows, D = 200 embedding, C genres, K = 50 tags.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ditto.types import UserError
from eval import musicnn
from eval.embedders.musicnn import Musicnn
from eval.fad import Clips
from eval.options import exit_code, read_options
from eval.real import embed_excerpts, load_excerpts

WEIGHTS = musicnn.WEIGHTS / "genres.safetensors"
DECAYS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
SECONDS = 512 * 256 / 22_050  # one clip of the embedded model


def embedder() -> Musicnn:
    """What the classifier hears with."""
    return Musicnn("msd")


@dataclass(frozen=True)
class GenreJudge:
    """Weights [C, D] and bias [C] over standardised mean embeddings; tag means [C, K] and [K] for tag_cosine."""

    genres: tuple[str, ...]
    weight: torch.Tensor
    bias: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor
    genre_tags: torch.Tensor
    mean_tags: torch.Tensor
    about: dict[str, str]

    def probabilities(self, clips: Clips) -> np.ndarray:
        """Clips [W, D] -> probability of each genre [n, C]."""
        x = (_means(clips) - self.mean) / self.scale
        return torch.softmax(x @ self.weight.T + self.bias, 1).numpy()

    def tag_score(self, clips: Clips, genres: Sequence[str]) -> np.ndarray:
        """Probability of each clip's prompted genre [n]."""
        return self.probabilities(clips)[np.arange(len(clips)), self.indices(genres)]

    def tag_hits(self, clips: Clips, genres: Sequence[str]) -> np.ndarray:
        """1 where the most probable genre is the prompted one [n]; its mean is tag_accuracy."""
        return (self.probabilities(clips).argmax(1) == self.indices(genres)).astype(float)

    def tag_cosine(self, clips: Clips, genres: Sequence[str]) -> np.ndarray:
        """Cosine with the tag profile of each clip's prompted genre [n], -1 to 1."""
        tags = torch.from_numpy(np.stack([musicnn.tag_probabilities(clip).mean(0) for clip in clips]))
        profile = self.genre_tags[self.indices(genres)]
        return torch.cosine_similarity(tags - self.mean_tags, profile - self.mean_tags, dim=1).numpy()

    def indices(self, genres: Sequence[str]) -> np.ndarray:
        unknown = sorted(set(genres) - set(self.genres))
        if unknown:
            raise UserError(f"the genre classifier does not know {', '.join(unknown)}: it has {', '.join(self.genres)}")
        return np.array([self.genres.index(genre) for genre in genres], dtype=int)

    def prompted_genre(self, prompt: str) -> str | None:
        """The longest genre name among the prompt's words, or None."""
        words = f" {' '.join(re.findall(r'[a-z0-9]+', prompt.lower()))} "
        found = [g for g in self.genres if f" {' '.join(re.findall(r'[a-z0-9]+', g.lower()))} " in words]
        return max(found, key=len, default=None)

    def save(self, path: Path) -> None:
        tensors = {n: getattr(self, n).float() for n in ("weight", "bias", "mean", "scale", "genre_tags", "mean_tags")}
        save_file(tensors, path, {"genres": json.dumps(self.genres), **self.about})


@lru_cache(maxsize=2)
def load(path: Path = WEIGHTS) -> GenreJudge:
    """The shipped classifier; refuses one trained on other musicnn weights."""
    if not path.exists():
        raise UserError(f"no genre classifier at {path}: run `python -m eval.tags train`")
    with safe_open(path, "pt") as file:
        about = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if about["embedding"] != musicnn.weights_hash("msd"):
        raise UserError(f"{path} was trained on other musicnn weights: run `python -m eval.tags train`")
    return GenreJudge(tuple(json.loads(about.pop("genres"))), **tensors, about=about)


def _means(clips: Clips) -> torch.Tensor:
    """Clips [W, D] -> mean embedding of each [n, D]."""
    return torch.from_numpy(np.stack([np.mean(clip, 0) for clip in clips])).float()


def fit(clips: Clips, genres: Sequence[str], decay: float) -> GenreJudge:
    """Minimise cross entropy + decay/2 |weight|² by L-BFGS (convex: no seed)."""
    names = tuple(sorted(set(genres)))
    labels = torch.tensor([names.index(genre) for genre in genres])
    raw = _means(clips)
    mean, scale = raw.mean(0), raw.std(0).clamp(min=1e-3)
    x = ((raw - mean) / scale).double()
    weight = torch.zeros(len(names), x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(names), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weight.T + bias, labels) + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    tags = torch.from_numpy(np.stack([musicnn.tag_probabilities(clip).mean(0) for clip in clips]))
    genre_tags = torch.stack([tags[labels == k].mean(0) for k in range(len(names))])
    about = {"embedding": musicnn.weights_hash("msd"), "decay": str(decay), "n_train": str(len(clips))}
    solution = (weight.detach().float(), bias.detach().float())
    return GenreJudge(names, *solution, mean, scale, genre_tags, tags.mean(0), about)


@dataclass
class TrainOptions:
    """Clips of each split, the embedding cache, and where the classifier goes."""

    n: int = 2000
    n_val: int = 400
    n_test: int = 500
    cache: Path = Path("runs/cache/embeddings")
    out: Path = WEIGHTS


def train(options: TrainOptions, seconds: float = SECONDS) -> GenreJudge:
    """Embed clips of the three splits, choose the decay on val, test once, save."""
    sets = {}
    for split, count in {"train": options.n, "val": options.n_val, "test": options.n_test}.items():
        excerpts, clips = embed_excerpts(load_excerpts(split, seconds), count, options.cache, split, embedder())
        sets[split] = clips, [excerpt.genre for excerpt in excerpts]
    judges = {decay: fit(*sets["train"], decay) for decay in DECAYS}
    scores = {decay: float(judge.tag_hits(*sets["val"]).mean()) for decay, judge in judges.items()}
    judge = judges[max(scores, key=scores.__getitem__)]
    accuracy = float(judge.tag_hits(*sets["test"]).mean())
    judge.about.update(
        val_accuracy=f"{max(scores.values()):.4f}",
        test_accuracy=f"{accuracy:.4f}",
        n_val=str(options.n_val),
        n_test=str(options.n_test),
    )
    judge.save(options.out)
    return judge


def main() -> None:
    command, *given = sys.argv[1:] or [""]
    if command != "train":
        raise UserError(f"usage: python -m eval.tags train [{'=… '.join(TrainOptions.__annotations__)}=…]")
    options = read_options(TrainOptions, given)
    judge = train(options)
    print(f"{len(judge.genres)} genres; {judge.about}; written to {options.out}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
