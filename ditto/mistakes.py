"""Mistakes in a command, as one line: what Hydra, OmegaConf and the file system raise, in words for the user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ditto.errors import UserError


@contextmanager
def raised_by_hydra() -> Iterator[None]:
    """Hydra lets errors through inside, instead of printing them in its own way and leaving the process."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        os.environ.pop("HYDRA_FULL_ERROR") if before is None else os.environ.update(HYDRA_FULL_ERROR=before)


def one_line(error: Exception, module: str) -> str | None:
    """What to tell the user of `python -m <module>`; None for errors that are ours."""
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"there is no {group}={name}: choose one of {', '.join(sorted(error.options))}"
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = f" ({error.__cause__})" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        text = " ".join(f"{error}{cause}".split())
        return f"{text}. See python -m {module} --help"
    if isinstance(error, UserError):
        return str(error)
    return f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else None
