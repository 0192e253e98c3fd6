"""Let Hydra make our launcher and sweepers from a config's `_target_`, as it does with those of its plugins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from unittest.mock import patch

from hydra.core.plugins import Plugins

DEFAULT = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # of a command that names no sweeper


@contextmanager
def known_to_hydra() -> Iterator[None]:
    """For the time of a command. Hydra makes what its plugins registered, but takes only the package hydra_plugins for
    one; a folder of that name beside ours would have to be installed as a second package."""
    plugins = Plugins.instance()  # loads Hydra's own plugins anew: ours are derived from them, so import ours after it
    from ditto.sweeping.grid import Grid
    from ditto.sweeping.launcher import Sweep

    for ours in (Sweep, Grid):
        plugins.register(ours)
    if find_spec("hydra_plugins.hydra_optuna_sweeper"):  # of the extra `search`
        from ditto.sweeping.search import Search

        plugins.register(Search)
    stock = Plugins.is_in_toplevel_plugins_module

    def ours_too(name: str) -> bool:
        return stock(name) or name.startswith("ditto.sweeping.")

    with (
        patch.object(Plugins, "is_in_toplevel_plugins_module", staticmethod(ours_too)),
        # Not by an override in conf/run.yaml: it would win over that of an experiment, and sweeps/search has its own.
        patch.dict(plugins.class_name_to_class, {DEFAULT: Grid}),
    ):
        yield
