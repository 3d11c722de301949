"""Drawing the spectrum of a class: its largest eigenvalues and the gap that was chosen."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

_INK = "#80858f"  # mid grey: legible on a light and on a dark page
_DOT = "#2f81d6"
_GAP = "#e0a100"
_SHOWN = 16  # eigenvalues; the gap is among the first few
_DPI = 100


def spectrum(eigenvalues: Sequence[float], clusters: int, size: tuple[int, int]) -> Image.Image:
    """Plot the eigenvalues of a class's affinity graph.

    Args:
        eigenvalues: Largest first.
        clusters: Number of clusters that was chosen.
        size: Width and height, pixels.

    Returns:
        RGBA on nothing, so that it suits any background.
    """
    values = list(eigenvalues)[:_SHOWN]
    figure = Figure(
        figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI, layout="constrained", facecolor="none"
    )
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor="none")
    axes.plot(range(1, len(values) + 1), values, "-", color=_DOT, linewidth=1, alpha=0.4)
    axes.plot(range(1, len(values) + 1), values, "o", color=_DOT, markersize=4)
    if 0 < clusters < len(values):
        axes.axvspan(clusters, clusters + 1, color=_GAP, alpha=0.22, linewidth=0)
        axes.plot([clusters, clusters + 1], values[clusters - 1 : clusters + 1], color=_GAP, lw=2)
    noun = "cluster" if clusters == 1 else "clusters"
    axes.set_title(f"spectrum: cut after {clusters}, so {clusters} {noun}", color=_INK, fontsize=8)
    axes.tick_params(colors=_INK, labelsize=7, length=2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    for name, spine in axes.spines.items():
        spine.set_visible(name in {"left", "bottom"})
        spine.set_color(_INK)
    pixels = io.BytesIO()
    figure.savefig(pixels, format="rgba")
    return Image.frombytes("RGBA", canvas.get_width_height(), pixels.getvalue())
