"""How the network's output F becomes x_0_hat: x_0_hat = c_skip x_t + c_out F (after Karras et al., 2022, EDM, table 1).

A patched network must learn to pass every detail through its narrow first layer. Close to clean data x_t holds the
details already, so there it is let through; at high noise c_skip vanishes and F is a plain prediction of x_0:

    c_skip = sqrt(abar) s^2 / (abar s^2 + 1 - abar),   c_out^2 = Var(x_0 - c_skip x_t) for data of unit variance,

with s the scale below which noise is treated as small. s = 0 is x_0-prediction (c_skip = 0, c_out = 1), s = 1 is
v-prediction (Salimans & Ho, 2022), up to the sign of F.
"""

from torch import Tensor


def precondition(alpha_bar: Tensor, s: float) -> tuple[Tensor, Tensor]:
    """abar of any shape -> c_skip and c_out of that shape."""
    signal, noise_variance = alpha_bar.sqrt(), 1 - alpha_bar
    c_skip = signal * s**2 / (alpha_bar * s**2 + noise_variance).clamp(min=1e-12)
    c_out = ((1 - c_skip * signal).square() + c_skip.square() * noise_variance).sqrt()
    return c_skip, c_out
