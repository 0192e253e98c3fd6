"""Assemble the page: the runs' clips, tables and figures into template.html, with style.css and script.js inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from tqdm import tqdm

from eval.finished import Finished
from eval.report import names, svg
from eval.report.clips import Example, Prompt, prompts
from eval.report.paper_tables import paper_tables
from eval.report.provenance import missing, provenance
from eval.report.tables import Table, summary

HERE = Path(__file__).parent


def page(options: Mapping[str, Any], found: Sequence[Finished]) -> str:
    """The whole page as HTML."""
    of = {task: [one for one in found if one.task == task] for task in options["tasks"]}
    clips = sum(len(runs) for runs in of.values()) * options["prompts"]
    with tqdm(total=clips, desc="clips of the page", unit="clip") as bar:
        rows = {task: prompts(runs, options, bar.update) for task, runs in of.items() if runs}
    tables = {task: summary(Path(options["summary"]), task, options) for task in rows}
    licences = {one.licence for several in rows.values() for row in several for one, _ in row.recordings}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(names=names, data=_data, curves=_curves, loss=_loss, legend=_legend)
    return environment.from_string((HERE / "template.html").read_text()).render(
        css=Markup((HERE / "style.css").read_text()),
        js=Markup((HERE / "script.js").read_text()),
        tasks=rows,
        tables=tables,
        paper_tables=paper_tables(Path(options["tables"])),
        figures=sorted(Path(options["figures"]).glob("*.png")),
        methods=[name for name in options["methods"] if any(one.method == name for one in found)],
        label=lambda name: options["labels"].get(name, name.replace("_", " ")),
        about=options["about"],
        facts=provenance(found, options) | _judges(tables.values()),
        missing=missing(found, options),
        licences=sorted(licences),
        shown=options["prompts"],
    )


def _data(content: bytes | Path, kind: str) -> str:
    """A data URL."""
    content = content.read_bytes() if isinstance(content, Path) else content
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _curves(row: Prompt, example: Example, name: str) -> list[Markup]:
    """The drawings of a clip; those of one prompt and control share their y axis."""
    shared = [list(part) for part in zip(*(one.drawings for one in row.examples if one.drawings), strict=True)]
    return [
        svg.plot(one, svg.limits(part), f"{one.y_label or 'similarity'}: target and {name}")
        for one, part in zip(example.drawings, shared, strict=bool(example.drawings))
    ]


def _legend(row: Prompt) -> list[tuple[str, str]]:
    """(role, words) of what a prompt's drawings show."""
    drawn = [one for example in row.examples for one in example.drawings]
    words: dict[str, str] = {}
    for line in (line for one in drawn for line in one.lines if line.label):
        words.setdefault(line.label, "held" if line.steps else "asked" if line.asked else "made")
    if any(picture.achieved for one in drawn for picture in one.pictures):
        words.setdefault("achieved", "made")
    said = dict.fromkeys(one.x_label.partition("; ")[2] for one in drawn)  # "time (s); above: target, below: …"
    given = [("span", "given")] if any(one.spans for one in drawn) else []
    return [*((role, word) for word, role in words.items()), *given, *(("", text) for text in said if text)]


def _loss(row: Prompt) -> Markup | None:
    """Loss against steps of the methods that have one."""
    curves = [(f"m-{one.method}", one.losses) for one in row.examples if len(one.losses) > 1]
    return svg.loss_plot(curves, "loss against steps") if curves else None


def _judges(tables: Iterable[Table | None]) -> dict[str, str]:
    """What FAD was measured against."""
    said = sorted({one.said for one in tables if one and one.said})
    return {"FAD against": "; ".join(said)} if said else {}
