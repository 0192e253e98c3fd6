"""What a fresh process does until there is a clip: `python -m eval.startup.stages`, called by `eval.startup.measure`.

stdin   JSON: model and sampler (configs), prompt, began (the clock of the caller when it started this process)
stdout  JSON: stages, each -> [seconds since `began`, processor seconds of this process so far] at its end; about, what
        it was made with

import  the modules of PyTorch, the model and the sampler
load    the model is ready: weights read, cast, its text encoder and vocoder with it
encode  the first prompt is encoded
sample  x_0 is sampled
sound   it is a wave
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

STAGES = ("import", "load", "encode", "sample", "sound")


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Do it, and say when each stage ended."""
    ended = {}

    def end(stage: str) -> None:
        ended[stage] = (time.monotonic() - asked["began"], time.process_time())

    import torch  # from here on, what is imported is what is measured
    from hydra.utils import get_method

    from ditto import allocator
    from ditto.build import build
    from ditto.noise import noise

    allocator.keep_buffers()
    for config in (asked["model"], asked["sampler"]):
        get_method(config["_target_"])
    end("import")
    model, sampler = build(asked["model"], "model"), build(asked["sampler"], "sampler")
    end("load")
    condition, null = model.encode([asked["prompt"]]), model.encode([""])
    end("encode")
    with torch.no_grad():
        x_0 = sampler(model, noise([0], model.shape).to(model.device), condition, null=null, seeds=[0])
        end("sample")
        model.wave(x_0)
        end("sound")
    from ditto.environment import environment

    return {"stages": ended, "about": environment(model)}


if __name__ == "__main__":
    print(json.dumps(run(json.load(sys.stdin))))
