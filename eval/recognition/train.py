"""Train the judges of genre family and instruments: `python -m eval.recognition.train [n=7200]`.

Needs all 3,600 training pieces (`python -m ditto.data.build render`): on val the family of 74 % of the clips is heard
after 1,074 training clips, 84 % after 3,600 pieces' first windows, 86 % with their second windows too.
Hears clips of the three splits (0.1 s each on one core, 18 minutes; what was heard before is cached), fits logistic
regressions on the training split, chooses classes and weight decay on val, tests once, and writes
weights/recognition.safetensors with n and the accuracies in its metadata.

Legend: n clips, D features, C classes, G groups.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from eval.options import exit_code, read_options
from eval.recognition.families import FAMILY, family_indices
from eval.recognition.instruments import GROUPS, groups_of_piece
from eval.recognition.judge import WEIGHTS, Judge, Scale
from eval.recognition.rows import mean_auc
from eval.tags import SECONDS
from eval.text import heard
from eval.text.captioned import Captioned, hear_split

DECAYS = (1e-3, 3e-3, 1e-2, 3e-2)
LEAST = 8  # training clips with and without a group of instruments; others are not judged

Loss = Callable[[Tensor, Tensor], Tensor]  # logits [n, C] and targets -> mean loss


def linear(x_nD: Tensor, target: Tensor, outputs: int, loss: Loss, decay: float) -> tuple[Tensor, Tensor]:
    """Weights [C, D] and bias [C] that minimise loss + decay/2 |weight|² by L-BFGS (convex: no seed)."""
    weight = torch.zeros(outputs, x_nD.shape[1], requires_grad=True)
    bias = torch.zeros(outputs, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(x_nD @ weight.T + bias, target) + decay / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(closure)
    return weight.detach(), bias.detach()


def fit_classes(data: Captioned, classes: Sequence[str], decay: float) -> tuple[Tensor, Tensor]:
    """Weights and bias of a judge of these classes, which are genres or families."""
    of_piece = [piece.genre if piece.genre in classes else FAMILY[piece.genre] for piece in data.pieces]
    labels = torch.tensor([classes.index(one) for one in of_piece])
    x = Scale.of(data.features)(data.features)
    return linear(x, labels, len(classes), torch.nn.functional.cross_entropy, decay)


def fit_groups(data: Captioned, groups: Sequence[str], decay: float) -> tuple[Tensor, Tensor]:
    """Weights and bias of a judge of each group of instruments."""
    x, plays = Scale.of(data.features)(data.features), torch.from_numpy(plays_nG(data, groups)).float()
    return linear(x, plays, len(groups), torch.nn.functional.binary_cross_entropy_with_logits, decay)


def common(data: Captioned) -> tuple[str, ...]:
    """The groups of instruments with enough clips that have them, and that lack them."""
    counts = plays_nG(data, GROUPS).sum(0)
    return tuple(g for g, c in zip(GROUPS, counts, strict=True) if LEAST <= c <= len(data.pieces) - LEAST)


def plays_nG(data: Captioned, groups: Sequence[str]) -> np.ndarray:
    """True where a group plays in the piece of a clip."""
    return np.array([[group in groups_of_piece(piece) for group in groups] for piece in data.pieces]).reshape(
        len(data.pieces), len(groups)
    )


def family_accuracy(judge: Judge, data: Captioned) -> float:
    """Share of clips whose most probable family is their own."""
    wanted = np.array(family_indices([piece.genre for piece in data.pieces]))
    return float((judge.families(data.features.numpy()).argmax(1) == wanted).mean())


def group_auc(judge: Judge, data: Captioned) -> float:
    """Mean area under the ROC curve over the groups that are heard and missed often enough."""
    plays = plays_nG(data, judge.groups)
    return mean_auc(judge.instruments(data.features.numpy()), plays, np.ones_like(plays))


def choose(train: Captioned, val: Captioned) -> Judge:
    """The judge whose classes and decays are best on val."""
    genres, groups = tuple(sorted({piece.genre for piece in train.pieces})), common(train)
    kinds = {"genres": genres, "families": tuple(sorted({FAMILY[genre] for genre in genres}))}
    blank = torch.zeros(0, train.features.shape[1]), torch.zeros(0)
    empty = Judge(Scale.of(train.features), (), *blank, groups, *blank, {})
    classed, grouped = {}, {}
    for decay in tqdm(DECAYS, "fit", unit="decay", leave=False):
        for kind, classes in kinds.items():
            weight, bias = fit_classes(train, classes, decay)
            classed[kind, decay] = replace(empty, classes=classes, class_weight=weight, class_bias=bias)
        weight, bias = fit_groups(train, groups, decay)
        grouped[decay] = replace(empty, group_weight=weight, group_bias=bias)
    accuracy = {key: family_accuracy(judge, val) for key, judge in classed.items()}
    auc = {decay: group_auc(judge, val) for decay, judge in grouped.items()}
    (kind, decay), group_decay = max(accuracy, key=accuracy.__getitem__), max(auc, key=auc.__getitem__)
    about = {"kind": kind, "decay": str(decay), "group_decay": str(group_decay)}
    about |= {f"val_family_accuracy_{k}_{d}": f"{value:.4f}" for (k, d), value in accuracy.items()}
    about |= {f"val_instrument_auc_{d}": f"{value:.4f}" for d, value in auc.items()}
    band = grouped[group_decay]
    return replace(classed[kind, decay], group_weight=band.group_weight, group_bias=band.group_bias, about=about)


@dataclass
class TrainOptions:
    """Clips of each split (all where there are fewer), the cache of features, and where the judges go."""

    n: int = 7200
    n_val: int = 2000
    n_test: int = 2000
    cache: Path = Path("runs/cache/embeddings")
    out: Path = WEIGHTS


def train(options: TrainOptions, seconds: float = SECONDS) -> Judge:
    """Hear, fit, choose on val, test once, save."""
    counts = {"train": options.n, "val": options.n_val, "test": options.n_test}
    heard_of = {split: hear_split(split, count, seconds, options.cache) for split, count in counts.items()}
    judge = choose(heard_of["train"], heard_of["val"])
    digest = hashlib.sha256(judge.class_weight.numpy().tobytes() + judge.group_weight.numpy().tobytes())
    judge.about.update(
        {f"n_{split}": str(len(data.pieces)) for split, data in heard_of.items()},
        features=heard.fingerprint(),
        hash=digest.hexdigest()[:8],
        test_family_accuracy=f"{family_accuracy(judge, heard_of['test']):.4f}",
        test_instrument_auc=f"{group_auc(judge, heard_of['test']):.4f}",
    )
    judge.save(options.out)
    return judge


def main() -> None:
    options = read_options(TrainOptions, sys.argv[1:])
    judge = train(options)
    print(f"{judge.about}; groups: {', '.join(judge.groups)}; written to {options.out}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
