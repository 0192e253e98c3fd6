"""Small faults in the mels a vocoder is trained on, so that it does not lean on details that a denoiser cannot make.

Shapes: B clips, F mel bins, T frames.
"""

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn


class RoughMel(nn.Module):
    """mel_BFT -> mel_BFT: in a share `odds` of the clips, part of a 3 x 3 blur and some noise on the log amplitudes.

    `blur` is the largest share of the blurred mel, `noise` the largest standard deviation (natural log of amplitude);
    each clip draws its own between 0 and these. No gain by band: the wave that is wanted would not have it, so nothing
    could be learned from it but to distrust levels.
    """

    def __init__(self, odds: float = 0.3, blur: float = 0.5, noise: float = 0.1) -> None:
        super().__init__()
        self.odds, self.blur, self.noise = odds, blur, noise

    def forward(self, mel_BFT: Tensor) -> Tensor:
        draw = torch.rand(3, len(mel_BFT), 1, 1, device=mel_BFT.device)
        chosen = draw[0] < self.odds
        padded = nnf.pad(mel_BFT[:, None], (1, 1, 1, 1), mode="replicate")
        blurred = nnf.avg_pool2d(padded, 3, stride=1)[:, 0]
        rough = mel_BFT.lerp(blurred, self.blur * draw[1]) + self.noise * draw[2] * torch.randn_like(mel_BFT)
        return torch.where(chosen, rough, mel_BFT)
