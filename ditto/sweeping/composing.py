"""Compose the jobs of a sweep: those that differ in plain values alone (seed=1, sampler.steps=50) share the rest.

Composing is what a sweep costs most beside its jobs. Choices of groups (task=melody, +experiment=…) decide which files
are read and merged; values are put in last, whatever the files. So each combination of choices is composed once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class Composer:
    """Call it with the overrides of a job; the result is that of Hydra's `load_sweep_config`, a copy of its own.

    Only hydra.job.override_dirname, which names folders that we do not make, lacks the values.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader, self.master = loader, master
        self.parser = OverridesParser.create(config_loader=loader)
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        self.groups: dict[str, bool] = {}

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        parsed = self.parser.parse_overrides(list(overrides))
        values = [one for one in parsed if self._is_value(one)]
        others = [str(one.input_line) for one in parsed if not self._is_value(one)]
        # What is added or taken away by force may meet a value: then the order counts, and it is Hydra's to keep.
        ordered = any(one.is_force_add() or one.is_delete() for one in parsed)
        try:
            if not ordered:
                return self._with_values(others, values, overrides)
        except OmegaConfBaseException:
            pass  # a value that does not fit: Hydra says it in its own words
        return self.loader.load_sweep_config(self.master, list(overrides))

    def _with_values(self, others: list[str], values: list[Override], overrides: Sequence[str]) -> DictConfig:
        key = tuple(others)
        if key not in self.composed:
            self.composed[key] = self.loader.load_sweep_config(self.master, others)
        config = copy.deepcopy(self.composed[key])
        for one in values:
            OmegaConf.update(config, one.key_or_group, one.value(), merge=True)
        config.hydra.overrides.task = list(overrides)
        return config

    def _is_value(self, one: Override) -> bool:
        """Does it set an option that is there, and choose no file?"""
        plain = one.type == OverrideType.CHANGE and not one.is_hydra_override() and one.package is None
        return plain and not self._is_group(one.key_or_group)

    def _is_group(self, key: str) -> bool:
        if key not in self.groups:  # to look it up takes as long as to compose a job
            self.groups[key] = bool(self.loader.get_group_options(key.replace(".", "/")))
        return self.groups[key]
