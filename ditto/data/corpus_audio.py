"""Render the whole corpus: parallel, bounded, resumable, with ``pieces.csv`` always listing finished files only.

Order: val, test, then train in order of id, then take 1 of every training piece, take 2, ...; genres are drawn
independently per id, so every prefix is balanced.
"""

import csv
import errno
import io
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import soundfile
from tqdm import tqdm

from ditto.data.labels import Piece, load_electronic, load_pieces, to_csv
from ditto.data.pack import atomic_write, pack_of, read_pack
from ditto.data.plan import SPLITS
from ditto.data.render import RenderError, find_soundfont, render_piece
from ditto.data.render import require as require_fluidsynth
from ditto.data.takes import Take, schedule
from ditto.data.tinysynth import render_tiny
from ditto.data.tinysynth import require as require_tinysoundfont
from ditto.errors import UserError

Render = Callable[[Piece, bytes, Path, Path], float]
"""(piece, MIDI, output file, soundfont) -> seconds; raises RenderError to drop the piece."""
REQUIRE: dict[Render, Callable[[], None]] = {render_piece: require_fluidsynth, render_tiny: require_tinysoundfont}
EVERY, MIN_FREE = 100, 16 << 20


def _die_with_parent() -> None:
    """In a worker: leave when the parent was killed, so that a kill -9 leaves no process behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _try(render: Render, take: Take, midi: bytes, out: Path, soundfont: Path) -> tuple[Piece, float, str]:
    piece = take.piece
    try:
        return piece, render(piece, take.play(midi), out, soundfont), ""
    except RenderError as error:
        return piece, 0.0, str(error)
    except (OSError, soundfile.LibsndfileError) as error:
        if getattr(error, "errno", 0) == errno.ENOSPC or shutil.disk_usage(out.parent).free < MIN_FREE:
            raise UserError(f"no space left for {out.parent}: free some, or name another folder with --out") from error
        return piece, 0.0, f"{type(error).__name__}: {error}"


def _seconds(path: Path) -> float:
    """Length of a finished file, 0 where it is missing or unreadable."""
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError):
        return 0.0
    return info.frames / info.samplerate


def _sweep_parts(folder: Path) -> None:
    """Remove the unfinished files of processes that are gone."""
    for part in folder.glob(".*.part"):
        pid = part.name.split(".")[-2]
        if not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
            part.unlink(missing_ok=True)


def _run(render: Render, todo: Sequence[Take], folder: Path, fonts: Sequence[Path], workers: int) -> Iterator[tuple]:
    """Render in parallel with a short queue; results in order of completion."""
    with ProcessPoolExecutor(workers, initializer=_die_with_parent) as pool:
        pending: set[Future] = set()
        waiting = iter(todo)
        try:
            while True:
                while len(pending) < 3 * workers and (take := next(waiting, None)) is not None:
                    midi = read_pack(pack_of(take.source, take.piece.split)).get(take.source, b"")
                    out = folder / take.piece.file
                    pending.add(pool.submit(_try, render, take, midi, out, take.soundfont(fonts)))
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _report(folder: Path, done: dict[str, Piece], dropped: dict[str, str], order: Sequence[Piece]) -> None:
    """Rewrite pieces.csv and dropped.csv, each at once."""
    finished = [done[piece.piece_id] for piece in order if piece.piece_id in done]
    atomic_write(folder / "pieces.csv", to_csv(finished).encode())
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([("piece_id", "reason"), *sorted(dropped.items())])
    atomic_write(folder / "dropped.csv", buffer.getvalue().encode())


def _hours(done: dict[str, Piece], split: str) -> float:
    return sum(piece.seconds for piece in done.values() if piece.split == split) / 3600


def summary(folder: Path, done: dict[str, Piece], dropped: dict[str, str]) -> str:
    """What lies in the folder, in one paragraph."""
    counts = {split: sum(piece.split == split for piece in done.values()) for split in SPLITS}
    parts = [f"{split} {count} pieces {_hours(done, split):.2f} h" for split, count in counts.items()]
    text = f"{folder}: " + ", ".join(parts)
    return text + (f"; dropped {len(dropped)}, see {folder / 'dropped.csv'}" if dropped else "")


def corpus(count: int | None = None, electronic: bool = False) -> list[Piece]:
    """val, test and train, at most ``count`` of each; the electronic series is spread evenly among those of train."""
    pieces = {split: load_pieces(split)[:count] for split in SPLITS}
    more = load_electronic()[:count] if electronic else []
    train = pieces.pop("train")
    placed = [((i + 0.5) / len(part), piece) for part in (train, more) for i, piece in enumerate(part)]
    mixed = [piece for _, piece in sorted(placed, key=lambda item: item[0])]
    return [*(piece for part in pieces.values() for piece in part), *mixed]


def render_corpus(
    folder: Path,
    hours: float | None = None,
    workers: int = 1,
    soundfonts: Sequence[Path] = (),
    count: int | None = None,
    pieces: Sequence[Piece] | None = None,
    render: Render = render_piece,
    takes: int = 1,
    electronic: bool = False,
) -> str:
    """Render what is missing in ``folder`` until ``hours`` of training audio are there (None: all).

    ``takes`` plays every training piece so many times, ``electronic`` adds that series to the training pieces.
    ``soundfonts``: the first for the pieces themselves, all of them in turn for further takes. ``count`` limits the
    pieces of each split; ``pieces`` replaces the corpus and ``render`` the renderer (for tests).
    """
    if render in REQUIRE:
        REQUIRE[render]()
    fonts = [find_soundfont(font) for font in soundfonts] or [find_soundfont()] if render in REQUIRE else [Path()]
    pieces = corpus(count, electronic) if pieces is None else pieces
    recipes = schedule(pieces, takes)
    order = [take.piece for take in recipes]
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    _sweep_parts(folder / "audio")
    _sweep_parts(folder)
    done = {p.piece_id: replace(p, seconds=round(s, 3)) for p in order if (s := _seconds(folder / p.file))}
    dropped: dict[str, str] = {}
    todo = [take for take in recipes if take.piece.piece_id not in done]
    bar = tqdm(total=len(order), initial=len(done), desc="render", unit="piece")
    for index, (piece, seconds, reason) in enumerate(_run(render, todo, folder, fonts, workers), 1):
        bar.update()
        if reason:
            dropped[piece.piece_id] = reason
        else:
            done[piece.piece_id] = replace(piece, seconds=round(seconds, 3))
        if index % EVERY == 0:
            _report(folder, done, dropped, order)
            bar.set_postfix_str(f"{_hours(done, 'train'):.1f} h train, {len(dropped)} dropped")
        if hours is not None and _hours(done, "train") >= hours:
            break
    bar.close()
    _report(folder, done, dropped, order)
    return summary(folder, done, dropped)
