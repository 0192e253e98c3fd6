"""The sizes of sweeps/size, as far as tables have to know them."""

from __future__ import annotations

from omegaconf import OmegaConf

from ditto.types import UserError
from eval.asked import CONF

FOLDER = CONF.parent / "sweeps" / "size"


def clips_of(size: str) -> int:
    """How many clips the runs of a size have; UserError for one that is not there."""
    file = FOLDER / f"{size}.yaml"
    if not file.exists():
        raise UserError(
            f"there is no size={size}: choose {', '.join(sorted(path.stem for path in FOLDER.glob('*.yaml')))}"
        )
    return int(OmegaConf.load(file).prompts_n)
