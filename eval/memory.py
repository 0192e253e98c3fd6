"""Memory of DITTO under the memory policies, against T: `python -m eval.memory`. Options: conf/memory_policies.yaml.

results/memory.csv           measured: `eval.efficiency` without its timed rounds, figures peak_gib, mean_gib, saved_gib
                             and calls_per_step of one optimisation step for each policy and T (`measure=false`: not)
results/memory_policies.csv  counted on shapes alone, for networks and clips of any size (`eval.policies`): what every
                             policy needs at T = 20 and 50 (`counted=null`: not)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from ditto.command import command
from eval.efficiency.__main__ import measure
from eval.efficiency.cases import cases
from eval.efficiency.table import write
from eval.policies import policies, policy_rows

COUNTED = "memory_policies.csv"


@command("memory_policies", interrupted="the rows so far are kept")
def main(cfg: DictConfig) -> None:
    if cfg.counted:
        frame = count(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
        print(f"{len(frame)} rows, written to {cfg.results}/{COUNTED}")
    if cfg.measure:
        measure(cfg)


def count(options: Mapping[str, Any]) -> pd.DataFrame:
    """Every model and length of `counted`, each with all policies; the file is kept after each."""
    chosen, rows = policies(options["latents"], options["budget_gib"]), list[Mapping[str, Any]]()
    frame = pd.DataFrame()
    for name, one in tqdm(options["counted"].items(), unit="case", disable=not options["progress"]):
        asked = {
            "model_name": one["model"],
            "policies": {"checkpoint": ["memory=checkpoint"]},
            "sampler_steps": [20],
            "methods": ["ditto"],
            "precision": options["counted_precision"],
            "overrides": [*options["overrides"], "sampler.guidance_interval=[0,1]", *one.get("options", [])],
            "device": "cpu",
        }
        (case,) = cases({**options, **asked})
        rows += policy_rows(case, name, chosen)
        frame = pd.DataFrame(rows)
        write(frame, Path(options["results"]) / COUNTED)
    return frame


if __name__ == "__main__":
    main()
