"""Is an option of the kind that its place wants? A word where a number belongs is refused before a run begins.

The options of classes are held to the annotations of their constructors, so a new control or method needs nothing here.
"""

from __future__ import annotations

import inspect
import json
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from ditto.types import UserError

# The options of conf/run.yaml that are not groups: what they are, and the least value that makes sense.
RUN_OPTIONS: dict[str, tuple[Any, int | None]] = {
    "prompts_n": (int, 1),
    "prompts_offset": (int, 0),
    "prompts_repeat": (bool, None),
    "seed": (int, 0),
    "frames": (int | None, 1),
    "seconds": (float | None, 0),
    "batch_size": (int | None, 1),
    "memory_gib": (float | None, 0),
    "budget_gib": (float, 0),
    "save_every_s": (float | None, 0),
    "sweep": (str | None, None),
    "run_id": (str | None, None),
    "text_only_beside": (bool, None),
    "overwrite": (bool, None),
    "retry": (bool | None, None),
    "progress": (bool, None),
    "pictures": (bool, None),
    "runs_dir": (str, None),
    "device": (str, None),
    "precision": (str, None),
}
_SCALARS = (bool, int, float, str, types.NoneType)
_SEQUENCES = (Sequence, list, tuple)


def check_run_options(options: Mapping[str, Any]) -> None:
    """Refuse what is of the wrong kind or too small among the options of the run command."""
    for name, (kind, least) in RUN_OPTIONS.items():
        value = options[name]
        if not fits(value, kind) or value == "":
            raise UserError(f"{name}={_shown(value)}: give {_named(kind)}")
        if least is not None and value is not None and value < least:
            raise UserError(f"{name}={value}: give {least} or more")


def check_arguments(function: Any, arguments: Mapping[str, Any], what: str) -> None:
    """Hold a class's or function's arguments to its annotations; what cannot be told from them passes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # nothing to call, or a class of a C extension that tells nothing
        return
    for name, value in arguments.items():
        annotation = _annotation(function, parameters[name].annotation) if name in parameters else Any
        if not fits(value, annotation):
            raise UserError(f"{what}.{name}={_shown(value)}: give {_named(annotation)}")


def fits(value: Any, annotation: Any) -> bool:
    """Could this value of a configuration be meant? Mappings and objects always pass, other kinds of class too."""
    return any(_fits_one(value, kind) for kind in _alternatives(annotation))


def _fits_one(value: Any, kind: Any) -> bool:
    origin = get_origin(kind) or kind
    if isinstance(value, list | tuple) and origin in _SEQUENCES:
        return all(fits(item, kind_of_items) for item in value for kind_of_items in get_args(kind)[:1])
    if not isinstance(value, (*_SCALARS, list, tuple)):
        return True
    if origin in _SCALARS:
        return type(value) is origin or (origin is float and type(value) is int)
    if origin is Path:
        return isinstance(value, str)
    return origin not in _SEQUENCES and not (isinstance(origin, type) and origin.__module__.startswith("torch"))


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _annotation(function: Any, annotation: Any) -> Any:
    """The annotation as an object; Any where its names are known to type checkers only."""
    if not isinstance(annotation, str):
        return Any if annotation is inspect.Parameter.empty else annotation
    owners = reversed(function.__mro__) if isinstance(function, type) else (function,)
    names = {key: value for owner in owners for key, value in vars(sys.modules[owner.__module__]).items()}
    try:
        return eval(annotation, names)  # the source code's own annotation, as typing.get_type_hints does it
    except NameError:
        return Any


def _named(annotation: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", types.NoneType: "null"}
    return " or ".join(words.get(kind, "a list") for kind in _alternatives(annotation))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
