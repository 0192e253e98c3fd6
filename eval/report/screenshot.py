"""A picture of the page as Chromium shows it, in at most 256 colours (a few hundred kilobytes)."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ditto.run_directory import write_bytes
from ditto.types import UserError

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1")


def screenshot(page: Path, out: Path, view: Mapping[str, Any]) -> str:
    """Write the PNG; returns what was written. view: width and height in CSS pixels, fragment (after the #)."""
    from PIL import Image

    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        raise UserError("a screenshot needs Chromium: apt install chromium, or leave out screenshot=…")
    address = f"{page.resolve().as_uri()}#{view['fragment']}"
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        where = (f"--user-data-dir={folder}/profile", f"--screenshot={shot}")
        command = [program, *FLAGS, *where, f"--window-size={view['width']},{view['height']}", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        if not shot.exists():
            raise UserError(f"Chromium made no screenshot: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}")
        buffer = io.BytesIO()
        with Image.open(shot) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE, kmeans=3).save(buffer, "PNG", optimize=True)
    write_bytes(out, buffer.getvalue())
    return f"{out}: {len(buffer.getvalue()) / 1e3:.0f} kB"
