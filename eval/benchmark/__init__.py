"""How fast an optimisation step is, what bounds it, and what each lever gives: `python -m eval.benchmark`.

All variants are measured in one run, in rounds A B C A B C, so that a machine that becomes slower does so for all. The
plain reference (`eval.benchmark.plain`) is one of them. Conventions of the table:

seconds_per_step       an optimisation step, forward and backward, for the whole batch; s
seconds_per_clip_step  the same divided by the clips of the batch; s
clips_per_hour         at K optimisation steps of the task (70), the last sampling left out (less than 1 % of it); 1/h
speedup                seconds_per_clip_step of the reference over this one's
calls_forward          calls of the network until the loss is known; a batched call of CFG is one
calls_recomputed       calls of the network during the backward pass
seconds_forward, seconds_forward_grad, seconds_backward
                       one network call without and with gradients recorded, and its input gradient; in a tight loop
                       over tensors that the step itself gave to the network; s
seconds_wave, seconds_wave_backward
                       latents to sound (decoder and vocoder), and the gradient of it; s
seconds_bare           the calls that the step must make, at these prices: recomputed calls · (the cheaper forward) +
                       forward calls · (forward_grad + backward) + sounds · (wave + wave_backward); s
overhead               seconds_per_step / seconds_bare: what the loop around the network costs
gflop_per_step         operations of those calls (torch.utils.flop_counter: products, convolutions, attention)
gflops                 gflop_per_step / seconds_per_step; 10⁹ operations a second
matmul_share           gflops over what one large matrix product reaches here in the network's dtype, in the same rounds
peak_gib               allocated tensors at most, without the model's weights, over one step; GiB of 2^30 bytes
saved_gib              what autograd holds when the loss is known (`ditto.memory.saved_bytes`); GiB
gain_alone             of a lever: no lever over this lever alone, in seconds_per_clip_step
gain_together          all levers but this one over all levers; of a lever that is not among all: all over all and this

Times, gains and ratios are medians over rounds with their quartiles, n the rounds; ratios are formed in each round, so
that they compare neighbours in time. `rounds` has the value of each round. The first pass of a variant is not timed.
"""
