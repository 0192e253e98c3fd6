"""The pictures of the results: small, and the same to the eye."""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ditto.small_png import write_png


def test_a_picture_is_smaller_and_looks_the_same(tmp_path: Path) -> None:
    figure = Figure(figsize=(3, 2))
    figure.subplots().imshow(np.random.default_rng(0).normal(size=(80, 120)), cmap="magma")
    plain = io.BytesIO()
    figure.savefig(plain, format="png", dpi=100)
    path = tmp_path / "new" / "picture.png"
    write_png(figure, path, dpi=100)
    assert path.stat().st_size < 0.7 * len(plain.getvalue())
    same, small = (np.asarray(Image.open(one).convert("RGB"), dtype=float) for one in (plain, path))
    assert same.shape == small.shape
    assert np.abs(same - small).mean() < 3
    assert [one.name for one in path.parent.iterdir()] == ["picture.png"]
