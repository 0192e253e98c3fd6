"""Long clips by overlapping windows: MultiDiffusion's long-form generation (Bar-Tal et al. 2023, arXiv 2302.08113).

`python -m ditto.run method=windows frames=2048` makes a clip longer than the model's own: in every step, all windows
are denoised in one batch, with the prompt of their clip, and averaged frame by frame (windowed.py has the equation and
says how averaging ε relates to averaging x_{t−1}). As text_only, it ignores the control, whatever the task; a clip of
one window is exactly text_only's.

overlap 0.5: each frame lies in two windows, for twice the work of none. The panoramas of the paper move by 1/8 of a
window (0.875). taper: the paper's weights are equal (false); falling ones leave no edge where a window begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from baselines.windowed import Windowed
from ditto.method import Request, generate
from ditto.types import Generation, UserError


@dataclass(frozen=True)
class Windows:
    """window_frames: columns of x_T in one window, the model's own length if None.

    overlap: of two neighbours, in [0, 1) of a window.

    The whole batch of windows is one network call, so memory grows with clips x windows.
    """

    window_frames: int | None = None
    overlap: float = 0.5
    taper: bool = True

    def __post_init__(self) -> None:
        if self.window_frames is not None and self.window_frames < 1:
            raise UserError(f"window_frames={self.window_frames}: give 1 or more, or null for the model's own length")
        if not 0 <= self.overlap < 1:
            raise UserError(f"overlap={self.overlap}: give a part of a window, 0 to less than 1 (0.5 is the default)")

    def __call__(self, request: Request) -> Generation:
        window = self.window_frames or request.model.clip.latent_frames
        hop = max(1, round(window * (1 - self.overlap)))
        return generate(replace(request, model=Windowed(request.model, window, hop, self.taper)))
