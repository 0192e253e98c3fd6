"""Recorded music from Debian packages: an out-of-domain reference set and real audio for edits. Optional.

The captions name the package's style only; they are no ground truth. Splits are by track; ``licences.csv`` lists each
track's package and licence, and the packages' own copyright files hold the details.
"""

import csv
import io
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ditto.data.folder import SUFFIXES, Source, convert_all
from ditto.data.pack import atomic_write
from ditto.errors import UserError


@dataclass(frozen=True)
class Package:
    """A Debian package with recorded music."""

    name: str
    licence: str
    caption: str


PACKAGES = {
    package.name: package
    for package in (
        Package("wesnoth-1.16-music", "GPL-2.0-or-later", "orchestral fantasy game music"),
        Package("singularity-music", "CC-BY-SA-3.0", "electronic ambient game music"),
        Package("hyperrogue-music", "see the package's copyright file", "game music"),
        Package("pushover-data", "see the package's copyright file", "game music"),
        Package("warzone2100-music", "see the package's copyright file", "electronic game music"),
    )
}
DEFAULT = ("wesnoth-1.16-music", "singularity-music")


def installed_files(package: str) -> list[Path]:
    """The package's sound files; UserError with the command that installs it."""
    if shutil.which("dpkg") is None:
        raise UserError("recorded music comes from Debian packages: dpkg is missing, use a folder of recordings")
    listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True)
    if listed.returncode:
        raise UserError(f"the package {package} is not installed: sudo apt install {package}")
    paths = (Path(line) for line in listed.stdout.splitlines())
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())


def read_recorded(out: Path, packages: Sequence[str] | None = None) -> str:
    """Convert the packages' tracks into ``out``; returns a summary."""
    sources, rows = [], []
    for name in packages or DEFAULT:
        package = PACKAGES.get(name, Package(name, "see the package's copyright file", "recorded music"))
        for path in installed_files(name):
            track = f"{name}/{path.name}"
            sources.append(Source(path, track, (package.caption,), {}))
            rows.append((track, name, package.licence, f"/usr/share/doc/{name}/copyright"))
    summary = convert_all(sources, out, {})
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([("track", "package", "licence", "details"), *rows])
    atomic_write(out / "licences.csv", buffer.getvalue().encode())
    licences = sorted({(row[1], row[2]) for row in rows})
    return summary + "".join(f"\n  {name}: {licence}" for name, licence in licences)
