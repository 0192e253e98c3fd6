"""What the models cost, counted or measured: `python -m eval.models` writes <results>/models.csv and docs/models.md.

Random weights of the true size stand for published ones: cost does not depend on their values. One row a figure:

clip_seconds, sample_rate, frame_rate, latent_rate   of one clip; s, Hz, analysis frames per s, columns of x_0 per s
latent_channels, latent_bins, latent_columns         shape of x_T
parameters_<part>    of each part of the model; a text encoder that random weights leave out is not there
gflop_call           one call of the network with CFG (a batch of 2), forward
gflop_call_backward  the same as a checkpointed step of the chain: forward, forward again, gradient of x_t
gflop_wave           x_0 to sound, forward; gflop_wave_backward with the gradient of x_0
gflop_step           one optimisation step of DITTO under memory=checkpoint: T of gflop_call_backward (T sampler_steps,
                     CFG in each), and gflop_wave_backward; features and losses are not counted
saved_call_gib, saved_wave_gib   what one call of the network, or x_0 to sound, holds for its backward pass
peak_call_gib, peak_wave_gib     the most that is there at once while its gradient is taken, beside weights and input;
                     workspaces inside an operation are not seen
latents_gib          the T + 1 latents that a checkpointed chain holds
weights_gib          all parameters and buffers in the precision they are used in
seconds_call, seconds_call_backward, seconds_wave, seconds_wave_backward   the same pieces, timed
seconds_step, peak_gib   of a step of `method=ditto`, memory=checkpoint; peak without the weights. Counted:
                     latents_gib and the larger of peak_call_gib and peak_wave_gib

GFLOP: 10^9 operations, a multiplication and an addition are two; products of matrices, convolutions and attention are
counted, nothing else (torch.utils.flop_counter). GiB: 2^30 bytes. `how` says whether a figure was counted (on shapes
alone, PyTorch's meta device; memory with attention as a fused kernel holds it) or measured (median of n, `low` and
`high` the quartiles).
`recompute` is the model's option: blocks that keep only their inputs (ditto/models/recompute.py).
"""
