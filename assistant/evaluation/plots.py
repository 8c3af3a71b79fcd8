"""Figures → PNG files for reports and the README. Draws what it is given and measures nothing.

White background and few lines, so that a picture reads on light and on dark pages. No pyplot: it keeps
every figure that was made in a global, and looks for a screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import EvaluationError
from assistant.evaluation.metrics import Share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from assistant.evaluation.bench import BenchResult

DOTS_PER_INCH = 160
OURS, PALE, THEIRS = "#1f6f8b", "#8fbfce", "#b9c2c9"  # pale where a line has to be seen on the bar
INK, FAINT = "#24292f", "#8b949e"
PANELS = (
    ("cold_s", "Program start to first word", "{:.2f} s"),
    ("ttft_s", "Question to first word", "{:.2f} s"),
    ("total_s", "Question to end of answer", "{:.2f} s"),
    ("peak_mib", "Peak memory", "{:,.0f} MiB"),
)


def bench_plot(result: BenchResult, path: Path) -> None:
    """Draw a panel for each measure: a bar a side with its median, and the ratio. Raises EvaluationError."""
    figure = _figure(7.5, 4.6)
    for n, (name, title, form) in enumerate(PANELS, 1):
        axes = figure.add_subplot(len(PANELS), 1, n)
        values = [getattr(side, name) for side in (result.assistant, result.baseline)]
        axes.barh([1, 0], values, height=0.72, color=[OURS, THEIRS])
        labels = [f"{form.format(values[0])}   (× {result.ratios[name]:.2f})", form.format(values[1])]
        for y, value, label in zip((1, 0), values, labels, strict=True):
            axes.annotate(label, (value, y), (5, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
        axes.set_title(title, loc="left", fontsize=10, color=INK, pad=4)
        axes.set_yticks([1, 0], [result.assistant.name, result.baseline.name])
        axes.set_xticks([])
        axes.set_xlim(0, max(values) * 1.3 or 1)
        _bare(axes, "left")
    counts = " and ".join(str(side.correct) for side in (result.assistant, result.baseline))
    figure.supxlabel(f"Medians of one run; right answers of {result.asked}: {counts}", fontsize=9, color=INK)
    _save(figure, path)


def kinds_plot(shares: Mapping[str, Share], path: Path) -> None:
    """Draw the share of right answers for each kind, with its 95% Wilson interval. Raises EvaluationError."""
    figure = _figure(7.5, 0.9 + 0.34 * max(len(shares), 1))
    axes = figure.add_subplot()
    rows = list(shares.items())[::-1]  # bars are stacked from below
    for y, (_, share) in enumerate(rows):
        low, high = share.interval
        axes.barh(y, share.value if share.total else 0, height=0.66, color=PALE)
        axes.plot([low, high], [y, y], color=INK, linewidth=1.2, solid_capstyle="butt")
        label = f"{share.hits} of {share.total}"
        axes.annotate(label, (high, y), (6, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
    axes.set_yticks(range(len(rows)), [kind.replace("_", " ") for kind, _ in rows])
    axes.set_xlim(0, 1.14)  # room for the count behind an interval that ends at 100%
    axes.set_xlabel("right, with 95% interval", fontsize=9, color=INK)
    _percent(axes, "x")
    _bare(axes, "left")
    _save(figure, path)


def risk_coverage_plot(points: Sequence[tuple[float, float]], path: Path) -> None:
    """Draw the share of wrong answers over the share of questions answered, both in [0, 1].

    `points` are (coverage, risk), one for each caution. Raises EvaluationError.
    """
    figure = _figure(6.0, 4.0)
    axes = figure.add_subplot()
    ordered = sorted(points)
    axes.plot([c for c, _ in ordered], [r for _, r in ordered], color=OURS, linewidth=2, marker="o", markersize=3.5)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, max([r for _, r in ordered], default=1) * 1.15 or 1)
    axes.set_xlabel("questions answered", fontsize=9, color=INK)
    axes.set_ylabel("of these, wrong", fontsize=9, color=INK)
    _percent(axes, "x")
    _percent(axes, "y")
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)
    _bare(axes, "left", "bottom")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure of that size in inches, drawn by Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    around = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)  # inches of white around, for dark pages
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white", layout=around)
    FigureCanvasAgg(figure)
    return figure


def _bare(axes: Axes, *kept: str) -> None:
    """Leave only the lines of `kept` sides around the plot, and no tick marks."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in kept)
        spine.set_color(FAINT)
    axes.tick_params(length=0, pad=5, labelsize=9, labelcolor=INK)


def _percent(axes: Any, which: str) -> None:
    from matplotlib.ticker import FixedLocator, PercentFormatter

    axis = getattr(axes, f"{which}axis")
    if which == "x":
        axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axis.set_major_formatter(PercentFormatter(1, decimals=0))


def _save(figure: Figure, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    except OSError as error:
        raise EvaluationError(f"cannot write {path}: {error.strerror}; pass another path") from error
