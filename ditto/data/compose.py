"""Compose the whole corpus in parallel: plans -> MIDI -> packs and labels in the repository."""

import csv
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from ditto.data import electronic
from ditto.data.grooves import CORPUS, mma_command
from ditto.data.labels import Piece, label, write_labels
from ditto.data.midi import MidiError, Score, make
from ditto.data.pack import write_pack
from ditto.data.plan import SPLITS, Plan, piece_ids, plan
from ditto.data.takes import write_levels
from ditto.data.tunes import load_tunes

SECONDS = (24.0, 80.0)
Composed = tuple[Piece | None, bytes, str]
"""(label, MIDI, "") or (None, b"", reason)."""
Drop = tuple[str, str]


def compose(piece_id: str) -> Composed:
    """A piece of the corpus."""
    return _compose(plan(piece_id), make)


def compose_one_electronic(piece_id: str) -> Composed:
    """A piece of the electronic series."""
    return _compose(electronic.plan(piece_id), electronic.make)


def _compose(recipe: Plan, maker: Callable[[Plan], Score]) -> Composed:
    try:
        score = maker(recipe)
    except MidiError as error:
        return None, b"", f"{recipe.groove.name}: {error}"
    if not SECONDS[0] <= score.seconds <= SECONDS[1]:
        return None, b"", f"{recipe.groove.name}: {score.seconds:.0f} s long"
    return label(recipe, score.lead, score.instruments, score.seconds), score.data, ""


def _gather(ids: Sequence[str], done: Iterable[Composed]) -> tuple[list[Piece], dict[str, bytes], list[Drop]]:
    """Labels, MIDI by id, and (id, reason) of what was dropped."""
    pieces, files, dropped = [], {}, []
    for piece_id, (piece, data, reason) in zip(ids, done, strict=True):
        if piece is None:
            dropped.append((piece_id, reason))
        else:
            pieces.append(piece)
            files[piece_id] = data
    return pieces, files, dropped


def compose_all(workers: int, count: int | None = None, folder: Path = CORPUS) -> list[Piece]:
    """Compose every split (``count`` pieces of each, for trials); writes packs, labels and what was dropped."""
    mma_command()
    load_tunes()
    pieces: list[Piece] = []
    dropped: list[Drop] = []
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        for split in SPLITS:
            ids = piece_ids(split, count)
            done = pool.map(compose, ids, chunksize=8)
            made, files, failed = _gather(ids, tqdm(done, f"MIDI {split}", len(ids)))
            pieces, dropped = pieces + made, dropped + failed
            write_pack(split, files, folder)
            write_labels(pieces, folder / "pieces.csv.gz")
    write_levels({piece.piece_id: plan(piece.piece_id).level for piece in pieces}, folder / "levels.csv.gz")
    with (folder / "dropped.csv").open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerows([("piece_id", "reason"), *dropped])
    return pieces


def compose_electronic(workers: int, count: int | None = None, folder: Path = CORPUS) -> list[Piece]:
    """Compose the electronic series; writes its pack, labels and levels beside the others."""
    load_tunes()
    ids = electronic.piece_ids(count)
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        done = pool.map(compose_one_electronic, ids, chunksize=8)
        pieces, files, _ = _gather(ids, tqdm(done, "MIDI electronic", len(ids)))
    write_pack("electronic", files, folder)
    write_labels(pieces, folder / "pieces-electronic.csv.gz")
    levels = {piece.piece_id: electronic.plan(piece.piece_id).level for piece in pieces}
    write_levels(levels, folder / "levels-electronic.csv.gz")
    return pieces
