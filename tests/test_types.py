import math

import torch

from ditto.types import ClipSpec, Condition, History


def test_clip_spec_of_the_paper():
    clip = ClipSpec(sample_rate=22050, hop=256, frames=512, mel_bins=160)
    assert clip.samples == 131072
    assert math.isclose(clip.seconds, 5.944, abs_tol=1e-3)
    assert clip.frames_of(1.0) == 86
    assert clip.frames_of(clip.seconds) == 512


def _condition(batch: int, tokens: int, value: float) -> Condition:
    return Condition({"tokens": torch.full((batch, tokens, 3), value), "mask": torch.ones(batch, tokens)})


def test_condition_indexing_keeps_the_batch_dimension():
    condition = Condition({"text": torch.arange(6.0).view(3, 2)})
    assert condition.batch_size == 3
    assert condition[-1].tensors["text"].tolist() == [[4.0, 5.0]]
    assert condition[1].tensors["text"].tolist() == [[2.0, 3.0]]
    assert condition[1:].batch_size == 2
    assert condition[[0, 0]].tensors["text"].tolist() == [[0.0, 1.0]] * 2
    assert condition[torch.tensor([True, False, True])].batch_size == 2


def test_condition_cat_pads_the_shorter_tokens_and_masks_them():
    both = _condition(2, 5, 1.0).cat(_condition(1, 2, 2.0).expand(2))
    assert both.tensors["tokens"].shape == (4, 5, 3)
    assert both.tensors["tokens"][2, :, 0].tolist() == [2, 2, 0, 0, 0]
    assert both.tensors["mask"][3].tolist() == [1, 1, 0, 0, 0]
    assert _condition(1, 2, 2.0).cat(_condition(2, 5, 1.0)).tensors["mask"][0].tolist() == [1, 1, 0, 0, 0]


def test_steps_to_a_threshold():
    history = History(rows=[{"step": k, "loss": [10.0 - k, float("nan")]} for k in range(5)])
    assert history.steps_to(7.5, clip=0) == 3
    assert history.steps_to(1.0, clip=0) == math.inf
    assert history.steps_to(1.0, clip=1) == math.inf
