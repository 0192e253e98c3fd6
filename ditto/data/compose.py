"""Compose the whole corpus in parallel: plans -> MIDI -> packs and labels in the repository."""

import csv
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from ditto.data.grooves import CORPUS, mma_command
from ditto.data.labels import Piece, label, write_labels
from ditto.data.midi import MidiError, make
from ditto.data.pack import write_pack
from ditto.data.plan import SPLITS, piece_ids, plan
from ditto.data.takes import write_levels
from ditto.data.tunes import load_tunes

SECONDS = (24.0, 80.0)


def compose(piece_id: str) -> tuple[Piece | None, bytes, str]:
    """(label, MIDI, "") or (None, b"", reason)."""
    recipe = plan(piece_id)
    try:
        score = make(recipe)
    except MidiError as error:
        return None, b"", f"{recipe.groove.name}: {error}"
    if not SECONDS[0] <= score.seconds <= SECONDS[1]:
        return None, b"", f"{recipe.groove.name}: {score.seconds:.0f} s long"
    return label(recipe, score.lead, score.instruments, score.seconds), score.data, ""


def compose_all(workers: int, count: int | None = None, folder: Path = CORPUS) -> list[Piece]:
    """Compose every split (``count`` pieces of each, for trials); writes packs, labels and what was dropped."""
    mma_command()
    load_tunes()
    pieces: list[Piece] = []
    dropped: list[tuple[str, str]] = []
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        for split in SPLITS:
            ids, files = piece_ids(split, count), {}
            done = pool.map(compose, ids, chunksize=8)
            for piece_id, (piece, data, reason) in zip(ids, tqdm(done, f"MIDI {split}", len(ids)), strict=True):
                if piece is None:
                    dropped.append((piece_id, reason))
                else:
                    pieces.append(piece)
                    files[piece_id] = data
            write_pack(split, files, folder)
            write_labels(pieces, folder / "pieces.csv.gz")
    write_levels({piece.piece_id: plan(piece.piece_id).level for piece in pieces}, folder / "levels.csv.gz")
    with (folder / "dropped.csv").open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerows([("piece_id", "reason"), *dropped])
    return pieces
