"""What is kept of a sampling chain for its backward pass. The policies differ in memory and time, never in a gradient.

Store      keeps every activation of every step: one network call per step.
Checkpoint keeps the latents only and runs each step again during backward (Chen et al. 2016, "Training deep nets with
           sublinear memory cost"): two network calls per step. This is the policy of the paper.
Auto       keeps as much as fits its budget, of the last steps, and of the others the latents only.
Host       Checkpoint with the latents in the memory of the CPU: what a GPU holds does not grow with T.
Revolve    keeps a fixed number of latents, and samples the others again: no device's memory grows with T.

Each is called as `memory.run(step, *tensors, i=i, steps=T)`; `step` must be pure: its randomness comes from seeds.
"""

from ditto.memory.auto import Auto
from ditto.memory.meters import GIB, Calls, SavedBytes, count_calls, saved_bytes
from ditto.memory.policies import Checkpoint, Host, Memory, Store
from ditto.memory.revolve import Revolve

__all__ = [
    "GIB",
    "Auto",
    "Calls",
    "Checkpoint",
    "Host",
    "Memory",
    "Revolve",
    "SavedBytes",
    "Store",
    "count_calls",
    "saved_bytes",
]
