"""Diversity and nearest training clips on points and mels whose answer is known."""

import numpy as np
import pytest

from ditto.types import UserError
from eval.diversity import Space, diversity_rows, vendi
from eval.neighbours import Neighbours, mel_match


def values(rows):
    return {row["metric"]: row["value"] for row in rows}


def clips(n, seed, dimension=200):
    return list(np.random.default_rng(seed).normal(3.0, 2.0, size=(n, 1, dimension)))


def test_clips_like_the_training_clips_are_one_apart_and_equal_clips_not_at_all():
    space = Space.of(clips(300, 0))
    spread = values(diversity_rows(space(clips(200, 1)), ["a"] * 200))
    assert spread["pair_distance"] == pytest.approx(1.0, abs=0.05)
    same = values(diversity_rows(space(clips(1, 2) * 20), ["a"] * 20))
    assert same["pair_distance"] == pytest.approx(0, abs=1e-9)
    assert same["vendi"] == pytest.approx(1.0)


def test_a_unit_that_is_silent_in_training_does_not_decide():
    train, other = clips(300, 0), clips(100, 1)
    for clip in train:
        clip[:, 7] = 0.0
    value = values(diversity_rows(Space.of(train)(other), ["a"] * 100))["pair_distance"]
    assert value == pytest.approx(1.2, abs=0.3)


def test_vendi_counts_what_is_different():
    points = np.repeat(np.eye(7), 5, axis=0)
    assert vendi(points) == pytest.approx(7)
    with pytest.raises(UserError, match="no direction"):
        vendi(np.zeros((2, 3)))


def test_pairs_of_one_prompt():
    points = np.array([[0.0, 1], [0, 2], [9, 1], [9, 4]])
    rows = values(diversity_rows(points, ["a", "a", "b", "b"]))
    assert rows["pair_distance_same_prompt"] == pytest.approx((1 + 3) / 2)
    assert rows["pair_distance"] > rows["pair_distance_same_prompt"]
    assert "pair_distance_same_prompt" not in values(diversity_rows(points, list("abcd")))


def test_the_interval_is_what_other_draws_give():
    space = Space.of(clips(300, 0, 5))
    rows = [diversity_rows(space(clips(60, seed, 5)), ["a"] * 60)[0] for seed in range(1, 60)]
    inside = [row["low"] <= 1 * np.mean([r["value"] for r in rows]) <= row["high"] for row in rows]
    assert 0.85 < np.mean(inside) <= 1.0


def test_copies_of_training_clips_are_found_and_unseen_clips_are_not():
    train, real, unseen = (clips(n, seed, 20) for n, seed in ((200, 0), (200, 1), (100, 2)))
    space = Space.of(train)
    found = Neighbours(space(train), space(real))
    copied = [train[i] + 0.01 * np.random.default_rng(i).normal(size=(1, 20)) for i in range(40)]
    rows = values(found.rows(space(copied)))
    assert rows["nearest_below_1pc"] == 1
    assert rows["nearest_ratio"] < 0.1
    assert found.closest(space(copied), 40)[0][0] == found.closest(space(copied), 40)[0][1]
    assert all(i == j for i, j in found.closest(space(copied), 40))
    mixed = [*unseen[:20], *copied[5:8]]
    assert set(found.closest(space(mixed), 3)) == {(20, 5), (21, 6), (22, 7)}
    other = values(found.rows(space(unseen)))
    assert other["nearest_below_1pc"] < 0.06
    assert other["nearest_ratio"] == pytest.approx(1, abs=0.1)


def test_mel_match_finds_a_shifted_copy_at_another_loudness():
    generator = np.random.default_rng(0)
    piece = generator.normal(size=(16, 200)).cumsum(1) * 0.2
    match, offset = mel_match(piece[:, 57:107] - 3.0, piece)
    assert match == pytest.approx(1, abs=1e-6)
    assert offset == 57
    other, _ = mel_match(generator.normal(size=(16, 50)).cumsum(1) * 0.2, piece)
    assert other < 0.8
    silent, clip = piece.copy(), generator.normal(size=(16, 50))
    silent[:, 100:150] = -11.5 + 1e-4 * clip  # rounding, not sound
    assert mel_match(clip, silent)[0] < 0.5
