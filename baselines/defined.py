"""Which controls a method is defined for. A method on another control is a mistake of the command: one clear line."""

from __future__ import annotations

from typing import TypeVar

from ditto.controls.base import Control
from ditto.controls.painting import Painting
from ditto.types import UndefinedTask

ControlT = TypeVar("ControlT", bound=Control)


def require(control: Control, kinds: type[ControlT] | tuple[type[ControlT], ...], method: str, tasks: str) -> ControlT:
    """`control`, if it is of one of `kinds`; otherwise UndefinedTask with the `tasks` that the method does."""
    if not isinstance(control, kinds):
        raise UndefinedTask(f"{method} is not defined for {type(control).__name__.lower()}: choose task={tasks}")
    return control


def painting(control: Control, method: str) -> Painting:
    """The control of a task whose frames are partly given."""
    return require(control, Painting, method, "outpainting, inpainting or looping")
