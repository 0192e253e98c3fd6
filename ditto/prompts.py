"""What to play: the prompts of a run, from exactly one source, and the clips they ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ditto.types import ClipRequest, UserError

SOURCES = ("prompt", "prompts_file", "prompts_split")


def read_prompts(options: Mapping[str, Any]) -> list[str]:
    """The prompts of `prompt`, `prompts_file` or `prompts_split`; of `default_prompt` when none is given."""
    given = [source for source in SOURCES if options.get(source) is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} are given: keep one of {', '.join(SOURCES)}")
    source = given[0] if given else "default_prompt"
    prompts = _READERS[source](options)
    if not prompts:
        raise UserError(f"{source}={options[source]} holds no prompt")
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt, str) or not prompt.strip():
            where = f"prompt {number} of {source}" if len(prompts) > 1 else source
            raise UserError(f'{where} is empty: say what to play, as in prompt="a calm jazz song"')
    return [prompt.strip() for prompt in prompts]


def clip_requests(options: Mapping[str, Any]) -> list[ClipRequest]:
    """One clip per prompt; clip i has seed + i and an id that says its place, words and seed."""
    return [
        ClipRequest(
            clip_id=f"{index:03d}_{_slug(prompt)}_s{options['seed'] + index}",
            prompt=prompt,
            seed=options["seed"] + index,
            index=index,
        )
        for index, prompt in enumerate(read_prompts(options))
    ]


def _from_option(options: Mapping[str, Any]) -> list[str]:
    prompt = options["prompt"]
    return [prompt] if isinstance(prompt, str) else list(prompt)


def _from_file(options: Mapping[str, Any]) -> list[str]:
    path = Path(options["prompts_file"])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"prompts_file={path} cannot be read ({error}): give a text file with a prompt a line"
        ) from error
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _from_split(options: Mapping[str, Any]) -> list[str]:
    from ditto.data.labels import load_pieces

    split, first, count = options["prompts_split"], options["prompts_offset"], options["prompts_n"]
    again = options.get("prompts_repeat", False)
    if split not in ("train", "val", "test"):
        raise UserError(f"prompts_split={split}: choose train, val or test")
    pieces = load_pieces(split)
    if first + count > len(pieces) and not again:
        few = f"the {split} split has {len(pieces)} pieces"
        raise UserError(f"prompts_offset={first} prompts_n={count}: {few}; prompts_repeat=true goes round them again")
    return [pieces[i % len(pieces)].captions[0] for i in range(first, first + count)]


def _slug(prompt: str, length: int = 32) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return words[:length].strip("-") or "clip"


_READERS = {
    "prompt": _from_option,
    "prompts_file": _from_file,
    "prompts_split": _from_split,
    "default_prompt": lambda options: [options["default_prompt"]],
}
