"""Tables of mixed types: laws beyond those of their columns."""

import json
import math

import pytest
import torch
from torch.autograd import gradcheck

import vi
from tests.support.oracles import standard_error
from vi.config.build import build, check
from vi.config.conversion import from_config, to_config
from vi.distributions.counts import exposed
from vi.distributions.observed import Observed

D = 6


def _columns():
    """Return two kinds of two columns, one with own parameters, and one kind in two sizes."""
    return [
        vi.Categorical(4),
        vi.Bernoulli(),
        vi.SharedScaleGaussian(scale=0.5),
        vi.Categorical(3),
        vi.Bernoulli(),
        vi.SharedScaleGaussian(scale=0.5),
    ]


def _table(columns=None):
    table = vi.MixedTable(columns or _columns())
    table.set_event_shape((len(columns or _columns()),))
    return table


def _alone(table, params):
    """Return a head for every column, with its share of the parameters."""
    pieces = dict(zip([(0,), (1, 4), (2,), (3,), (5,)], table.split(params), strict=True))
    for column, head in enumerate(_columns()):
        head.set_event_shape((1,))
        group = next(g for g in pieces if column in g)
        place = group.index(column)
        yield head(pieces[group].unflatten(-1, (-1, len(group)))[..., place])


def test_a_table_is_the_product_of_its_columns():
    """log p, mean and variance equal those of one head per column: at most 1e-12.

    Caught: columns in the order of their kinds.
    """
    table = _table()
    params = torch.randn(7, *table.out_shape)
    p, x = table(params), table(params).sample()
    alone = list(_alone(table, params))
    total = sum(q.log_prob(x[:, d : d + 1]) for d, q in enumerate(alone))
    assert (p.log_prob(x) - total).abs().max() <= 1e-12
    for name in ("mean", "variance"):
        by_column = torch.cat([getattr(q, name) for q in alone], -1)
        assert (getattr(p, name) - by_column).abs().max() <= 1e-12
    assert (p.batch_shape, p.event_shape) == ((7,), (D,))


def test_columns_of_a_kind_are_computed_at_once():
    """Unless a kind has learned parameters: then every column has its own.

    Caught: a scale shared by two columns; three categories computed as four.
    """
    table = _table()
    assert [head.event_shape[0] for head in table.heads] == [1, 2, 1, 1, 1]
    assert len(list(table.parameters())) == 2


def test_moments_of_the_draws():
    """100 000 draws, seed 0, within 4 s.e., 36 numbers; every column lies in its support."""
    table = _table()
    p = table(torch.randn(3, *table.out_shape))
    x = p.sample((100_000,))
    assert table.support.check(x).all()
    for deviation in (x - p.mean, (x - p.mean).square() - p.variance):
        assert (deviation.mean(0).abs() <= 4 * standard_error(deviation)).all()


def test_samples_of_z_go_through_it():
    """(K, B, P) with x of (B, D) gives (K, B)."""
    table = _table()
    params = torch.randn(3, 7, *table.out_shape)
    x = table(params[0]).sample()
    whole = table(params).log_prob(x)
    assert whole.shape == (3, 7)
    assert torch.allclose(whole[1], table(params[1]).log_prob(x), rtol=1e-12)


def test_gradcheck():
    """Gradients in the network's and in the columns' parameters agree with finite differences."""
    table = _table()
    params = torch.randn(4, *table.out_shape, requires_grad=True)
    x = table(params).sample()
    own = tuple(table.parameters())
    assert gradcheck(lambda params, *own: table(params).log_prob(x), (params, *own))


def test_missing_entries_leave_it():
    """Missing entries of any column drop out: at most 1e-12."""
    table = _table()
    params = torch.randn(50, *table.out_shape)
    observed = torch.rand(50, D) < 0.5
    x = table(params).sample()
    entries = table(params).base_dist.log_prob(x)
    hidden = Observed(table(params), observed).log_prob(x.where(observed, torch.nan))
    assert (hidden - entries.where(observed, 0.0).sum(-1)).abs().max() <= 1e-12


def test_counts_know_their_exposure_and_how_they_are_read():
    """Exposure and ``encoder_input`` apply to the count columns only. Caught: to every column."""
    table = _table([vi.Gaussian(), vi.Poisson(), vi.Bernoulli()])
    params, x = torch.randn(7, *table.out_shape), torch.tensor([[0.5, 8.0, 1.0]]).expand(7, 3)
    p, exposure = table(params), torch.arange(1.0, 8.0)
    more = exposed(p, exposure)
    assert torch.equal(more.mean[:, [0, 2]], p.mean[:, [0, 2]])
    assert torch.allclose(more.mean[:, 1], exposure * p.mean[:, 1], rtol=1e-12)
    assert table.encoder_input(x)[0].tolist() == pytest.approx([0.5, math.asinh(8.0), 1.0])


def test_every_column_has_its_support():
    support = _table().support
    good = torch.tensor([[3.0, 1.0, 7.3, 2.0, 0.0, -0.1]])
    assert support.check(good).all()
    bad = torch.tensor([[3.0, 0.5, 7.3, 3.0, 2.0, -0.1]])
    assert support.check(bad).tolist() == [[True, False, True, False, False, True]]
    assert "0/1 data in column 1, 4" in _table().needs


def test_trains_with_every_bound(make_bound, small_vae):
    model = small_vae(likelihood=vi.MixedTable(_columns()))
    estimate = make_bound(num_samples=3)(model, model.sample(5))
    estimate.surrogate.mean().backward()
    assert estimate.value.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_is_saved_by_names_and_comes_back(small_vae, tmp_path):
    """config.json names the option of every column; the loaded model gives the same numbers.

    Caught: the columns described as options of a group that does not exist.
    """
    model = small_vae(likelihood=vi.MixedTable(_columns()))
    with torch.no_grad():
        next(model.likelihood_head.parameters()).add_(0.3)
    vi.save(model, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())["model"]
    named = [column["option"] for column in config["likelihood"]["likelihoods"]]
    assert named[1:5] == ["bernoulli", "gaussian_shared_scale", "categorical", "bernoulli"]
    again, x = vi.load(tmp_path / "model"), model.sample(5)
    z = torch.randn(5, 2)
    assert torch.equal(again.likelihood(z).log_prob(x), model.likelihood(z).log_prob(x))


def test_options_may_be_named():
    """A column given by option name has that option's yaml, except for values given beside it.

    Caught: the defaults of the class in place of both.
    """
    node = {"_target_": "vi.likelihoods.table.MixedTable"}
    node["likelihoods"] = ["categorical_pixels", {"option": "categorical", "num_categories": 7}]
    check("likelihood", node)
    one, other = build("likelihood", node).arguments["likelihoods"]
    assert one.arguments == {"num_categories": 256, "levels": 255}
    assert other.arguments == {"num_categories": 7, "levels": 1}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["bernouli"], "unknown option likelihood=bernouli"),
        ([{"option": "categorical", "categories": 3}], r"likelihood.likelihoods.0.categories"),
        ([3], "likelihood.likelihoods must be a list"),
        ([{"_target_": "vi.models.vae.VAE"}], "is refused"),
        ("bernoulli", "likelihood.likelihoods must be a list"),
        ([], "likelihoods is empty"),
    ],
)
def test_refuses_columns_that_are_none(columns, said):
    with pytest.raises(vi.ConfigurationError, match=said):
        build(
            "likelihood", {"_target_": "vi.likelihoods.table.MixedTable", "likelihoods": columns}
        )


def test_a_saved_table_names_options_only():
    """A saved table may contain option names only. Caught: a class path within the list."""
    described = to_config("likelihood", vi.MixedTable(_columns()))
    assert from_config("likelihood", described)
    described["likelihoods"][0] = {"_target_": "vi.likelihoods.bernoulli.Bernoulli"}
    with pytest.raises(vi.ConfigurationError, match="must name an option"):
        from_config("likelihood", described)


def test_refuses_another_number_of_columns(small_vae):
    with pytest.raises(vi.ConfigurationError, match=r"2 columns, the data have shape \(6,\)"):
        small_vae(likelihood=vi.MixedTable([vi.Bernoulli(), vi.Gaussian()]))


def test_only_its_real_columns_are_standardised(small_vae):
    """Bits and counts are not standardised. Caught: all of them, or none."""
    columns = [vi.Gaussian(), vi.Bernoulli(), vi.Laplace(), vi.Poisson(), vi.Gaussian()]
    columns.append(vi.BetaLikelihood())
    model = small_vae(likelihood=vi.MixedTable(columns), standardize=True)
    x = torch.rand(50, 6) * torch.tensor([9.0, 1.0, 1e4, 20.0, 1.0, 1.0])
    x[:, [1, 3]] = x[:, [1, 3]].round()
    model.initialize(x)
    real = torch.tensor([True, False, True, False, True, False])
    assert torch.equal(model.data_loc, x.mean(0).where(real, 0.0))
    assert torch.allclose(model.data_scale, x.std(0).where(real, 1.0))


def test_states_of_z_meet_exposures_and_missing_entries():
    """Three states of z that all data share, counts over the exposure of each of seven data.

    Caught: columns some of which lack the axis of the data.
    """
    table = _table([vi.Poisson(), vi.Bernoulli(), vi.Poisson()])
    params, exposure = torch.randn(3, 1, *table.out_shape), torch.arange(1.0, 8.0)
    x, observed = torch.tensor([2.0, 1.0, 0.0]).expand(7, 3), torch.rand(7, 3) < 0.6
    p = exposed(table(params), exposure)
    found = Observed(p, observed).log_prob(x)
    assert p.batch_shape == p.mean.shape[:-1] == found.shape == (3, 7)
    for n in range(7):
        alone = exposed(table(params[:, 0]), exposure[n].expand(3))
        expected = Observed(alone, observed[n]).log_prob(x[n])
        assert (found[:, n] - expected).abs().max() <= 1e-12
