"""Picture of simulation-based calibration: histograms of ranks."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Normal

from vi.figures.panels import headed, label, row_by_row
from vi.figures.style import DATA, MODEL

_PANELS = 12  # quantities that are drawn: those with the smallest p-values
_BAND = 0.99  # probability that a bar lies in the grey band


def rank_histograms(
    ranks: Int[Tensor, "S Q"],
    names: Sequence[str],
    p_values: Sequence[float],
    num_bins: int,
    num_draws: int,
) -> Figure:
    """Draw a histogram of the ranks of each quantity, and a band for each bar.

    A calibrated q has 99 % of its bars in the band. A U tells of a q that is too narrow, a hill of
    one that is too wide, a slope of one that is shifted.

    Args:
        ranks: 0 .. L, for S simulations and Q quantities.
        names: Names of the quantities.
        p_values: Their p-values; the twelve smallest are drawn.
        num_bins: Number of bars.
        num_draws: L.
    """
    chosen = sorted(sorted(range(len(names)), key=lambda q: p_values[q])[:_PANELS])
    expected = len(ranks) / num_bins
    reach = Normal(0.0, 1.0).icdf(torch.tensor(0.5 + _BAND / 2)).item()
    margin = reach * (expected * (1 - 1 / num_bins)) ** 0.5
    figure, grid = row_by_row(len(chosen))
    for axes, q in zip(grid.flat, chosen, strict=False):
        counts = torch.bincount(ranks[:, q] * num_bins // (num_draws + 1), minlength=num_bins)
        axes.axhspan(max(0.0, expected - margin), expected + margin, color="0.88", zorder=0)
        axes.axhline(expected, color="0.5", linewidth=0.8)
        inside = (counts - expected).abs() <= margin
        colours = [DATA if within else MODEL for within in inside.tolist()]
        axes.bar(range(num_bins), counts.tolist(), width=1.0, color=colours, edgecolor="white")
        axes.set_title(f"{_shown(names[q])}, p = {p_values[q]:.2g}", fontsize="small")
        axes.set_xticks([-0.5, num_bins - 0.5], ["0", f"{num_draws}"])
        axes.tick_params(labelsize="x-small")
        label(axes, "rank of z*", "simulations" if axes in grid[:, 0] else "")
    shown = "" if len(chosen) == len(names) else f" ({len(chosen)} of {len(names)} quantities)"
    headed(figure, f"ranks of z* among draws of q(z|x), with 99 % bands{shown}")
    return figure


def _shown(name: str) -> str:
    """Return a name with its number as an index."""
    return f"$z_{{{name.removeprefix('z_')}}}$" if name.startswith("z_") else name
