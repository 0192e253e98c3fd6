"""Train the heads of `text_audio_score` on the captioned music: `python -m eval.text.train [name=value …]`.

Hears n clips of the training split and one clip of every piece of val and test (features are cached, so a second
training is quick), tries each dropout of DROPOUTS on val, keeps the one with the highest mean recall there, trains no
further, tests once, and writes weights/text_audio.safetensors with everything in its metadata. Two CPU cores: 0.15 s a
clip to hear, a minute to train.

Legend: B pairs of a batch, n clips, F features.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from eval.options import exit_code, read_options
from eval.tags import SECONDS
from eval.text import heard, words
from eval.text.captioned import Captioned, Captions, hear_split, read_captions
from eval.text.model import TextAudio
from eval.text.recall import one_lie, pairwise, recalls
from eval.text.text_audio import WEIGHTS

DROPOUTS = (0.15, 0.3)
WORDINGS = (0, 2, 5)  # captions of val that choose: the paper's template and two free ones
TEMPLATE_SHARE = 0.3  # of training captions, the rest are free wordings


@dataclass
class TrainOptions:
    """Clips of each split, optimisation, the cache of features, and where the weights go."""

    n: int = 2000
    n_val: int = 400
    n_test: int = 400
    steps: int = 300
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    hidden: int = 256
    seed: int = 0
    cache: Path = Path("runs/cache/embeddings")
    out: Path = WEIGHTS


def fit(data: Captioned, captions: Captions, options: TrainOptions, dropout: float) -> TextAudio:
    """Heads trained on batches of one clip and one caption of each of B pieces; the process's seed is not touched."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(options.seed)
        model = TextAudio(heard.GROUPS, words.GROUPS, options.hidden, dropout)
        model.audio.standardise(data.features)
        model.text.standardise(captions.features)
        optimiser = torch.optim.AdamW(model.parameters(), options.learning_rate, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, options.steps, pct_start=0.1)
        batches = Batches(data, captions, options)
        for _ in trange(options.steps, desc=f"dropout {dropout:g}", unit="step", leave=False):
            optimiser.zero_grad()
            model.loss(*batches.draw()).backward()
            optimiser.step()
            schedule.step()
    return model.eval().requires_grad_(False)


class Batches:
    """Random pairs of clip and caption, no piece twice in a batch."""

    def __init__(self, data: Captioned, captions: Captions, options: TrainOptions) -> None:
        self.data, self.captions = data, captions
        self.generator = np.random.default_rng(options.seed)
        self.clips: dict[str, list[int]] = {}
        for row, piece in enumerate(data.pieces):
            self.clips.setdefault(piece.piece_id, []).append(row)
        self.ids = list(self.clips)
        self.size = min(options.batch, len(self.ids))

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """-> audio_BF, text_BF, also_BB (text i is a caption of clip j's piece too, i ≠ j)."""
        chosen = self.generator.choice(len(self.ids), self.size, replace=False)
        rows = [int(self.generator.choice(self.clips[self.ids[one]])) for one in chosen]
        pieces = [self.data.pieces[row] for row in rows]
        texts = [piece.captions[self._wording(len(piece.captions))] for piece in pieces]
        also = torch.tensor([[text in piece.captions for piece in pieces] for text in texts]).fill_diagonal_(False)
        return self.data.features[rows], self.captions.of(texts), also

    def _wording(self, count: int) -> int:
        if count == 1 or self.generator.random() < TEMPLATE_SHARE:
            return 0
        return int(self.generator.integers(1, count))


def retrieval(model: TextAudio, data: Captioned, captions: Captions, wording: int = 0) -> dict[str, float]:
    """Recalls over the clips whose captions of this wording differ."""
    features, pieces = data.distinct(wording)
    texts = captions.of([piece.captions[wording] for piece in pieces])
    with torch.no_grad():
        return recalls((model.text(texts) @ model.audio(features).T).numpy())


def mean_recall(model: TextAudio, data: Captioned, captions: Captions) -> float:
    """What chooses on val: the mean of all recalls of WORDINGS."""
    found = [retrieval(model, data, captions, wording) for wording in WORDINGS]
    return float(np.mean([value for one in found for name, value in one.items() if "recall" in name]))


def train(options: TrainOptions, seconds: float = SECONDS) -> TextAudio:
    """Hear the three splits, choose on val, test once, save."""
    counts = {"train": options.n, "val": options.n_val, "test": options.n_test}
    sets = {split: hear_split(split, n, seconds, options.cache) for split, n in counts.items()}
    read = partial(read_captions, cache=options.cache)
    captions = read(sets["train"])
    models = {dropout: fit(sets["train"], captions, options, dropout) for dropout in DROPOUTS}
    scores = {
        dropout: mean_recall(model, sets["val"], read(sets["val"], WORDINGS)) for dropout, model in models.items()
    }
    best = max(scores, key=scores.__getitem__)
    models[best].save(options.out)
    model = TextAudio.load(options.out)  # tested as it is shipped, in float16
    model.about = {
        "heard": heard.fingerprint(),
        "words": words.VERSION,
        "seed": str(options.seed),
        "n_train": f"{len(sets['train'].pieces)} clips of {len({p.piece_id for p in sets['train'].pieces})} pieces",
        "dropout": f"{best:g}",
        "val_mean_recall": f"{scores[best]:.3f}",
        **tested(model, sets["test"], read(sets["test"], (0,))),
    }
    model.save(options.out)
    return model


def tested(model: TextAudio, data: Captioned, captions: Captions) -> dict[str, str]:
    """Recalls with the paper's caption, and accuracies of pairs, as text.

    "elsewhere" is the accuracy with the clip of another piece: what the words alone give away, 0.5 for nothing.
    """
    features, pieces = data.distinct()
    lies = one_lie(pieces)
    texts = sorted({text for pairs in lies.values() for pair in pairs.values() for text in pair})
    with torch.no_grad():
        audio, rows = model.audio(features), dict(zip(texts, model.text(words.read(texts)), strict=True))

    def score(chosen: Sequence[str], clips: Sequence[int], shift: int = 0) -> np.ndarray:
        heard_by = audio[[(clip + shift) % len(audio) for clip in clips]]
        return (torch.stack([rows[text] for text in chosen]) * heard_by).sum(1).numpy()

    right, elsewhere = pairwise(score, lies), pairwise(partial(score, shift=1), lies)
    pairs = {
        f"test_pairs_{what}": f"{right[what]:.3f}, elsewhere {elsewhere[what]:.3f}, n = {len(lies[what])}"
        for what in lies
    }
    found = {f"test_{name}": f"{value:.3f}" for name, value in retrieval(model, data, captions).items()}
    return {**found, "test_n": str(len(pieces)), **pairs}


def main() -> None:
    """Read the options of the command line, train, print what was found."""
    options = read_options(TrainOptions, sys.argv[1:])
    model = train(options)
    print("\n".join(f"{name}: {value}" for name, value in sorted(model.about.items())))
    print(f"written to {options.out}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
