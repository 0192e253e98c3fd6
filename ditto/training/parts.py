"""Files in parts and back, for a road that limits the size of a file.

`python -m ditto.training.parts split weights.tar --mib 15` writes `weights.tar.part-01-of-03` and so on with
`weights.tar.sha256`; `python -m ditto.training.parts join weights.tar` puts them together and checks the sum.
"""

import argparse
import hashlib
import math
import os
import shutil
import sys
from pathlib import Path

from ditto.errors import UserError


def _sum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split(path: Path, mib: float, folder: Path | None = None) -> list[Path]:
    """Write parts of at most `mib` MiB to `folder` (default: beside the file); the file stays."""
    folder = folder or path.parent
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        raise UserError(f"no file {path} to split")
    if mib <= 0:
        raise UserError(f"a part has to hold more than {mib} MiB")
    size = int(mib * 2**20)
    count = max(1, math.ceil(path.stat().st_size / size))
    for old in folder.glob(f"{path.name}.part-*"):
        old.unlink()
    parts = [folder / f"{path.name}.part-{number:02d}-of-{count:02d}" for number in range(1, count + 1)]
    with open(path, "rb") as file:
        for part in parts:
            part.write_bytes(file.read(size))
    (folder / f"{path.name}.sha256").write_text(_sum(path) + "\n")
    return parts


def join(path: Path, folder: Path | None = None) -> Path:
    """Write `path` from its parts in `folder` (default: beside it), whole and as it was, or not at all."""
    folder = folder or path.parent
    parts = sorted(folder.glob(f"{path.name}.part-*"))
    counts = {part.name.rsplit("-", 1)[-1] for part in parts}
    if not parts or len(counts) != 1 or len(parts) != int(counts.pop()):
        raise UserError(f"{len(parts)} parts of {path.name} in {folder}: some are missing, or two sets are mixed")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as file:
            for part in parts:
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, file)
        if _sum(partial) != (folder / f"{path.name}.sha256").read_text().strip():
            raise UserError(f"the parts of {path.name} in {folder} are damaged: carry them again")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def main(argv: list[str] | None = None) -> int:
    """Split or join; user errors are one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m ditto.training.parts", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("split", "join"))
    parser.add_argument("path", type=Path, help="the whole file")
    parser.add_argument("--parts", type=Path, help="folder of the parts (default: the file's)")
    parser.add_argument("--mib", type=float, default=15.0, help="size of a part (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        if args.action == "split":
            print(*split(args.path, args.mib, args.parts), sep="\n")
        else:
            print(join(args.path, args.parts))
    except (UserError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
