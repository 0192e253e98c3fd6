"""`${run_of:'+experiment=… task=…'}` in a configuration: the directory of the run that this command makes.

A run that begins with what another one left (x_T* of a DITTO run, sweeps/noise) names it by its command instead of by
an id that somebody has to copy. The id is worked out, so the other run need not be there when a sweep is planned.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

NAME = "run_of"


def register() -> None:
    """Tell OmegaConf of the resolver; again is no harm."""
    OmegaConf.register_new_resolver(NAME, _resolve, replace=True)


def _resolve(command: str, *, _root_: DictConfig) -> str:
    return str(Path(str(_root_.runs_dir)) / run_id_of(tuple(shlex.split(command))))


@cache
def run_id_of(overrides: tuple[str, ...]) -> str:
    """The id of the run of `python -m ditto.run <overrides>`."""
    from ditto.identity import prepare
    from ditto.run import CONF, SEARCH

    with _another_hydra(), initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("run", [*overrides, SEARCH], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        asked = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        return prepare(asked, device="cpu").run.id


@contextmanager
def _another_hydra() -> Iterator[None]:
    """Compose inside a job of Hydra's, which then goes on as before."""
    running, settings = GlobalHydra.instance(), HydraConfig.instance()
    hydra, config = running.hydra, settings.cfg
    running.clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = hydra  # Hydra has put another instance in its place
        settings.cfg = config
