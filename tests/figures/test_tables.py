"""Pictures of tables name every column, say what they leave out, and choose bins by the data."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure

import vi
from vi.data.base import Values
from vi.data.columns import column_names, columns_facts
from vi.figures.column import Column
from vi.figures.imputations import imputations_figure
from vi.figures.ledger import ledger_figure
from vi.figures.names import axis_names
from vi.figures.pictures import figures, samples_figure
from vi.figures.save import save_figure
from vi.figures.tables import scatter_matrix

WINE = [
    *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols"),
    *("flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"),
    *("od280/od315_of_diluted_wines", "proline"),
]


def make_model(columns, latent_dim=2):
    parts = (vi.MLP([6]), vi.MLP([6]), vi.DiagonalGaussian(latent_dim))
    return vi.VAE((columns,), *parts, vi.StandardNormal(latent_dim), vi.FixedScaleGaussian(0.1))


def drawn(columns, facts=None):
    """The pictures of a table of so many columns."""
    split = Values(torch.randn(50, columns))
    return figures(make_model(columns), split, (columns,), 0, facts or {})


def written(figure: Figure) -> str:
    """The title of a figure."""
    return figure.get_suptitle()


def flat(name):
    """An axis name in one line, as matplotlib shows it."""
    return name.replace("\n", "").replace(r"\$", "$")


def across(figure):
    return [flat(axes.get_xlabel()) for axes in figure.axes if axes.get_xlabel()]


def up(figure):
    return [flat(axes.get_ylabel()) for axes in figure.axes if axes.get_ylabel()]


def test_every_column_of_a_wide_table_is_drawn_by_its_name():
    """Caught: four of thirteen columns, called x_1 to x_4, and no word about the others."""
    found = drawn(13, columns_facts(WINE))
    assert across(found["marginals"]) == WINE
    assert across(found["reconstructions"]) == WINE
    assert across(found["samples"]) == WINE[:6]
    assert up(found["samples"]) == ["share", *WINE[1:6]]
    assert "(6 of 13 columns)" in written(found["samples"])
    assert "columns)" not in written(found["marginals"]) + written(found["reconstructions"])


@pytest.mark.parametrize(("columns", "panels"), [(1, 1), (2, 3), (6, 21)])
def test_a_narrow_table_is_whole_in_one_picture(columns, panels):
    found = drawn(columns)
    assert set(found) == {"samples", "reconstructions", "latent_plane"}
    assert len(found["samples"].axes) == panels
    assert len(found["reconstructions"].axes) == columns
    assert "columns)" not in written(found["samples"])
    assert across(found["samples"]) == [f"$x_{{{d}}}$" for d in range(1, columns + 1)]


def test_a_very_wide_table_says_how_much_of_it_is_shown():
    found = drawn(40)
    for name in ("marginals", "reconstructions"):
        assert len(found[name].axes) == 36
        assert "(36 of 40 columns)" in written(found[name])
    assert "(6 of 40 columns)" in written(found["samples"])


def test_the_geyser_is_in_minutes():
    """From the facts that stand beside the weights; the order is that of the file."""
    facts = columns_facts(("duration", "waiting"), ("min", "min"))
    assert axis_names(facts, 2) == ["duration (min)", "waiting (min)"]
    model = vi.GMM((2,), 2, vi.Full())
    x = torch.randn(60, 2, dtype=torch.float64)
    model.initialize(x)
    found = figures(model, Values(x), (2,), 0, facts)
    assert across(found["density"]) == ["duration (min)"]
    assert up(found["density"]) == ["waiting (min)"]
    means = samples_figure(x, (2,), facts)
    assert across(means) == ["duration (min)", "waiting (min)"]


@pytest.mark.parametrize("number", [2, 5])
def test_imputations_are_drawn_for_every_column(number):
    x, names = torch.randn(30, number), WINE[:number]
    observed = torch.rand(30, number) < 0.5
    shown = imputations_figure(x, observed, x, (number,), axis_names(columns_facts(names), number))
    assert across(shown) == names
    legend = [text.get_text() for text in shown.legends[0].get_texts()]
    assert legend == ["seen", "imputed"]


def test_what_is_missing_is_not_drawn_as_zero():
    """Caught: a spike at 0 in the histogram of the data."""
    x = torch.full((40, 2), 5.0) + torch.rand(40, 2)
    split = Values(x.clone()).with_observed(torch.rand(40, 2) < 0.5)
    found = figures(make_model(2), split, (2,), 0, {})["reconstructions"]
    for axes in found.axes:
        assert np.min(axes.get_lines()[0].get_xdata()) >= 5.0


@pytest.mark.parametrize(
    "name",
    ["price $ or $x_1$", "a\nb", "x" * 80, " many words " * 9, "größe", "体重", "a,b", '"'],
)
def test_any_name_of_a_column_can_be_drawn(name, tmp_path):
    """Caught: a formula in a name, which matplotlib could not read; warnings for each letter."""
    facts = columns_facts([name, "b"])
    names = axis_names(facts, 2)
    assert all(len(line) <= 20 for line in names[0].split("\n"))
    figure = scatter_matrix({"data": (torch.randn(20, 2), "C0")}, names)
    assert not is_math_text(names[0])
    save_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_names_go_through_the_facts_unchanged():
    """Caught: a name with a comma, which made two of it, so that none was used."""
    names = ["a,b", 'say "c"', "", "d"]
    facts = columns_facts(names)
    assert column_names(facts, 4) == names
    assert column_names(facts, 3) == []
    assert columns_facts(["a", "b"]) == {"data/columns": "a,b"}
    assert columns_facts([]) == {}
    for damaged in (None, 3, '"a', "a\x00,b"):
        assert column_names({"data/columns": damaged}, 2) in ([], ["a\x00", "b"])


def test_a_file_of_arrays_may_name_its_columns(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=(20, 2)), columns=np.array(["a", "b"]))
    data = vi.data.NPZ(str(path)).load()
    assert axis_names(data.facts, 2) == ["a", "b"]
    assert data.shape == (2,)


@pytest.mark.parametrize("n", [40, 1000, 100_000])
def test_bins_are_as_wide_as_freedman_and_diaconis_say(n):
    """2 IQR / n^(1/3), of a normal distribution 2.698 / n^(1/3); at least 5 and at most 60."""
    x = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    edges = Column(x).edges
    number = float(x.max() - x.min()) / (2.698 / n ** (1 / 3))
    assert len(edges) - 1 == pytest.approx(min(60, max(5, number)), abs=1)
    assert edges[0] <= x.min()
    assert x.max() <= edges[-1]


def test_whole_numbers_have_bins_around_them():
    counts = Column(torch.tensor([0.0, 0, 1, 2, 7]))
    assert counts.edges.tolist() == [d - 0.5 for d in range(9)]
    assert counts.shares(torch.tensor([0.0, 0, 1, 7])).tolist() == [0.5, 0.25, *[0.0] * 5, 0.25]
    many = Column(torch.arange(1000.0)).edges
    assert len(many) <= 61
    assert set(np.diff(many)) == {np.diff(many)[0]}
    assert np.diff(many)[0] == int(np.diff(many)[0])


def test_counts_with_a_long_tail_are_on_a_logarithm():
    tail = Column(torch.tensor([0.0] * 50 + [1.0] * 30 + [2.0] * 10 + [300.0]))
    assert tail.scale == "symlog"
    assert tail.edges[:3].tolist() == [-0.5, 0.5, 1.5]
    assert all(float(2 * edge).is_integer() for edge in tail.edges)
    assert tail.shares(torch.tensor([0.0, 300.0])).sum() == 1
    assert Column(torch.randn(100)).scale == Column(torch.arange(20.0)).scale == "linear"


@pytest.mark.parametrize(
    "x",
    [[], [3.5], [2.0, 2.0], [torch.nan, 1.0, torch.inf], [1e300, -1e300], [0.1, 0.1, 0.1, 0.9]],
    ids=["none", "one", "equal", "not finite", "far apart", "half equal"],
)
def test_any_column_has_bins(x):
    edges = Column(torch.tensor(x, dtype=torch.float64)).edges
    assert len(edges) >= 2
    assert (np.diff(edges) > 0).all()


def test_a_draw_far_away_moves_no_bin():
    """Caught: one draw of a Student's t at 1e6 that put all data into one bin."""
    x = torch.randn(500)
    far = torch.cat([torch.randn(999), torch.tensor([1e6])])
    assert Column(x, far).edges[-1] < 10


def test_a_few_whole_numbers_are_spread_and_others_are_not():
    bits = (torch.rand(100) < 0.5).double()
    places = Column(bits).places(bits, 0)
    assert len(set(places)) == 100
    assert np.abs(places - bits.numpy()).max() <= 0.25
    reals = torch.randn(100, dtype=torch.float64)
    assert (Column(reals).places(reals, 0) == reals.numpy()).all()


def test_no_words_lie_on_each_other():
    """Of title, legend, axis names and the names of ticks, in the widest pictures."""
    for figure in drawn(13, columns_facts(WINE)).values():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        parts = [*figure.texts, *figure.legends]
        for axes in figure.axes:
            parts += [axes.xaxis.label, axes.yaxis.label]
        boxes = [part.get_window_extent(renderer) for part in parts]
        boxes = [box for box in boxes if box.width > 1 and box.height > 1]
        for i, one in enumerate(boxes):
            assert not any(one.overlaps(other) for other in boxes[:i])
            assert one.x0 >= 0
            assert one.y0 >= 0
            assert one.x1 <= figure.bbox.x1
            assert one.y1 <= figure.bbox.y1


def test_the_ledger_names_both_axes_of_both_panels():
    rows = [{"epoch": n, "step": n, "e": 1.0 / n, "m": 0.5, "joint": 0.0} for n in range(1, 6)]
    figure = ledger_figure(rows)
    assert [axes.get_xlabel() for axes in figure.axes] == ["epoch", "epoch"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats per datum"] * 2
    assert len(figure.legends) == 1
    for axes in figure.axes:
        assert all(float(tick).is_integer() for tick in axes.get_xticks())
