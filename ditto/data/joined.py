"""Several data folders as one to train on: the corpus, takes of it, recordings of your own or of Debian packages.

The joined folder holds links to the sound and one ``pieces.csv``. All folders give their training pieces; val and test
are those of the first one alone, so that losses and figures stay comparable.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ditto.data.labels import Piece, read_pieces, to_csv
from ditto.data.pack import atomic_write
from ditto.errors import UserError


def join(folders: Sequence[Path], out: Path) -> str:
    """Link the pieces of ``folders`` into ``out``; returns a summary. UserError where two pieces share an id."""
    if out.resolve() in [folder.resolve() for folder in folders]:
        raise UserError(f"{out} is one of the folders to join: name another one with --out")
    homes: dict[str, Path] = {}
    kept: list[Piece] = []
    for place, folder in enumerate(folders):
        pieces = [piece for piece in read_pieces(folder) if place == 0 or piece.split == "train"]
        for piece in pieces:
            if (home := homes.setdefault(piece.piece_id, folder)) != folder:
                raise UserError(f"{home} and {folder} both have a piece {piece.piece_id}: join only one of them")
        kept += pieces
    for piece in kept:
        _link(homes[piece.piece_id] / piece.file, out / piece.file)
    atomic_write(out / "pieces.csv", to_csv(kept).encode())
    hours = {split: sum(p.seconds for p in kept if p.split == split) / 3600 for split in ("train", "val", "test")}
    return f"{out}: " + ", ".join(f"{split} {value:.2f} h" for split, value in hours.items())


def _link(source: Path, link: Path) -> None:
    """A link to a file, in place of an older one."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise UserError(f"{link} is a file, not a link: join into a folder of its own with --out")
    link.symlink_to(os.path.relpath(source.resolve(), link.parent.resolve()))
