"""Picture of the KL of each latent dimension or layer."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vi.figures.style import DATA, MODEL

_TICKS = 32  # most bars with a name each


def kl_bars(parts: Sequence[tuple[str, float, bool | None]], unit: str) -> Figure:
    """Draw a bar for each dimension, in falling order of its KL, unused ones in another colour.

    Layers keep their order.

    Args:
        parts: Name, mean KL in nats, and whether it is used, if that is known.
        unit: What they are: dimensions or layers.

    >>> kl_bars([("z_1", 2.0, True), ("z_2", 0.0, False)], "dimensions").axes[0].get_ylabel()
    'KL (nats per datum)'
    """
    known = all(used is not None for _, _, used in parts)
    ordered = sorted(parts, key=lambda part: -part[1]) if known else list(parts)
    figure = Figure(figsize=(min(12.0, max(4.5, 0.28 * len(parts) + 1.5)), 3.6))
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    colours = [MODEL if used is False else DATA for _, _, used in ordered]
    place = range(1, len(ordered) + 1)
    axes.bar(place, [kl for _, kl, _ in ordered], color=colours)
    order = ", largest first" if known else ""
    axes.set(ylabel="KL (nats per datum)", title=f"KL(q || p) of the {unit} of z{order}")
    axes.axhline(0, color="0.3", linewidth=0.8)
    if len(ordered) <= _TICKS:
        names = [f"$z_{{{name.removeprefix('z_')}}}$" for name, _, _ in ordered]
        axes.set_xticks(place, names)
    else:
        axes.margins(x=0.01)
        axes.set(xlabel=f"rank among {len(ordered)} {unit}")
    idle = sum(used is False for _, _, used in parts)
    if idle:
        names = {f"used ({len(parts) - idle})": DATA, f"unused ({idle})": MODEL}
        axes.legend(handles=[Patch(color=c, label=n) for n, c in names.items()], frameon=False)
    return figure
