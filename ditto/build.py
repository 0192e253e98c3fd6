"""From configuration to objects: device, model, and anything with a `_target_`, with errors a user can read."""

from __future__ import annotations

import json
import pydoc
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ditto.options import check_arguments
from ditto.types import UserError

if TYPE_CHECKING:
    from ditto.models.base import MusicModel


def pick_device(wanted: str) -> str:
    """The torch device for `auto` (a GPU that no other process of ours holds), `cpu`, `cuda` or `cuda:1`."""
    import torch

    if wanted == "auto":
        from ditto.sweeping.devices import take_gpu

        return take_gpu()
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device={wanted} is unknown: use auto, cpu, cuda or cuda:1")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UserError(f"device={wanted}, but {count} CUDA devices are here: use device=auto")
    return wanted


def build(config: Mapping[str, Any], what: str) -> Any:
    """Instantiate a config with a `_target_`; wrong options and the constructors' own UserErrors become one line."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    if not isinstance(config, Mapping) or "_target_" not in config:
        raise UserError(f"{what} has no _target_: choose one of its yaml files, or name the class that makes it")
    try:
        _check(config, what)
        return instantiate(dict(config), _convert_="all")
    except InstantiationException as error:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, UserError):
                raise cause from error
        if isinstance(causes[-1], TypeError | ValueError | ImportError | AttributeError):
            raise UserError(f"{what} cannot be made from its options: {causes[-1]}") from error
        raise


def _check(config: Mapping[str, Any], what: str) -> None:
    """Hold the options of every class in the configuration to its annotations."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            _check(value, f"{what}.{name}")
    if "_target_" in config:
        target = pydoc.locate(config["_target_"])  # None where it is unknown: instantiate says so
        check_arguments(target, {key: value for key, value in config.items() if not key.startswith("_")}, what)


def build_model(config: Mapping[str, Any], device: str, precision: str) -> MusicModel:
    """The model of `config` on `device`; kept between the jobs of a sweep."""
    if precision != "auto" and not config.keys() & {"precision", "dtype"}:
        raise UserError(f"this model has no choice of precision: leave out precision={precision}")
    return _cached_model(json.dumps(config, sort_keys=True), device)


@lru_cache(maxsize=1)
def _cached_model(config: str, device: str) -> MusicModel:
    return build(json.loads(config), "model").to(device)


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None:
        chain.append(current)
        current = current.__cause__
    return chain
