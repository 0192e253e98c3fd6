"""Options held to annotations: what a configuration may hold for each kind."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from torch import Tensor

from ditto.options import check_arguments, fits
from ditto.sampling import DDIM
from ditto.types import UserError


@pytest.mark.parametrize(
    ("value", "kind", "fitting"),
    [
        (1, int, True), (1, float, True), (1.5, int, False), (True, int, False), ("1", int, False),
        (None, float, False), (None, float | None, True), ("a", str | Sequence[float], True),
        ([1, 2.0], str | Sequence[float], True), (["a"], str | Sequence[float], False), ("a", Sequence[float], False),
        (0.1, float | Tensor, True), ("a", float | Tensor, False), ("a", Path, True), ([1, [2]], Sequence, True),
        ({"a": 1}, Mapping[str, float], True), (print, Callable[[int], int], True), (3, Callable[[int], int], True),
    ],
)  # fmt: skip
def test_fits(value, kind, fitting):
    assert fits(value, kind) is fitting


def test_inherited_options_of_a_class_are_held_to_their_annotations():
    check_arguments(DDIM, {"steps": 3, "eta": 0, "dynamic_threshold": None, "no_such": "left to the class"}, "sampler")
    with pytest.raises(UserError, match=r"sampler\.steps=3\.5: give a whole number"):
        check_arguments(DDIM, {"steps": 3.5}, "sampler")
