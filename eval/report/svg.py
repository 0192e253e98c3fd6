"""Small inline SVGs: target against achieved, and loss against steps. Colours and text sizes are style.css's."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape

from eval.report.drawing import Drawing, Picture
from eval.report.scale import FOOT, HEIGHT, MARGIN, SQUARE, WIDE, WIDTH, Scale, span, ticks

POINTS = 128  # of a curve


@dataclass
class Svg:
    """Parts are appended in their order; `done` closes the picture."""

    label: str
    width: float = WIDTH
    height: float = HEIGHT
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, role: str) -> None:
        self.parts.append(f'<text x="{x:.4g}" y="{y:.4g}" class="{role}">{escape(words)}</text>')

    def done(self) -> Markup:
        box = f"0 0 {self.width:g} {self.height:g}"
        return Markup(f'<svg viewBox="{box}" role="img" aria-label="{escape(self.label)}">{"".join(self.parts)}</svg>')


def limits(drawings: Sequence[Drawing]) -> tuple[float, float]:
    """One y axis for several drawings of a control: all targets, and all but the outermost hundredths of the rest."""
    for one in drawings:
        if one.pictures:
            return one.pictures[0].extent[2:]
    lines = [line for one in drawings for line in one.lines]
    values = np.concatenate([line.y[np.isfinite(line.y)] for line in lines] or [np.zeros(1)])
    inner = np.quantile(values, [0.01, 0.99]) if values.size else np.zeros(2)
    low, high = span([inner, *(line.y for line in lines if line.asked)])
    pad = 0.08 * (high - low) or 0.5
    return low - pad, high + pad


def plot(one: Drawing, y: tuple[float, float], label: str) -> Markup:
    """A drawing on a given y axis."""
    x = one.pictures[0].extent[:2] if one.pictures else span(line.x for line in one.lines)
    svg = Svg(label, height=SQUARE if one.square else HEIGHT)
    side = svg.height - FOOT
    scale = Scale(x, y, left=(WIDTH - side) / 2, width=side, height=side) if one.square else Scale(x, y)
    for start, end in one.spans:
        svg.parts.append(_box(scale, start, end, "span"))
    svg.parts += [_image(picture, scale) for picture in one.pictures]
    marks = one.y_ticks[:: math.ceil(len(one.y_ticks) / 6)] if one.y_ticks else ticks(*y)
    if not one.square:
        _y_axis(svg, scale, marks, rules=not one.pictures)
    for line in one.lines:
        role = "held" if line.steps else "asked" if line.asked else "made"
        svg.parts.append(_path(line.x, line.y, scale, role, line.steps))
    for x_share, y_share, words in one.words:
        role = "end" if x_share > 0.5 else "start"
        svg.text(scale.left + x_share * scale.width, 3 + 0.98 * scale.height * (1 - y_share), words, f"words {role}")
    _x_axis(svg, scale, "s" if "time" in one.x_label else "")
    return svg.done()


def loss_plot(curves: Iterable[tuple[str, Sequence[float]]], label: str) -> Markup:
    """(class of the line, loss at each step), on a logarithmic axis."""
    lines = [(role, np.arange(len(losses), dtype=float), _positive(losses)) for role, losses in curves]
    low, high = span(np.log10(y) for _, _, y in lines)
    steps = max(1, *(len(x) - 1 for _, x, _ in lines))
    size = (MARGIN, WIDE[0] - MARGIN, WIDE[1] - FOOT)
    scale = Scale((0, steps), (low - 0.05, high + 0.05), True, *size)
    svg = Svg(label, *WIDE)
    _y_axis(svg, scale, _log_ticks(*scale.y), rules=True)
    svg.parts += [_path(x, y, scale, f"loss {role}", False) for role, x, y in lines]
    _x_axis(svg, scale, "steps", most=6)
    return svg.done()


def _y_axis(svg: Svg, scale: Scale, marks: Iterable[tuple[float, str]], rules: bool) -> None:
    for at, words in marks:
        y = scale.up(at)
        if 0 <= y <= scale.height:
            if rules:
                svg.parts.append(f'<path d="M{scale.left:g} {y:.1f}h{scale.width:g}" class="rule"/>')
            svg.text(1, y + 3 if scale.left else max(y - 2, 8), words, "y")


def _x_axis(svg: Svg, scale: Scale, unit: str, most: int = 4) -> None:
    for at, words in ticks(*scale.x, most)[1:]:
        said = f"{words} {unit}".strip()
        edge = scale.left + scale.width - 2.4 * len(said)
        svg.text(min(scale.across(at), edge), svg.height - 2.5, said, "x")


def _path(x: np.ndarray, y: np.ndarray, scale: Scale, role: str, steps: bool) -> str:
    """A curve; where it holds from point to point, only its horizontal pieces."""
    if steps:
        return f'<path class="{role}" d="{_pieces(x, y, scale)}"/>'
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int))
    words, pen = [], "M"
    for a, b in zip(x[kept], y[kept], strict=True):
        if math.isfinite(a) and math.isfinite(b):
            words.append(f"{pen}{scale.across(a):.1f} {min(max(scale.up(b), -9), 199):.1f}")
            pen = "L"
        else:
            pen = "M"
    if len(words) == 1:
        words.append("h3")  # a single value is a dash
    return f'<path class="{role}" d="{"".join(words)}"/>'


def _pieces(x: np.ndarray, y: np.ndarray, scale: Scale) -> str:
    """Runs of equal y, each as a horizontal stroke."""
    starts = np.flatnonzero(np.r_[True, ~(y[1:] == y[:-1])])
    step = float(np.median(np.diff(x))) if len(x) > 1 else 0.0
    words = []
    for a, b in zip(starts, [*starts[1:], len(y)], strict=True):
        if math.isfinite(y[a]):
            words.append(
                f"M{scale.across(x[a]):.1f} {scale.up(y[a]):.1f}H{min(scale.across(x[b - 1] + step), WIDTH):.1f}"
            )
    return "".join(words)


def _image(picture: Picture, scale: Scale) -> str:
    left, right, bottom, top = picture.extent
    x, y = scale.across(left), scale.up(top)
    place = f'x="{x:.4g}" y="{y:.4g}" width="{scale.across(right) - x:.4g}" height="{scale.up(bottom) - y:.4g}"'
    data = b64encode(picture.png).decode()
    return f'<image {place} class="picture" preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'


def _box(scale: Scale, start: float, end: float, role: str) -> str:
    x = scale.across(start)
    return f'<rect x="{x:.1f}" y="0" width="{scale.across(end) - x:.1f}" height="{scale.height:g}" class="{role}"/>'


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Powers of ten between two logarithms; 1, 2 and 5 times them where there are fewer than two."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2 else (1,)
    values = [m * 10.0**d for d in decades for m in steps if low <= math.log10(m * 10.0**d) <= high]
    return [(value, f"{value:g}") for value in values[:: math.ceil(len(values) / 6) or 1]]


def _positive(values: Sequence[float]) -> np.ndarray:
    """Losses for a logarithm: what is not above zero (or no number) is a gap."""
    array = np.asarray(values, dtype=float)
    return np.where(array > 0, array, np.nan)
