"""What is kept of a sampling chain for its backward pass. The policies differ in memory and time, never in a gradient.

Store      keeps every activation of every step: one network call per step.
Checkpoint keeps the latents only and runs each step again during backward (Chen et al. 2016, "Training deep nets with
           sublinear memory cost"): two network calls per step. This is the policy of the paper.
Auto       keeps as much as fits its budget, of the last steps, and of the others the latents only.
Host       Checkpoint with the latents in the memory of the CPU: what a GPU holds does not grow with T.
Revolve    keeps a fixed number of latents, and samples the others again: no device's memory grows with T.

Each is called as `memory.run(step, *tensors, i=i, steps=T)`; `step` must be pure: its randomness comes from seeds. Its
tensors are the first results of the step before (x_t; x_t and the last x̂_0; EDICT's pair).

What is held for the backward pass, one call of the network and the latents, grows from T = 20 to 50 by
(results/memory_policies.csv: bf16, one clip, CFG; counted by `python -m eval.memory`)

    model                  one call   a latent   store   checkpoint   host (GPU), revolve
    embedded, 6 s           20 MiB     0.31 MiB   143 %     35 %             0 %
    paper, 6 s             903 MiB     0.31 MiB   143 %      1.0 %           0 %
    paper, 24 s            3.5 GiB     1.25 MiB   143 %      1.0 %           0 %
    musicldm               289 MiB     0.13 MiB   143 %      1.3 %           0 %
    audioldm2_music        637 MiB     0.13 MiB   143 %      0.6 %           0 %
    stable_audio_open      3.0 GiB     0.25 MiB   143 %      0.2 %           0 %

(the paper's with fused attention, as on a GPU), so `checkpoint` is flat within 3 % but for small networks: the embedded
one, and those whose blocks run again too (`model.recompute=true`: 5 to 16 %). Revolve then costs 49 network calls
instead of 40 at T = 20, and 139 instead of 100 at T = 50, the others without a backward pass.

Tried and left out: PyTorch's selective checkpointing, which keeps what convolutions and matrix products give and runs
norms and activations again. It kept 16 of 27 MiB of an embedded call, and half of its recomputed operations were
saved; but its watching of 684 operations in Python took more: 0.19 s a call and its gradient, where Checkpoint took
0.18 and Store 0.13 (of one core's time, bf16). Auto forgets the first part of a step instead, which costs nothing; and
what a frozen convolution keeps in vain is not kept at all (ditto/models/frozen.py).
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
