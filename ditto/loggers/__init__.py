"""Mirrors of a run for people who watch many: the run directory stays the truth, tables are built from it."""

from ditto.loggers.base import Logger, NoLogger
from ditto.loggers.mirror import WandbMirror

__all__ = ["Logger", "NoLogger", "WandbMirror"]
