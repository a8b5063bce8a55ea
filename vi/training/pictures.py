"""Pictures of a model: samples, reconstructions, and the plane of a two-dimensional latent.

What is shown is computed as pixels, the same for files and for TensorBoard; matplotlib adds titles
and axes to the files only, because drawing its axes costs as much as a hundred training steps.
"""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints
from torch.nn import functional as F

from vi.data.base import Batch, LoadedData, Split
from vi.math import Shape
from vi.models.base import LatentVariableModel
from vi.training.atomic import write_atomically

Colour = tuple[float, float, float]
Extent = tuple[float, float, float, float]
Given = Mapping[str, Tensor]

_MAX_DATA = 1000  # that are encoded, and points of a scatter plot
_MAX_COLUMNS = 4  # of a table
_MAX_CONTEXTS = 10
_LEAST_SIDE = 96  # pixels of a scatter plot
_FILE_SIDE = 600  # pixels
_BLUE, _ORANGE = (0.10, 0.35, 0.70), (0.95, 0.45, 0.05)
_DPI, _MARGIN, _TITLE, _LEGEND, _AXIS = 100, 12, 34, 26, 54  # pixels


def save_pictures(
    model: LatentVariableModel, data: LoadedData, shape: Shape, run_dir: Path, seed: int
) -> list[Path]:
    """Write ``samples.png``, ``reconstructions.png`` and, for a plane of z, ``latent_plane.png``.

    Same model, data and seed give the same pixels; the random state is left as it was.

    Args:
        model: On the device of the data.
        data: In the ``data_shape`` of the model; the test split is shown.
        shape: The data's own event shape: (C, H, W) or (H, W) for images, else a table.
        run_dir: Where the files go.
        seed: Of the samples.

    Returns:
        The paths that were written.
    """
    columns = [name for name in str(data.facts.get("data/columns", "")).split(",") if name]
    shown = pictures(model, data.test, shape, seed, _FILE_SIDE, columns)
    paths = [Path(run_dir) / f"{name}.png" for name in shown]
    for path, picture in zip(paths, shown.values(), strict=True):
        write_atomically(path, picture.png())
    return paths


def pictures(
    model: LatentVariableModel,
    split: Split,
    shape: Shape,
    seed: int,
    side: int,
    columns: Sequence[str] = (),
) -> dict[str, "Picture"]:
    """The pictures of a model by name: samples, reconstructions, latent_plane.

    Args:
        model: On the device of the split; its modes and the random state are left as they were.
        split: Data in the ``data_shape`` of the model.
        shape: The data's own event shape.
        seed: Of the samples.
        side: Width of a picture in pixels, about; images are enlarged by whole numbers only.
        columns: Names of the columns of a table.
    """
    device = split.stored.device
    kind = Images(shape, side) if len(shape) in (2, 3) else Table(math.prod(shape), side, columns)
    with _undisturbed(model, seed, device):
        batch = split.batch(torch.arange(min(len(split), _MAX_DATA), device=device))
        shown = {
            "samples": kind.samples(model, batch),
            "reconstructions": kind.reconstructions(model, batch),
        }
        if in_plane(model.prior(**batch.given)):
            shown["latent_plane"] = kind.latent_plane(model, batch)
    return shown


@contextmanager
def _undisturbed(model: LatentVariableModel, seed: int, device: torch.device) -> Iterator[None]:
    """Evaluation mode, no gradients and the noise of the seed; afterwards all is as before."""
    modes = {module: module.training for module in model.modules()}
    cuda = device.type == "cuda"
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng([device] if cuda else []):
            torch.default_generator.manual_seed(seed)
            if cuda:
                torch.cuda.default_generators[device.index or 0].manual_seed(seed)
            yield
    finally:
        for module, training in modes.items():
            module.training = training


# ------------------------------------------------------------------------------- what is shown


class Kind(ABC):
    """How data of a kind are shown. An implementer writes one method for each picture."""

    @abstractmethod
    def samples(self, model: LatentVariableModel, batch: Batch) -> "Picture":
        """What p(z) p(x|z) looks like."""

    @abstractmethod
    def reconstructions(self, model: LatentVariableModel, batch: Batch) -> "Picture":
        """Data, and E[x|z] at z = E_q[z]."""

    @abstractmethod
    def latent_plane(self, model: LatentVariableModel, batch: Batch) -> "Picture":
        """E[x|z] over a two-dimensional z, and E_q[z] of the data."""


class Images(Kind):
    """Images as mosaics.

    Grey for one channel, colour for three; other channels stand side by side. Black and white are
    0 and 1, or the least and the largest value of data that leave this interval.

    Args:
        shape: (C, H, W) or (H, W).
        side: Width of a picture in pixels, about.
    """

    def __init__(self, shape: Shape, side: int) -> None:
        self.shape = (1, *shape) if len(shape) == 2 else tuple(shape)
        self.side = side
        self.count = 8 if max(self.shape[1:]) <= 96 else 4

    def samples(self, model: LatentVariableModel, batch: Batch) -> "Picture":
        """Means E[x|z] of p(x|z) for z ~ p(z), 8 x 8, or a column for every context."""
        rows = different_contexts(batch) if batch.given else torch.arange(self.count)
        given = {k: v[rows.repeat(self.count)] for k, v in batch.given.items()}
        x = model.sample_mean(self.count * len(rows), **given)
        title = r"samples: $E[x\,|\,z]$ for $z \sim p(z)$"
        title += ", one column per context" if batch.given else ""
        return Picture(title, [[Panel(tile(self._images(x, batch.x, len(rows)), len(rows)))]])

    def reconstructions(self, model: LatentVariableModel, batch: Batch) -> "Picture":
        """Pairs: a datum, and under it its reconstruction."""
        count = self.count * (self.count // 2)
        few = Batch(batch.x[:count], {k: v[:count] for k, v in batch.given.items()})
        both = few.x, model.reconstruct(few.x, **few.given)
        x, recon = (self._images(images, batch.x, self.count) for images in both)
        pairs = torch.cat([F.pad(x, (0, 0, 0, 1), value=0.5), recon], 2)
        title = f"data, and their reconstructions below: {fit_of(model, few)}"
        return Picture(title, [[Panel(tile(pairs, self.count, gap=4))]])

    def latent_plane(self, model: LatentVariableModel, batch: Batch) -> "Picture":
        """Decoded quantiles of the prior, and the posterior means."""
        n = min(20, max(6, self.side // max(self.shape[1:])))
        z = model.encode(batch.x, **batch.given)
        axes, what = quantiles(model.prior(**batch.given), z, n)
        x = decode_grid(model, axes, batch)
        mosaic = tile(self._images(x, batch.x, n), n, gap=0)
        ends = [f"{low:.2f} to {high:.2f}" for low, high in axes[[0, -1]].T.tolist()]
        labels = [rf"$z_{d + 1}$: {end}, {what}" for d, end in enumerate(ends)]
        means, legend = means_panel(z, batch.given, mosaic.shape[1])
        return Picture(plane_title(batch), [[Panel(mosaic, None, *labels), means]], legend)

    def _images(self, x: Tensor, data: Tensor, count: int) -> Float[Tensor, "N C H W"]:
        """Enlarged so that ``count`` of them fill the width of a picture."""
        low, high = min(0.0, data.min().item()), max(1.0, data.max().item())
        images = ((x - low) / (high - low)).nan_to_num().clamp(0, 1).float().cpu()
        images = images.view(-1, *self.shape)
        if self.shape[0] not in (1, 3):
            images = torch.cat(images.split(1, dim=1), dim=3)
        times = max(1, self.side // (count * max(images.shape[2:])))
        return images.repeat_interleave(times, 2).repeat_interleave(times, 3)


class Table(Kind):
    """The first columns of a table as scatter plots.

    Whole numbers are moved a little at random, so that equal points do not hide one another.

    Args:
        width: How many columns x has.
        side: Width of a picture in pixels, about.
        columns: Their names.
    """

    def __init__(self, width: int, side: int, columns: Sequence[str] = ()) -> None:
        named = len(columns) == width
        names = columns if named else [f"column {d}" for d in range(width)]
        self.names = list(names)[:_MAX_COLUMNS]
        self.side = side

    def samples(self, model: LatentVariableModel, batch: Batch) -> "Picture":
        """Pairs of columns of data and of draws x ~ p(x|z), z ~ p(z); histograms of each one."""
        rows = torch.arange(_MAX_DATA, device=batch.x.device) % len(batch.x)
        drawn = model.sample(len(rows), **{k: v[rows] for k, v in batch.given.items()})
        data, drawn = (_spread(self._first(x)) for x in (batch.x, drawn))
        matrix = [[self._pair(data, drawn, r, c) for c in self._range()] for r in self._range()]
        legend = {"data": _BLUE, "samples of the model": _ORANGE}
        return Picture("data and samples", matrix, legend)

    def reconstructions(self, model: LatentVariableModel, batch: Batch) -> "Picture":
        """Each column of the reconstruction against that of the data."""
        recon = self._first(model.reconstruct(batch.x, **batch.given))
        data, side = _spread(self._first(batch.x)), max(_LEAST_SIDE, 2 * self.side // 5)
        row = [self._against(data[:, d], recon[:, d], name, side) for d, name in self._named()]
        return Picture(f"data and reconstructions: {fit_of(model, batch)}", [row])

    def latent_plane(self, model: LatentVariableModel, batch: Batch) -> "Picture":
        """The mean of each column over the plane, and the posterior means."""
        side = max(_LEAST_SIDE, 2 * self.side // 5)
        z = model.encode(batch.x, **batch.given)
        means, legend = means_panel(z, batch.given, side)
        extent = torch.tensor(means.extent, device=batch.x.device).to(batch.x).view(2, 2)
        steps = (torch.arange(60, device=batch.x.device).to(batch.x) + 0.5) / 60
        axes = extent[:, 0] + (extent[:, 1] - extent[:, 0]) * steps[:, None]
        x = self._first(decode_grid(model, axes, batch))
        heat = [self._heat(x[:, d], name, means.extent, side) for d, name in self._named()]
        return Picture(plane_title(batch), [[means, *heat]], legend)

    def _range(self) -> range:
        return range(len(self.names))

    def _named(self) -> list[tuple[int, str]]:
        return list(enumerate(self.names))

    def _first(self, x: Tensor) -> Float[Tensor, "N D"]:
        return x.flatten(1)[:, : len(self.names)].float().cpu()

    def _pair(self, data: Tensor, drawn: Tensor, r: int, c: int) -> "Panel | None":
        if c > r:
            return None
        side, last = (
            max(_LEAST_SIDE, self.side // max(2, len(self.names))),
            r == len(self.names) - 1,
        )
        extent = (*_limits(data[:, c], drawn[:, c]), *_limits(data[:, r], drawn[:, r]))
        series = [Series(data[:, [c, r]], _BLUE), Series(drawn[:, [c, r]], _ORANGE)]
        draw, ylabel = (histogram, "") if r == c else (scatter, "" if c else self.names[r])
        return Panel(draw(series, extent, side), extent, self.names[c] if last else "", ylabel)

    @staticmethod
    def _against(data: Tensor, recon: Tensor, name: str, side: int) -> "Panel":
        extent = (*_limits(data), *_limits(data))
        pixels = scatter([Series(torch.stack((data, recon), 1), _BLUE)], extent, side)
        return Panel(
            pixels * (1 - 0.4 * torch.eye(side).flip(0).float()), extent, name, "reconstruction"
        )

    @staticmethod
    def _heat(x: Tensor, name: str, extent: Extent | None, side: int) -> "Panel":
        low, high = x.min().item(), x.max().item()
        level = ((x - low) / (high - low or 1.0)).nan_to_num()
        n = math.isqrt(len(x))
        pixels = torch.from_numpy(colormaps["viridis"](level.numpy())[:, :3]).float()
        at = torch.arange(side) * n // side
        label = f"{name}: {low:.3g} (dark) to {high:.3g}"
        return Panel(pixels.T.reshape(3, n, n)[:, at][:, :, at], extent, label)


def _spread(x: Tensor) -> Tensor:
    whole = (x == x.round()).all(0)
    return x + whole * (torch.rand_like(x) - 0.5) * 0.8


def fit_of(model: LatentVariableModel, batch: Batch) -> str:
    """The mean of log p(x|z) at z = E_q[z], in words."""
    z = model.encode(batch.x, **batch.given)
    value = model.likelihood(z, **batch.given).log_prob(batch.x).mean().item()
    return rf"$\log\,p(x\,|\,z)$ = {value:.2f} nats at $z = E_q[z]$".replace("-", "−")


def different_contexts(batch: Batch) -> Tensor:
    """The rows of some data with different contexts, in the order of the classes: (n,), n <= 10.

    >>> context = torch.eye(3)[[2, 0, 0, 2, 1]]
    >>> different_contexts(Batch(torch.zeros(5, 4), {"context": context}))
    tensor([1, 4, 0])
    """
    if "context" not in batch.given:
        return torch.arange(min(len(batch.x), _MAX_CONTEXTS), device=batch.x.device)
    found, which = batch.given["context"].flatten(1).unique(dim=0, return_inverse=True)
    count = min(len(found), _MAX_CONTEXTS)
    # ascending one-hot rows begin with the last class
    chosen = torch.linspace(len(found) - 1, 0, count, device=which.device).round().long()
    return (which == chosen[:, None]).int().argmax(1)


# ----------------------------------------------------------------------------- the latent plane


def in_plane(prior: Distribution) -> bool:
    """Whether z is a point of the real plane."""
    if tuple(prior.event_shape) != (2,):
        return False
    try:
        support = prior.support
    except NotImplementedError:
        return False
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.real


def quantiles(
    prior: Distribution, means: Float[Tensor, "N 2"], n: int
) -> tuple[Float[Tensor, "n 2"], str]:
    """Coordinates along both axes of a grid, ascending, and what they are, in words.

    Quantiles (i + 1/2) / n of a normal prior; of another prior, equal steps over the data.
    """
    u = (torch.arange(n).to(means) + 0.5)[:, None] / n
    base = prior.base_dist if isinstance(prior, Independent) else prior
    if isinstance(base, Normal) and not prior.batch_shape:
        return base.icdf(u), "quantiles of p(z)"
    low, high = means.min(0).values, means.max(0).values
    return low + (high - low) * u, "equal steps"


def decode_grid(model: LatentVariableModel, axes: Float[Tensor, "n 2"], batch: Batch) -> Tensor:
    """E[x|z] on a grid, (n * n, *event), row by row: z_1 grows to the right, z_2 upwards."""
    n = len(axes)
    z = torch.stack((axes[:, 0].repeat(n), axes[:, 1].flip(0).repeat_interleave(n)), 1)
    row = different_contexts(batch)[:1].expand(n * n)
    return model.likelihood(z, **{k: v[row] for k, v in batch.given.items()}).mean


def plane_title(batch: Batch) -> str:
    """What stands above the latent plane."""
    context = " for the first context" if batch.given else ""
    return rf"$E[x\,|\,z]$ over the plane{context}, and $E_q[z]$ of the data"


def means_panel(
    z: Float[Tensor, "N 2"], given: Given, side: int
) -> tuple["Panel", dict[str, Colour]]:
    """E_q[z] of the data, coloured by context, and the legend where there are few colours."""
    z = z.float().cpu()
    limits = torch.tensor([_limits(z[:, 0]), _limits(z[:, 1])])
    middle, half = limits.mean(1), limits.diff(dim=1).max() / 2
    extent = tuple(torch.stack((middle - half, middle + half), 1).flatten().tolist())
    series = by_context(z, given)
    legend = {one.name: one.colour for one in series if one.name and len(series) <= 10}
    return Panel(scatter(series, extent, side), extent, "$z_1$", "$z_2$"), legend


def by_context(points: Float[Tensor, "N 2"], given: Given) -> list["Series"]:
    """Points by class where the context is one-hot, else by fifths of its first number."""
    if "context" not in given:
        return [Series(points, _BLUE)]
    context = given["context"].flatten(1).float().cpu()
    one_hot = ((context == 0) | (context == 1)).all() and (context.sum(1) == 1).all()
    if one_hot and context.shape[1] > 1:
        labels, names = context.argmax(1), [str(c) for c in range(context.shape[1])]
        colours = colormaps["tab10" if len(names) <= 10 else "turbo"]
        steps = range(len(names)) if len(names) <= 10 else torch.linspace(0, 1, len(names))
    else:
        edges = context[:, 0].quantile(torch.linspace(0, 1, 6).to(context))
        labels = torch.bucketize(context[:, 0].contiguous(), edges[1:-1])
        names = [f"to {high:.3g}" for high in edges[1:].tolist()]
        colours, steps = colormaps["viridis"], torch.linspace(0, 0.95, 5)
    return [
        Series(points[labels == k], colours(step if isinstance(step, int) else step.item())[:3], n)
        for k, (n, step) in enumerate(zip(names, steps, strict=True))
    ]


# ------------------------------------------------------------------------------- how it is drawn


@dataclass(frozen=True)
class Series:
    """Points (N, 2) of one colour."""

    points: Float[Tensor, "N 2"]
    colour: Colour
    name: str = ""


def scatter(series: Sequence[Series], extent: Extent, side: int) -> Float[Tensor, "3 side side"]:
    """Dots on white paper, translucent like ink, so that no series hides another."""
    radius = max(1.0, side / 150)
    layers = torch.stack([_layers(one.points, extent, side, radius) for one in series])
    opacity = torch.tensor([min(0.8, 12 / math.sqrt(1 + len(one.points))) for one in series])
    let_through = 1 - opacity[:, None].float() * _absorbed(series)
    return torch.einsum("shw,sc->chw", layers, let_through.log()).exp()


def histogram(series: Sequence[Series], extent: Extent, side: int) -> Float[Tensor, "3 side side"]:
    """Translucent bars of the first coordinates; every series has the same area."""
    bins = max(8, min(40, round(2 * math.sqrt(min(len(one.points) for one in series)))))
    shares = [_shares(one.points[:, 0], extent, bins) for one in series]
    top = max(share.max().item() for share in shares) or 1.0
    height = torch.arange(side, 0, -1)[:, None] - 0.5
    at = torch.arange(side) * bins // side
    bars = torch.stack([height < 0.94 * side * share[at] / top for share in shares])
    return torch.einsum("shw,sc->chw", bars.float(), (1 - 0.55 * _absorbed(series)).log()).exp()


def _absorbed(series: Sequence[Series]) -> Float[Tensor, "S 3"]:
    return 1 - torch.tensor([one.colour for one in series], dtype=torch.float32)


def _shares(x: Tensor, extent: Extent, bins: int) -> Float[Tensor, " bins"]:
    x = x[x.isfinite()]
    return torch.histc(x, bins, extent[0], extent[1]) / max(1, len(x))


def _layers(
    points: Tensor, extent: Extent, side: int, radius: float
) -> Float[Tensor, "side side"]:
    """How many discs with soft edges cover every pixel; row 0 is the uppermost."""
    low, high = torch.tensor(extent).view(2, 2).T
    at = (points - low) / (high - low)
    at = at[((at >= 0) & (at < 1)).all(1)]  # NaN is nowhere
    near = torch.arange(-math.ceil(radius), math.ceil(radius) + 1)
    offsets = torch.cartesian_prod(near, near)
    pixels = (at * side).long()[:, None] + offsets
    weights = (radius + 0.5 - offsets.float().norm(dim=1)).clamp(0, 1).expand(len(at), -1)
    inside = ((pixels >= 0) & (pixels < side)).all(2)
    column, row = pixels[inside].unbind(1)
    flat = (side - 1 - row) * side + column
    return torch.bincount(flat, weights[inside], minlength=side**2).view(side, side).float()


def _limits(first: Tensor, *others: Tensor) -> tuple[float, float]:
    """Of an axis: all finite values of the first, the middle 98 % of the others, and a margin."""
    shares = [(first, (0.0, 1.0))] + [(other, (0.01, 0.99)) for other in others]
    finite = [(v[v.isfinite()], v.new_tensor(share)) for v, share in shares]
    ends = torch.stack([v.quantile(q) for v, q in finite if len(v)] or [torch.zeros(2)])
    low, high = ends.min().item(), ends.max().item()
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def tile(
    images: Float[Tensor, "N C H W"], columns: int, gap: int = 1, background: float = 0.5
) -> Float[Tensor, "C rows cols"]:
    """Images in rows, with lines between and around them.

    Image i stands in row i // columns and column i % columns; a last row that is not full ends in
    background.

    >>> tile(torch.zeros(5, 1, 8, 6), columns=3).shape
    torch.Size([1, 19, 22])
    """
    n, channels, height, width = images.shape
    rows = math.ceil(n / columns)
    framed = F.pad(images, (gap, 0, gap, 0), value=background)
    blank = framed.new_full((rows * columns - n, *framed.shape[1:]), background)
    cells = torch.cat([framed, blank]).unflatten(0, (rows, columns))
    joined = cells.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
    return F.pad(joined, (0, gap, 0, gap), value=background)


@dataclass(frozen=True)
class Panel:
    """Pixels (C, H, W) in [0, 1] with C = 1 or 3, and what their axes mean.

    Args:
        pixels: Row 0 is the uppermost.
        extent: Values at the left, right, lower and upper edge; None where axes have no numbers.
        xlabel: Below; without one there are no numbers.
        ylabel: At the left; without one there are no numbers.
    """

    pixels: Tensor
    extent: Extent | None = None
    xlabel: str = ""
    ylabel: str = ""

    def draw(self, figure: Figure, x: float, y: float) -> None:
        """With the upper left corner at pixel (x, y) of the figure, counted from its top."""
        wide, high = figure.get_size_inches() * _DPI
        _, height, width = self.pixels.shape
        axes = figure.add_axes(
            (x / wide, 1 - (y + height) / high, width / wide, height / high),
            xlabel=self.xlabel,
            ylabel=self.ylabel,
        )
        axes.yaxis.set_label_coords(-(_AXIS - 12) / width, 0.5)
        axes.ticklabel_format(scilimits=(-3, 4))
        pixels = self.pixels.permute(1, 2, 0).squeeze(2).numpy()
        axes.imshow(
            pixels, "gray", vmin=0, vmax=1, interpolation="none", extent=self.extent, aspect="auto"
        )
        axes.tick_params(labelsize=8)
        axes.spines[:].set(linewidth=0.6, visible=self.extent is not None)
        if not (self.extent and self.xlabel):
            axes.set_xticks([])
        if not (self.extent and self.ylabel):
            axes.set_yticks([])


@dataclass(frozen=True)
class Picture:
    """Rows of panels under a title, with colours that are named."""

    title: str
    rows: Sequence[Sequence[Panel | None]]
    legend: Mapping[str, Colour] = field(default_factory=dict)

    def pixels(self) -> UInt8[Tensor, "C H W"]:
        """The panels alone, for TensorBoard."""
        heights, widths = self._sizes()
        if len(heights) == len(widths) == 1 and self.rows[0][0]:
            return _bytes(self.rows[0][0].pixels)
        cells = [_fitted(p, max(heights), max(widths)) for row in self.rows for p in row]
        return _bytes(tile(torch.stack(cells), len(self.rows[0]), gap=6, background=1.0))

    def png(self) -> bytes:
        """The panels with title, axes and legend, as a file; a pixel is a pixel."""
        top = _TITLE + (_LEGEND if self.legend else 0)
        below, left = self._axes()
        heights, widths = self._sizes()
        rows = _starts([h + b for h, b in zip(heights, below, strict=True)], top)
        columns = _starts([w + l for w, l in zip(widths, left, strict=True)], _MARGIN)
        wide, high = max(columns[-1], 560), rows[-1]
        figure = Figure((wide / _DPI, high / _DPI), dpi=_DPI, facecolor="white")
        self._write(figure, wide, high)
        indent = (wide - columns[-1]) // 2
        for r, row in enumerate(self.rows):
            for c, panel in enumerate(row):
                if panel is not None:
                    panel.draw(figure, indent + columns[c] + left[c], rows[r])
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DPI)
        return buffer.getvalue()

    def _write(self, figure: Figure, wide: int, high: int) -> None:
        figure.text(0.5, 1 - _TITLE / 2 / high, self.title, ha="center", va="center", fontsize=10)
        if self.legend:
            figure.legend(
                handles=[Patch(color=colour, label=name) for name, colour in self.legend.items()],
                loc="center",
                bbox_to_anchor=(0.5, 1 - (_TITLE + _LEGEND / 2 - 4) / high),
                ncols=min(len(self.legend), 10),
                fontsize=9,
                frameon=False,
                handlelength=1,
            )

    def _columns(self) -> list[list[Panel]]:
        return [[p for p in column if p] for column in zip(*self.rows, strict=True)]

    def _sizes(self) -> tuple[list[int], list[int]]:
        """Heights of the rows and widths of the columns."""
        heights = [max(p.pixels.shape[1] for p in row if p) for row in self.rows]
        return heights, [max(p.pixels.shape[2] for p in column) for column in self._columns()]

    def _axes(self) -> tuple[list[int], list[int]]:
        """Room below each row and at the left of each column."""
        below = [_AXIS * any(p.xlabel for p in row if p) for row in self.rows]
        return below, [_AXIS * any(p.ylabel for p in column) for column in self._columns()]


def _starts(sizes: Sequence[int], first: int) -> list[int]:
    """Where things of these sizes start, with a margin between them, and where the last ends."""
    return [first + sum(sizes[:i]) + i * _MARGIN for i in range(len(sizes) + 1)]


def _fitted(panel: Panel | None, height: int, width: int) -> Float[Tensor, "3 height width"]:
    """The panel, and white where it is smaller."""
    if panel is None:
        return torch.ones(3, height, width, dtype=torch.float32)
    pixels = panel.pixels.expand(3, -1, -1)
    return F.pad(pixels, (0, width - pixels.shape[2], 0, height - pixels.shape[1]), value=1.0)


def _bytes(pixels: Tensor) -> UInt8[Tensor, "C H W"]:
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
