"""A plot as SVG that stands in a page: colours and fonts come from the page's style, so that it follows dark and light.

Series take the classes `s0`, `s1`, …; text is escaped; nothing is loaded from anywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from services.evaluation.report.text import number
from services.evaluation.result import Plot, Series, Unit

WIDTH, HEIGHT = 640.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 16.0, 56.0
TICKS = 5
COLOURS = 8
"""Series beyond so many take the colours from the first again."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to places, `low` to `high` over `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where a value stands."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round values inside, `TICKS` or so."""
        step = nice_step((self.high - self.low) / TICKS)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice_step(rough: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))


def draw(plot: Plot) -> str:
    """The plot, `WIDTH` by `HEIGHT`, scaling with its place; its legend is the page's affair.

    The first series is drawn last, above the others.
    """
    x, y = _axes(plot)
    paint = _line if plot.kind == "line" else _points
    body = [_grid(x, y, plot)]
    body += [paint(series, index % COLOURS, x, y) for index, series in reversed(list(enumerate(plot.series)))]
    label = escape(f"{plot.title}: {plot.y_label} against {plot.x_label}", quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{label}" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join(body)}</svg>"
    )


def _axes(plot: Plot) -> tuple[Axis, Axis]:
    across = [value for series in plot.series for value in series.x]
    up = [value for series in plot.series for value in (*series.y, *series.low, *series.high)]
    from_zero = plot.kind == "points"
    x_low, x_high = _range(across, from_zero=from_zero, unit=plot.x_unit)
    y_low, y_high = _range(up, from_zero=from_zero, unit=plot.y_unit)
    return Axis(x_low, x_high, LEFT, WIDTH - RIGHT), Axis(y_low, y_high, HEIGHT - BOTTOM, TOP)


def _range(values: Sequence[float], *, from_zero: bool, unit: Unit) -> tuple[float, float]:
    """What an axis spans: the values with a little room, a share never outside of 0 and 1."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if from_zero:
        low = min(0.0, low)
    room = (high - low or abs(high) or 1.0) * 0.06
    low, high = (low if from_zero and low == 0 else low - room), high + room * (2 if from_zero else 1)
    return (max(0.0, low), min(1.0, high)) if unit == "share" and high - room <= 1.0 else (low, high)


def _grid(x: Axis, y: Axis, plot: Plot) -> str:
    parts = []
    for value in y.ticks:
        at = y.place(value)
        parts.append(f'<line class="grid" x1="{x.start:.1f}" x2="{x.end:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(x.start - 8, at + 4, _tick(value, plot.y_unit, y), "tick", "end"))
    for value in x.ticks:
        at = x.place(value)
        parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{y.start:.1f}" y2="{y.start + 5:.1f}"/>')
        parts.append(_text(at, y.start + 20, _tick(value, plot.x_unit, x), "tick", "middle"))
    parts.append(f'<line class="axis" x1="{x.start:.1f}" x2="{x.end:.1f}" y1="{y.start:.1f}" y2="{y.start:.1f}"/>')
    parts.append(_text((x.start + x.end) / 2, HEIGHT - 10, plot.x_label, "label", "middle"))
    middle = (y.start + y.end) / 2
    parts.append(
        f'<text class="label" text-anchor="middle" transform="translate(14 {middle:.1f}) rotate(-90)">'
        f"{escape(plot.y_label)}</text>"
    )
    return "".join(parts)


def _tick(value: float, unit: Unit, axis: Axis) -> str:
    digits = max(0, -math.floor(math.log10((axis.high - axis.low) / TICKS) + 1e-9))
    if unit == "share":
        return f"{value:.{max(1, digits)}f}"
    if unit in ("tokens", "count", "ms"):
        return f"{value:,.{min(digits, 1)}f}"
    return "$0" if unit == "usd" and value == 0 else f"{'$' if unit == 'usd' else ''}{value:.{digits}f}"


def _line(series: Series, index: int, x: Axis, y: Axis) -> str:
    points = [(x.place(a), y.place(b)) for a, b in zip(series.x, series.y, strict=True)]
    parts = []
    if series.low and series.high:
        upper = [(x.place(a), y.place(b)) for a, b in zip(series.x, series.high, strict=True)]
        lower = [(x.place(a), y.place(b)) for a, b in zip(series.x, series.low, strict=True)]
        parts.append(f'<polygon class="band s{index}" points="{_path([*upper, *reversed(lower)])}"/>')
    parts.append(f'<polyline class="curve s{index}" points="{_path(points)}"/>')
    if len(points) <= 12:
        parts += [f'<circle class="dot s{index}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>' for a, b in points]
    return f"<g><title>{escape(series.name)}</title>{''.join(parts)}</g>"


def _points(series: Series, index: int, x: Axis, y: Axis) -> str:
    parts = []
    for at, (value, height) in enumerate(zip(series.x, series.y, strict=True)):
        across, up = x.place(value), y.place(height)
        if series.low and series.high:
            low, high = y.place(series.low[at]), y.place(series.high[at])
            parts.append(
                f'<line class="whisker s{index}" x1="{across:.1f}" x2="{across:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            )
        parts.append(f'<circle class="dot s{index}" cx="{across:.1f}" cy="{up:.1f}" r="6"/>')
        # the first name below its whisker, the others above theirs: arms of the same quality stay readable
        bottom, top = (y.place(series.low[at]), y.place(series.high[at])) if series.low and series.high else (up, up)
        beside = max(bottom, up + 6) + 16 if index == 0 else min(top, up - 6) - 8
        share = (across - x.start) / (x.end - x.start)
        anchor = "start" if share < 0.25 else "end" if share > 0.75 else "middle"
        parts.append(_text(across, beside, series.name, f"name s{index}", anchor))
    title = ", ".join(number(height, "share") for height in series.y)
    return f"<g><title>{escape(f'{series.name}: {title}')}</title>{''.join(parts)}</g>"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in points)


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
