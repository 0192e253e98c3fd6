"""What a GPU machine without a network needs beside this repository: `python -m ditto.training.pack -o .gpu`.

Writes one `pack.tar.xz`: wheels that such a machine lacks (it has torch, pytorch-lightning, transformers, pandas,
scipy, scikit-learn, numba and matplotlib), the soundfont, and the sentence encoder made small. `--parts 12` also cuts
it into folders `01`, `02`, ... of that many MiB, one a call. Needs a network, pip, apt-get and dpkg where it is built.
`sweeps/gpu/train.sh` unpacks and uses it.
"""

import argparse
import importlib.metadata
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from ditto.data.corpus_audio import corpus
from ditto.data.takes import schedule
from ditto.errors import UserError
from ditto.training.parts import split
from ditto.training.small_text import shrink

WHEELS = (
    "hydra-core", "omegaconf", "diffusers", "librosa", "soundfile", "soxr", "audioread", "pooch", "platformdirs",
    "decorator", "cffi", "pycparser", "importlib_metadata", "mido",
)  # fmt: skip
SOURCES = ("antlr4-python3-runtime",)  # published without a wheel
FIXED = ("tinysoundfont==0.3.7",)  # not one of our own requirements
GLIBC = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
SOUNDFONTS = {"soundfont.sf3": "fluidr3mono-gm-soundfont", "second.sf2": "timgm6mb-soundfont"}
"""File in the pack: Debian package. FluidR3 mono (MIT) is the smallest relative of the soundfont that the corpus is
rendered with; TimGM6mb (GPL-2) gives further takes of a piece another sound."""
TRAVELS_MIB = 64.0  # of a checkout and what it carries, in one call
LIMIT_MIB = 60.0
MIB = 2**20


def _run(command: list[str], folder: Path, network: str) -> None:
    """Run a command; UserError with its last line where it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise UserError(f"{network} failed: {last}")


def pinned(names: tuple[str, ...]) -> list[str]:
    """NAME==VERSION as installed here, so that both machines run the same releases."""
    try:
        return [f"{name}=={importlib.metadata.version(name)}" for name in names]
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(f"{error.name} is not installed here: make setup") from error


def wheels(folder: Path, python: str, platform: str = "x86_64") -> None:
    """Download wheels for that Python on Linux."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    systems = [word for tag in GLIBC for word in ("--platform", f"{tag}_{platform}")]
    target = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, *systems]
    folder.mkdir()
    _run([*pip, "download", "--no-deps", *target, "--dest", ".", *pinned(WHEELS), *FIXED], folder, "pip download")
    _run([*pip, "wheel", "--no-deps", "--wheel-dir", ".", *pinned(SOURCES)], folder, "pip wheel")


def soundfont(folder: Path, package: str, name: str) -> Path:
    """The soundfont of a Debian package as `folder/name`."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _run(["apt-get", "download", package], Path(scratch), "apt-get download")
        deb = next(Path(scratch).glob("*.deb"))
        _run(["dpkg", "-x", deb.name, "."], Path(scratch), "dpkg")
        found = max(Path(scratch).rglob(f"*{Path(name).suffix}"), key=lambda path: path.lstat().st_size)
        return found.rename(folder / name)


def travelling(root: Path) -> float:
    """MiB of a checkout: files that git tracks or does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.split("\0")
    return sum((root / name).lstat().st_size for name in set(names) if name and (root / name).is_file()) / MIB


def texts(takes: int = 4) -> list[str]:
    """Every caption of the corpus, the electronic series and their takes, and the prompts that training draws."""
    from omegaconf import OmegaConf

    stage = Path(__file__).parents[2] / "conf" / "stage" / "denoiser.yaml"
    prompts = OmegaConf.load(stage).samples.prompts
    played = schedule(corpus(electronic=True), takes)
    return sorted({text for take in played for text in take.piece.captions} | set(prompts) | {""})


def build(out: Path, python: str = "3.12", parts_mib: float | None = None, limit_mib: float = LIMIT_MIB) -> list[Path]:
    """Write pack.tar.xz (and its parts); UserError where it is too large to carry."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as name:
        work = Path(name)
        wheels(work / "wheels", python)
        fonts = [soundfont(work, package, name) for name, package in SOUNDFONTS.items()]
        shrink(texts(), work / "encoder.tar.xz")
        items = [*sorted((work / "wheels").iterdir()), *fonts, work / "encoder.tar.xz"]
        for item in items:
            print(f"{item.stat().st_size / MIB:8.2f} MiB  {item.name}")
        pack = out / "pack.tar.xz"
        with tarfile.open(pack, "w:xz") as tar:
            for item in items:
                tar.add(item, arcname=str(item.relative_to(work)))
    size = pack.stat().st_size / MIB
    print(f"{size:8.2f} MiB  in all")
    if size > limit_mib:
        raise UserError(f"{pack} holds {size:.1f} MiB, more than the {limit_mib:g} MiB that can be carried")
    return _parts(pack, parts_mib) if parts_mib else [pack]


def _parts(pack: Path, mib: float) -> list[Path]:
    """Each part in a folder of its own, the sum in the first one."""
    moved = []
    for number, part in enumerate(split(pack, mib), 1):
        folder = pack.parent / f"{number:02d}"
        folder.mkdir(exist_ok=True)
        moved.append(part.rename(folder / part.name))
    (pack.parent / f"{pack.name}.sha256").rename(moved[0].parent / f"{pack.name}.sha256")
    return moved


def main(argv: list[str] | None = None) -> int:
    """Build the pack; user errors are one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m ditto.training.pack", description=__doc__.split("\n\n")[0])
    parser.add_argument("-o", "--out", type=Path, default=Path(".gpu"), help="folder (default: %(default)s)")
    parser.add_argument("--python", default="3.12", help="Python there (default: %(default)s)")
    parser.add_argument("--parts", type=float, help="also cut into parts of so many MiB")
    args = parser.parse_args(argv)
    try:
        print(*build(args.out, args.python, args.parts), sep="\n")
        checkout = travelling(Path(__file__).parents[2])
        print(f"{checkout:8.2f} MiB  the checkout; {TRAVELS_MIB - checkout:.1f} MiB may be carried beside it in a call")
    except (UserError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
