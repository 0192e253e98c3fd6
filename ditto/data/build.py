"""``python -m ditto.data.build [midi | render | hours | folder | recorded | join | examples | grooves]``: the music.

Without an argument: render the repository's corpus (composing it first where the packs are missing) into
``$DITTO_DATA/music`` (``./data/music`` by default). Every command resumes after a kill: finished files are kept.
"""

import argparse
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ditto.errors import UserError

SYNTHS = ("fluidsynth", "tinysoundfont")


def data_root() -> Path:
    """Folder of everything large: ``$DITTO_DATA`` or ``./data``."""
    return Path(os.environ.get("DITTO_DATA", "data"))


def _midi(args: argparse.Namespace) -> None:
    from ditto.data.compose import compose_all, compose_electronic

    if not args.electronic:
        pieces = compose_all(args.workers, args.count)
        for split in ("train", "val", "test"):
            _print_hours(split, [piece.seconds for piece in pieces if piece.split == split])
    _print_hours("electronic", [piece.seconds for piece in compose_electronic(args.workers, args.count)])


def _print_hours(name: str, seconds: list[float]) -> None:
    print(f"{name}: {len(seconds)} pieces, {sum(seconds) / 3600:.2f} h")


def _hours(args: argparse.Namespace) -> None:
    from ditto.data.corpus_audio import corpus
    from ditto.data.takes import schedule

    order = [take for take in schedule(corpus(None, args.electronic), args.takes) if take.piece.split == "train"]
    for number in range(args.takes):
        _print_hours(f"take {number}", [take.piece.seconds for take in order if take.number == number])
    _print_hours("train", [take.piece.seconds for take in order])
    print(f"{len({text for take in order for text in take.piece.captions})} captions")
    further = [take for take in order if take.number]
    changes = {
        "an instrument left out": [bool(take.left_out) for take in further],
        "the drums left out": [take.left_out == "drums" for take in further],
        "an instrument exchanged": [take.exchanged is not None for take in further],
    }
    for text, found in changes.items() if further else ():
        print(f"{text}: {100 * sum(found) / len(found):.0f} % of the further takes")


def _grooves(args: argparse.Namespace) -> None:
    from ditto.data.grooves import scan

    print(f"{len(scan())} grooves")


def _render(args: argparse.Namespace) -> None:
    from ditto.data.corpus_audio import render_corpus, render_piece, render_tiny
    from ditto.data.grooves import CORPUS

    if not (CORPUS / "midi-train.tar.xz").exists():
        _midi(args)
    out, render = args.out or data_root() / "music", {SYNTHS[0]: render_piece, SYNTHS[1]: render_tiny}[args.synth]
    summary = render_corpus(
        out, args.hours, args.workers, args.soundfont, args.count,
        render=render, takes=args.takes, electronic=args.electronic,
    )  # fmt: skip
    print(summary)


def _folder(args: argparse.Namespace) -> None:
    from ditto.data.folder import read_folder

    print(read_folder(args.source, args.captions, args.out or data_root() / "folder"))


def _recorded(args: argparse.Namespace) -> None:
    from ditto.data.recorded import read_recorded

    print(read_recorded(args.out or data_root() / "recorded", args.packages))


def _join(args: argparse.Namespace) -> None:
    from ditto.data.joined import join

    print(join(args.folders, args.out or data_root() / "joined" / "music"))


def _examples(args: argparse.Namespace) -> None:
    from ditto.data.examples import write_examples

    print(write_examples(args.out or data_root() / "music"))


def positive(text: str) -> int:
    """A whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def default_workers() -> int:
    """As many processes as cores may be used."""
    return len(os.sched_getaffinity(0))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m ditto.data.build", description=__doc__.split("\n\n")[1])
    commands = top.add_subparsers(dest="command")
    helps = {
        _midi: "compose the corpus: MIDI and labels into ditto/data/corpus (needs mma)",
        _render: "render the corpus with a General MIDI soundfont (needs fluidsynth or tinysoundfont)",
        _hours: "count the pieces and hours that `render` with the same options makes, from the labels alone",
        _folder: "read a folder of your own recordings with a captions file",
        _recorded: "cut the recorded music of Debian packages (out-of-domain reference)",
        _join: "several data folders as one to train on (data_root=data/joined): val and test are the first one's",
        _examples: "write the clips and melodies shipped in ditto/data/examples",
        _grooves: "list the grooves of the installed mma again",
    }
    for function, text in helps.items():
        command = commands.add_parser(function.__name__[1:], help=text, description=text)
        command.set_defaults(run=function, workers=default_workers(), count=None, hours=None, out=None)
        command.set_defaults(soundfont=[], takes=1, electronic=False)
        if function in (_midi, _render):
            command.add_argument("--workers", type=positive, help="processes (default: one per core)")
            command.add_argument("--count", type=positive, help="pieces a split, for a trial")
        if function is _midi:
            command.add_argument("--electronic", action="store_true", help="the electronic series only (without mma)")
        if function not in (_midi, _hours):
            command.add_argument("--out", type=Path, help="where the music goes (default: in $DITTO_DATA or ./data)")
        if function in (_render, _hours):
            command.add_argument("--takes", type=positive, help="play each training piece so often (default: 1)")
            command.add_argument("--electronic", action="store_true", help="with the electronic series, for training")
        if function is _render:
            _add_sound(command)
        if function is _folder:
            command.add_argument("source", type=Path, help="folder with wav, flac, ogg or mp3 files")
            command.add_argument("--captions", type=Path, help="csv: file,caption (default: captions.csv there)")
        if function is _join:
            command.add_argument("folders", nargs="+", type=Path, help="such as data/music data/recorded")
        if function is _recorded:
            command.add_argument("--packages", nargs="*", default=None, help="Debian packages to read")
    return top


def _add_sound(command: argparse.ArgumentParser) -> None:
    """Options of rendering alone."""
    command.add_argument("--hours", type=float, help="stop once this much training audio is there")
    command.add_argument(
        "--soundfont", type=Path, action="append", metavar="FILE",
        help="a General MIDI .sf2 or .sf3 (default: FluidR3_GM); name it again with others for the further takes",
    )  # fmt: skip
    command.add_argument("--synth", choices=SYNTHS, default=SYNTHS[0], help="what renders (default: %(default)s)")


def main(argv: list[str] | None = None) -> int:
    """Run a command; user errors are one line and exit code 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("--") and arguments[0] != "--help"):
        arguments = ["render", *arguments]
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenProcessPool:
        print(
            "error: a worker was killed (out of memory?): go on with the same command and --workers 1", file=sys.stderr
        )
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
