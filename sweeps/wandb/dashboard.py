"""The W&B workspace that compares methods, as code.

    python sweeps/wandb/dashboard.py --entity me --project ditto        # writes it, prints its address; needs a key
    python sweeps/wandb/dashboard.py --print                            # its definition as JSON; needs neither
    python sweeps/wandb/dashboard.py --entity me --task melody          # of one task only

Panels use what ditto.loggers logs (`ditto.loggers.report`, `ditto.loggers.curves`) and, for FAD and text score, the
figures that `python -m ditto.loggers.evaluation` adds.
"""

from __future__ import annotations

import argparse
import json
import os

import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from ditto.loggers.curves import FIGURES
from ditto.loggers.report import MEDIA, TABLE

# The metric that judges each kind of task.
JUDGING = ("intensity_mse", "intensity_correlation", "melody_accuracy", "structure_mse", "overlap_mse")
FAD, TEXT = "eval/fad_pc8", "eval/text_audio_score"  # of conf/evaluate.yaml's default judges
CONTROL = ("control/ratio", "control/error")
BY = {"method and task": "comparison", "method": "names.method", "task": "names.task"}  # config keys to group bars by


def workspace(entity: str, project: str, task: str | None = None) -> ws.Workspace:
    """The workspace, not saved; with `task`, of the runs of that task."""
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"Methods compared: {task}" if task else "Methods compared",
        sections=[control(), sound(), cost(), curves(), media(), table()],
        runset_settings=ws.RunsetSettings(
            filters=[expr.Config("names.task") == task] if task else [],
            pinned_columns=["summary:control/ratio", "summary:control/error", "summary:seconds_per_clip"],
        ),
    )


def control() -> ws.Section:
    """Bars: the mean of the runs of each method (and task), first against text-only, then metric by metric."""
    bars = [bar(name, f"{name} by {label}", key) for name in CONTROL for label, key in BY.items()]
    return section("Control metric by method and task", [*bars, *(bar(name, name, "comparison") for name in JUDGING)])


def sound() -> ws.Section:
    """What control costs in quality: up is closer to the prompt, left is closer to real music."""
    return section("FAD against text score", [scatter(FAD, TEXT)])


def cost() -> ws.Section:
    """What control costs in time."""
    return section("Seconds against control error", [scatter("seconds_per_clip", name, log_x=True) for name in CONTROL])


def curves() -> ws.Section:
    """Loss and metric, for finished runs over all clips, and as they come."""
    whole = [line("curve/step", f"curve/{name}", groupby="comparison") for name in ("loss", "metric")]
    live = [line("optimisation/step", f"optimisation/{name}") for name in FIGURES]
    clips = [
        wr.LinePlot(title=f"{n} of single clips", x="clip/step", metric_regex=f"clip_{n}/.*")
        for n in ("loss", "metric")
    ]
    return section("Loss and metric against optimisation step", [*whole, *live, *clips])


def media() -> ws.Section:
    """One row a run, one column a clip: the same prompt and noise below each other."""
    titles = {"media/picture": "Pictures: spectrogram, target against achieved"}
    panels = [
        wr.MediaBrowser(
            title=titles.get(key, key), media_keys=[key], mode="grid", grid_x_axis="index", grid_y_axis="run"
        )
        for key in MEDIA
    ]
    return section("Sound and pictures", panels)


def table() -> ws.Section:
    """A row a clip, side by side over the runs that are shown."""
    return section("Clips side by side", [wr.WeavePanelSummaryTable(table_name=TABLE)])


def section(name: str, panels: list) -> ws.Section:  # type: ignore[type-arg]
    return ws.Section(name=name, panels=panels, is_open=True)


def bar(metric: str, title: str, key: str) -> wr.BarPlot:
    return wr.BarPlot(
        title=title,
        metrics=[metric],
        groupby=wr.Config(key),
        groupby_aggfunc="mean",
        max_bars_to_show=40,
    )


def scatter(x: str, y: str, log_x: bool = False) -> wr.ScatterPlot:
    return wr.ScatterPlot(title=f"{y} against {x}", x=wr.SummaryMetric(x), y=wr.SummaryMetric(y), log_x=log_x)


def line(x: str, y: str, groupby: str | None = None) -> wr.LinePlot:
    return wr.LinePlot(title=f"{y} by step", x=x, y=[y], groupby=wr.Config(groupby) if groupby else None)


def definition(space: ws.Workspace) -> dict:  # type: ignore[type-arg]
    """What would be sent to W&B, as plain JSON."""
    return json.loads(space._to_model().model_dump_json(by_alias=True, exclude_none=True))


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python sweeps/wandb/dashboard.py", description=str(__doc__).splitlines()[0])
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY", ""))
    parser.add_argument("--project", default="ditto")
    parser.add_argument("--task")
    parser.add_argument("--print", action="store_true", help="print the definition, send nothing")
    options = parser.parse_args(arguments)
    space = workspace(options.entity or "entity", options.project, options.task)
    if options.print:
        print(json.dumps(definition(space), indent=1))
        return 0
    if not options.entity:
        parser.error("--entity: whose project? (or --print)")
    print(space.save().url)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
