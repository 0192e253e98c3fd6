"""What the run directories hold, on the command line.

python -m ditto.runs [FILTER ...]               every run: status, clips, primary metric, seconds
python -m ditto.runs failed [FILTER ...]        what did not finish, why, and the command that makes it again
python -m ditto.runs show ID                    one run, clip by clip (the first letters of its id are enough)
python -m ditto.runs compare [FILTER ...]       methods side by side, a row per task, beside text-only
python -m ditto.runs compare ID ID              two runs: options that differ, then metric by metric, clip by clip
python -m ditto.runs export FILE.csv [FILTER ...] [--clips]
python -m ditto.runs verify [FILTER ...] [--repair]
python -m ditto.runs watch [SWEEP] [--once]     a running sweep: done, running, failed, time left
python -m ditto.runs sync-wandb [FILTER ...]    upload finished runs to Weights & Biases

FILTER: key=value[,value], key!=value; keys are task, method, model, sampler, memory, status, run, sweep, since, before,
or any key of the configuration: task=melody method=ditto,freedom since=2d sampler.steps=50
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ditto.runs.filters import is_filter, select

COMMANDS = ("list", "failed", "show", "compare", "export", "verify", "watch", "sync-wandb")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 1 where something failed or is damaged, 2 for a mistake in the command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    filters = [word for word in words if is_filter(word)]  # they may stand anywhere, which argparse does not know
    words = [word for word in words if not is_filter(word)]
    command = next((word for word in words if word in COMMANDS), None)
    if command:
        words.remove(command)
    if command or not {"-h", "--help"} & set(words):
        words.insert(0, command or "list")
    options = _parser().parse_args(words, argparse.Namespace(filters=filters))
    try:
        if filters and options.run in (_show, _watch):
            raise ValueError(f"{command} takes no filter like {filters[0]}")
        return options.run(options)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not _is_mistake(error):
            raise
        print(f"error: {error.args[0] if error.args else error}", file=sys.stderr)
        return 2


def _is_mistake(error: Exception) -> bool:
    from ditto.types import UserError  # with all of PyTorch behind it

    return type(error) in (LookupError, ValueError) or isinstance(error, UserError)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--runs-dir", default="runs", metavar="DIR")
    parser = argparse.ArgumentParser("python -m ditto.runs", description=__doc__, formatter_class=raw, usage="%(prog)s")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, parents=[common], help=help, description=help)
        one.set_defaults(run=run)
        return one

    listed = command("list", _list, "every run")
    listed.add_argument("--failed", action="store_true", help="only runs that did not finish, or lost clips")
    command("failed", _failed, "what did not finish, why, and the command that makes it again")
    command("show", _show, "one run, clip by clip").add_argument("id")
    compare = command("compare", _compare, "methods side by side, or two runs")
    compare.add_argument("ids", nargs="*", metavar="ID")
    compare.add_argument("--by", default="method", help="what the columns are: a group, or a key of the configuration")
    compare.add_argument("--same-clips", action="store_true", help="only prompts and seeds that all columns have")
    export = command("export", _export, "a csv file, a row per run")
    export.add_argument("file", type=Path)
    export.add_argument("--clips", action="store_true", help="a row per clip of the finished runs")
    verify = command("verify", _verify, "read every file of finished runs")
    verify.add_argument("--repair", action="store_true", help="mark damaged runs, so that they are made again")
    watch = command("watch", _watch, "a running sweep; the newest if none is named")
    watch.add_argument("sweep", nargs="?")
    watch.add_argument("--once", action="store_true", help="print a summary and end")
    watch.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    sync = command("sync-wandb", _sync_wandb, "upload finished runs to Weights & Biases")
    sync.add_argument("--project", default="ditto")
    sync.add_argument("--entity")
    sync.add_argument("--dry-run", action="store_true", help="say what would be uploaded")
    return parser


def _list(options: argparse.Namespace) -> int:
    from ditto.runs.frames import summary
    from ditto.runs.show import listing

    frame = summary(options.runs_dir, options.filters)
    if options.failed and len(frame):
        frame = frame[(frame.reason != "") & (frame.status != "running")]
    print(listing(frame) if len(frame) else "no runs to show")
    return 0


def _failed(options: argparse.Namespace) -> int:
    from ditto.runs.show import stopped

    print(stopped(options.runs_dir, select(options.runs_dir, options.filters)))
    return 0


def _show(options: argparse.Namespace) -> int:
    from ditto.runs.reading import find_run
    from ditto.runs.show import show

    print(show(find_run(options.runs_dir, options.id)))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from ditto.runs import compare
    from ditto.runs.pair import two_runs
    from ditto.runs.reading import find_run

    if options.ids:
        if len(options.ids) != 2 or options.filters:
            raise ValueError("compare takes two ids of runs, or filters")
        print(two_runs(*(find_run(options.runs_dir, one) for one in options.ids)))
        return 0
    chosen = compare.cells(select(options.runs_dir, options.filters), options.by)
    values = compare.clip_values(chosen)
    values = compare.same_clips(values) if options.same_clips else values
    table = compare.comparison(values).to_string() if len(values) else "no clips to compare"
    print("\n".join([table, *compare.remarks(chosen, values)]))
    return 0


def _export(options: argparse.Namespace) -> int:
    from ditto.atomic import write_bytes
    from ditto.runs.frames import load_runs, summary

    if options.file.suffix != ".csv":
        raise ValueError(f"{options.file}: give a name that ends in .csv")
    frame = (load_runs if options.clips else summary)(options.runs_dir, options.filters)
    write_bytes(options.file, frame.to_csv(index=False).encode())
    print(f"{len(frame)} rows -> {options.file}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ditto.runs.verify import verify

    runs = select(options.runs_dir, options.filters)
    found = 0
    for finding in verify(options.runs_dir, runs, options.repair):
        found += 1
        print(f"{finding.path}: {finding.wrong}" + (f" ({finding.done})" if finding.done else ""), flush=True)
    finished = sum(run.status in ("done", "damaged") for run in runs)
    print(
        f"{finished} finished runs read, {found} findings" + ("" if options.repair or not found else "; see --repair")
    )
    return 1 if found else 0


def _watch(options: argparse.Namespace) -> int:
    from ditto.runs.watch import watch

    return watch(options.runs_dir, options.sweep, options.once, options.every)


def _sync_wandb(options: argparse.Namespace) -> int:
    from ditto.loggers.sync import sync

    paths = [run.path for run in select(options.runs_dir, options.filters) if run.status == "done"]
    outcomes = sync(paths, options.project, options.entity, options.dry_run)
    print("\n".join(f"{run_id}: {happened}" for run_id, happened in outcomes) or "no finished runs to upload")
    return 1 if any(happened.startswith("failed") for _, happened in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main())
