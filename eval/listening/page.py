"""The page that collects ratings: `python -m eval.listening.page runs=runs out=listening`.

Writes <out>/index.html, one file with everything in it (send it, or put it on any web server; it also works when opened
from a disk, and asks the network for nothing), and <out>/key.json, which listeners must not have. The page shows one
triplet of `eval.listening.triplets` at a time, the order of triplets and of the clips in them drawn anew for each
listener; every clip has to be heard before it can be rated from 0 to 100. Levels are left as they were generated: in
the intensity task loudness is what was asked for. Listeners save ratings_<their random id>.json and send it back.

The page's hash is of everything that listeners compare and are asked; ratings carry it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from ditto.build import build
from ditto.command import command
from eval.listening.key import make_key, write_key
from eval.listening.pictures import seconds
from eval.listening.sound import encoded
from eval.listening.triplets import Triplet, triplets

WEB = Path(__file__).with_name("web")
SCRIPTS = ("store.js", "tune.js", "clip.js", "page.js")
WORDS = ("title", "question", "wording", "scale")


def content(chosen: list[Triplet], options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything on the page but the sound, as its scripts read it; "page" is the hash of the rest."""
    shown = {task: options["shown"][task] for task in sorted({one.task for one in chosen})}
    draw = {task: build(about["picture"], f"shown.{task}.picture") for task, about in shown.items()}
    data = {name: options[name] for name in WORDS}
    data["tasks"] = {task: {"title": about["title"], "asked": about["asked"]} for task, about in shown.items()}
    data["triplets"] = [
        {
            "name": one.name,
            "task": one.task,
            "prompt": one.prompt,
            "seconds": seconds(one.samples[0]),
            "samples": [sample.name for sample in one.samples],
            **vars(draw[one.task](one)),
        }
        for one in chosen
    ]
    text = json.dumps(data, sort_keys=True)
    return {"page": hashlib.sha256(text.encode()).hexdigest()[:16], **data}


def sounds(chosen: list[Triplet], compression: float) -> list[str]:
    """One script element per clip, in the order of their names; its text is the sound in base64."""
    samples = sorted((sample for one in chosen for sample in one.samples), key=lambda sample: sample.name)
    blocks = []
    for sample in tqdm(samples, desc="encode", unit="clip", leave=False):
        data, media = encoded(sample.file, compression)
        text = base64.b64encode(data).decode()
        blocks.append(f'<script type="text/plain" id="sound-{sample.name}" data-media="{media}">{text}</script>')
    return blocks


def page(data: Mapping[str, Any], blocks: list[str]) -> str:
    """The whole HTML file."""
    script = "\n".join((WEB / name).read_text() for name in SCRIPTS)
    parts = {
        "TITLE": html.escape(data["title"]),
        "STYLE": (WEB / "page.css").read_text(),
        "DATA": json.dumps(data).replace("<", "\\u003c"),  # no prompt can end the element
        "SOUNDS": "\n".join(blocks),
        "SCRIPT": script,
    }
    text = (WEB / "page.html").read_text()
    for name, part in parts.items():
        text = text.replace(f"<!--{name}-->", part)
    return text


def run(cfg: DictConfig) -> dict[str, Any]:
    """Write page and key, return the page's data."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    chosen = triplets(options)
    data = content(chosen, options)
    text = page(data, sounds(chosen, options["mp3_compression"]))
    out = Path(options["out"])
    out.mkdir(parents=True, exist_ok=True)
    write_key(make_key(data["page"], options["tested"], chosen), Path(options["key"]))
    partial = out / f".index.{os.getpid()}.tmp"
    partial.write_text(text, encoding="utf-8")
    partial.replace(out / "index.html")
    return data


@command("listening")
def main(cfg: DictConfig) -> None:
    data = run(cfg)
    size = (Path(cfg.out) / "index.html").stat().st_size / 2**20
    print(f"{len(data['triplets'])} triplets in {cfg.out}/index.html ({size:.1f} MiB); whose clip is whose: {cfg.key}")


if __name__ == "__main__":
    main()
