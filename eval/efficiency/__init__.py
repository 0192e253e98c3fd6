"""What a method costs: time, network calls and memory of one optimisation step (DITTO, arXiv 2401.12179v2, table 5).

`python -m eval.efficiency` runs the methods, in rounds A B C A B C, and writes one row a figure. Conventions:

seconds_per_step      an optimisation step, forward and backward, for the whole batch (MOS); s
seconds_per_clip      of a method that does not optimise: prompt, sampling and vocoder; s
seconds_outside       of a method that optimises: all but its steps, that is prompt, last sampling and vocoder; s
calls_per_step        calls of the network, those of recomputation included; a batched call of CFG is one
evaluations_per_step  the same, with every clip and condition of a batched call counted; per clip
peak_gib, mean_gib    allocated tensors without the model's weights: the most at any time, and the mean over the moments
                      at which a network call ends (MAM); GiB of 2^30 bytes
latent_gib            x_t of the batch: what is kept of a sampling step that is checkpointed; GiB
saved_gib             what autograd holds for the backward pass when the loss is known (`ditto.memory.saved_bytes`); GiB
steps_to_threshold    from finished runs: the first k with a loss of at most τ after k steps, mean over the clips that
                      reach it (MS2C); `never_reached` counts the others, `failed` the clips without a usable result
seconds_to_threshold  steps_to_threshold x seconds_per_step, which is the latency of the paper's table 11; s
seconds_full, calls_full   all K steps of the task, and what is outside of them

Times are medians over rounds, `low` and `high` their quartiles, n the rounds; the first call of each method is not
timed (memory and calls are measured in it). Of steps_to_threshold, `low` and `high` are quartiles over the n clips.
"""
