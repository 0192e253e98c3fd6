"""Pictures of the results as small files: 256 colours look the same where there is one colour map and grey text."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ditto.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_png(figure: Figure, path: Path, dpi: int) -> None:
    """The figure at `path`, whole or not at all; its folder is made."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    image = Image.open(drawn).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True, dpi=(dpi, dpi))
    write_bytes(path, small.getvalue())
