"""The benchmark at its smallest: the smoke size on the CPU, writing into no page."""

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.run import CONF
from eval.benchmark import command

CPU = torch.device("cpu")


def settings(*overrides):
    small = ["size=smoke", "device=cpu", "progress=false", "docs=null"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return command.sized(OmegaConf.to_container(compose("benchmark", [*small, *overrides]), resolve=True))
