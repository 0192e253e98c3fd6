"""Memory of DITTO under the memory policies, against T: `python -m eval.memory` writes <results>/memory.csv.

The measurement of `eval.efficiency` without its timed rounds, with the options of conf/memory_policies.yaml: figures
peak_gib, mean_gib, saved_gib and calls_per_step of one optimisation step for each policy and T.
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from eval.asked import CONF
from eval.efficiency.__main__ import command_line


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="memory_policies")
def main(cfg: DictConfig) -> None:
    command_line(cfg)


if __name__ == "__main__":
    main()
