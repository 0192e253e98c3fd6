"""Optuna's sweeper with one study for every task and every other value given as a list: `hydra/sweeper=search`.

A study is kept nowhere but in the run directories. Its sampler has a fixed seed and a trial that is done costs nothing,
so the same command repeats the trials that are there, number by number, and goes on where it was cut off; two launchers
of one search share its trials. (A ladder of values is tried whole, in any order.) What is searched stands in
hydra.sweeper.params; a list on the command line (task=a,b) is no dimension of it, but asks for a study of each.
"""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Transformer
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from omegaconf import DictConfig, OmegaConf, open_dict

from ditto.outcome import Outcome, remember
from ditto.sweeping.launcher import Sweep
from ditto.sweeping.plan import FOLDER, sweep_name


class Search(OptunaSweeper):
    """The options of hydra-optuna-sweeper; a trial without a score is one that failed, and never ends a study."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.folder = Path(str(config.runs_dir)) / FOLDER / sweep_name(config)
        config = copy.deepcopy(config)
        with open_dict(config):
            config.hydra.sweep.dir = str(self.folder)  # where the sweeper leaves its best
        self.launched_with: dict[str, Any] = {"hydra_context": hydra_context, "task_function": task_function}
        self.launched_with["config"] = config

    def sweep(self, arguments: list[str]) -> None:
        """Run the studies one after the other; where no trial has a score the summary says so, with exit code 2."""
        for fixed in studies(arguments):
            if not self._study(fixed):
                remember(Outcome("", self.folder, "error", f"no trial of {' '.join(fixed)} has a score"))

    def _study(self, arguments: list[str]) -> bool:
        """One study; has any of its trials a score?"""
        # Every study has a sampler of its own, at its seed: what it tries does not depend on the studies before it.
        super().__init__(**copy.deepcopy(self.options))
        super().setup(**self.launched_with)
        assert self.sweeper.launcher is not None
        self.sweeper.launcher = Sweep.around(self.sweeper.launcher)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger(type(self.sweeper).__module__).setLevel(logging.ERROR)  # our jobs say themselves why
        try:
            super().sweep(arguments)
        except ValueError as error:
            if "No trials are completed yet" not in str(error):  # of study.best_trial
                raise
            return False
        best = OmegaConf.load(self.folder / "optimization_results.yaml")
        chosen = " ".join(f"{name}={value}" for name, value in best.best_params.items())
        print(f"best of {' '.join(arguments)}: {chosen}, score {best.best_value:.4g}", flush=True)
        return True


def studies(arguments: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of each study: every combination of the lists of values among the arguments."""
    return (list(chosen) for chosen in itertools.product(*map(_values, arguments)))


def _values(argument: str) -> list[str]:
    """One override for each value of a list of choices; intervals and ranges stay what they are: dimensions."""
    override = OverridesParser.create().parse_override(argument)
    if not override.is_choice_sweep():
        return [argument]
    key = argument.partition("=")[0]
    return [f"{key}={value}" for value in override.sweep_iterator(transformer=Transformer.encode)]
