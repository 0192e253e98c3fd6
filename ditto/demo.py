"""One prompt and a control, start to finish: `make demo`, `make demo TASK=melody`, `python -m ditto.demo task=melody`.

Every option of `python -m ditto.run` can be given. On a CPU the number of optimisation steps is cut so that the demo
ends within minutes; what it made is copied to `demo/<task>/`, beside the same prompt and noise without the control.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ditto.job import metric_lines
from ditto.outcome import outcomes
from ditto.run import main as run

PROMPT = "a calm jazz song at 90 beats per minute"
# K on a CPU: about 2 minutes of the embedded model on 2 cores. On a GPU the task's own K takes seconds.
CPU_STEPS = 60
OUT = Path("demo")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    keys = {argument.split("=", 1)[0].lstrip("+") for argument in given}
    chosen = [f"prompt={PROMPT}"] if not keys & {"prompt", "prompts_file", "prompts_split"} else []
    if "task.steps" not in keys and _on_cpu(given):
        chosen.append(f"task.steps={CPU_STEPS}")
        print(f"No GPU: {CPU_STEPS} optimisation steps, fewer than the task's own; task.steps=150 controls better.")
    code = run([*chosen, *given])
    ended = outcomes()
    if code or not ended or ended[-1].status not in ("done", "skipped"):
        return code
    if ended[-1].status == "skipped":  # shown again, not made again
        print("\n".join(metric_lines(ended[-1].path)))
    _hand_out(ended[-1].path)
    return 0


def _hand_out(path: Path) -> None:
    """Copy sound and pictures to `demo/<task>/`, as wav too, and say what to try next."""
    import soundfile

    from ditto.run_directory import read_json

    task = read_json(path / "status.json")["names"]["task"]
    folder = OUT / task
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for source in sorted([*(path / "audio").glob("*.flac"), *(path / "pictures").glob("*.png")]):
        target = folder / source.name
        if source.suffix == ".flac":
            samples, rate = soundfile.read(source)
            target = target.with_suffix(".wav")
            soundfile.write(target, samples, rate)
        else:
            shutil.copyfile(source, target)
        made.append(target)
    print("\nWritten:", *(f"  {target}" for target in made), f"  {path}/ (everything else)", sep="\n")
    other = "melody" if task != "melody" else "structure"
    print(
        "\nTry next:\n"
        f"  make demo TASK={other}                # or outpainting, inpainting, looping, structure, inversion, ...\n"
        f'  python -m ditto.run task={task} prompt="an energetic techno song at 130 beats per minute" seed=1\n'
        "  python -m ditto.run --help            # every option\n"
        "  python -m ditto.runs                  # what was made so far"
    )


def _on_cpu(arguments: list[str]) -> bool:
    from ditto.build import pick_device

    wanted = next((a.split("=", 1)[1] for a in arguments if a.startswith("device=")), "auto")
    return wanted == "cpu" or (wanted == "auto" and pick_device("auto") == "cpu")


if __name__ == "__main__":
    raise SystemExit(main())
