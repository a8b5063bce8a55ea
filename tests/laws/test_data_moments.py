"""Where models of networks start: as independent entries with the moments of the data."""

import math

import pytest
import torch
from torch.distributions import NegativeBinomial, constraints, transform_to

import vi
from tests.laws.conftest import LIKELIHOODS
from vi.bounds.elbo import ELBO
from vi.distributions.constraints import Grid, open_unit_interval
from vi.distributions.counts import bounded_rate
from vi.distributions.moments import before_softplus

N, D, Z = 300, 6, 4


def _table():
    return vi.MixedTable([vi.Gaussian(), vi.Bernoulli(), vi.Poisson(), vi.Laplace(),
                          vi.Categorical(3), vi.BetaLikelihood()])  # fmt: skip


RECIPES = LIKELIHOODS | {"table": _table}


def _plain(support: constraints.Constraint) -> torch.Tensor:
    """Data of a kind, whose entries are independent and differ from each other."""
    spread = torch.linspace(0.2, 0.8, D)
    if isinstance(support, Grid) and support.levels == 1:
        return torch.randint(0, support.num, (N, D)).double()
    if isinstance(support, Grid):
        grey = (spread + 0.1 * torch.randn(N, D)).clamp(0, 1)
        return (grey * support.levels).round() / support.levels
    if support is constraints.boolean:
        return (torch.rand(N, D) < spread).double()
    if support is constraints.nonnegative_integer:
        return NegativeBinomial(2.0, probs=torch.tensor(0.8)).sample((N, D)).double()
    if support in (constraints.unit_interval, open_unit_interval):
        return torch.distributions.Beta(5 * spread, 2.0).sample((N,)).clamp(1e-3, 0.999)
    if isinstance(support, type(constraints.cat([constraints.real]))):
        columns = [_plain(one)[:, i] for i, one in enumerate(support.cseq)]
        return torch.stack(columns, -1)
    if support is constraints.real:
        return torch.logspace(-2, 4, D) * torch.randn(N, D) + torch.linspace(-5, 1e5, D)
    return transform_to(support)(torch.randn(N, D) / 2 + spread)


def _best(make, x: torch.Tensor) -> float:
    """The greatest mean log p(x) of independent entries of this family, by its gradient."""
    head = make().eval()
    head.set_event_shape(x.shape[1:])
    params = torch.zeros(1, *head.out_shape, requires_grad=True)
    moved = [params, *head.parameters()]
    optimizer = torch.optim.LBFGS(moved, max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = -head(params.expand(len(x), *params.shape[1:])).log_prob(x).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return -loss().item()


def _vae(likelihood, **parts) -> vi.VAE:
    network = vi.MLP([50])
    ends = (vi.DiagonalGaussian(Z), vi.StandardNormal(Z), likelihood)
    return vi.VAE((D,), network, network, *ends, **parts)


def _bound(model: vi.VAE, x: torch.Tensor) -> tuple[float, float]:
    with torch.no_grad():
        terms = ELBO(num_samples=20)(model.eval(), x).terms
    model.train()
    return terms["elbo"].mean().item(), terms["kl"].mean().item()


@pytest.mark.parametrize("make", RECIPES.values(), ids=RECIPES)
def test_the_first_bound_is_about_that_of_independent_entries(make):
    """Within half a nat for each entry and each latent of the best that the family can say.

    The best is found by gradient ascent from 0, and not by moments. Then 30 steps of Adam, which
    must not lose what was there. Caught: no start at all (12 of 18, Poisson by 4e13 nats), the
    bias without smaller weights (counts by 20 000 nats), a scale without its softplus undone.
    """
    x = _plain(make().support)
    model = _vae(make(), standardize=True)
    model.initialize(x)
    within = (x - model.data_loc) / model.data_scale
    best = _best(make, within) - model.data_scale.log().sum().item()
    first, kl = _bound(model, x)
    assert kl <= Z / 2 + 0.5
    assert first + kl >= best - D / 2
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        ELBO()(model, x).surrogate.mean().neg().backward()
        optimizer.step()
    assert _bound(model, x)[0] >= first - 0.5


@pytest.mark.parametrize("make", RECIPES.values(), ids=RECIPES)
def test_the_start_has_the_moments_of_the_data(make):
    """The mean of p(x) at the start, within a tenth of a standard deviation; medians for Laplace.

    Caught: parameters in another order than the head splits them in.
    """
    x = _plain(make().support)
    head = make()
    head.set_event_shape((D,))
    params = torch.cat([p.flatten() for p in head.start_at(x)])
    mean = head(params.view(head.out_shape)).mean.detach()
    if head.support is open_unit_interval:  # concentrations below 1 are out of its reach
        x, mean = x[:, 2:], mean[2:]
    assert ((mean - x.mean(0)).abs() <= 0.1 * x.std(0)).all()


def test_missing_entries_have_no_part_in_the_start():
    """Caught: a missing entry counted as 0."""
    x = _plain(constraints.nonnegative_integer)
    hidden = x.where(torch.rand(N, D) < 0.5, torch.nan)
    head = vi.NegativeBinomial()
    head.set_event_shape((D,))
    (log_mean,) = head.start_at(hidden)
    shown = torch.stack([column[~column.isnan()].mean() for column in hidden.unbind(1)])
    assert torch.allclose(log_mean.exp(), shown, rtol=0.01)


@pytest.mark.parametrize(
    "make", [vi.Poisson, vi.NegativeBinomial, vi.ZeroInflatedNegativeBinomial]
)
def test_counts_start_over_their_exposure(make):
    """sum x / sum exposure, so that p(x) has the totals of the data. Caught: the mean of x."""
    exposure = torch.rand(N, 1) * 10
    x = torch.poisson(exposure * torch.linspace(0.5, 20, D))
    model = _vae(make())
    model.initialize(x, exposure=exposure)
    model.decoder.layers[-1].weight.data.zero_()
    mean = model.likelihood(torch.zeros(N, Z), exposure=exposure).mean
    assert torch.allclose(mean.sum(0), x.sum(0), rtol=0.01)


@pytest.mark.parametrize("decoder", ["conv", "gated_conv", "residual"])
def test_a_convolution_starts_at_the_mean_of_each_channel(decoder):
    """It has no bias for every pixel. Caught: a bias that was left at 0."""
    from vi.config.build import build
    from vi.config.registry import packaged

    node = packaged("decoder", decoder)
    made = build("decoder", {**node, "channels": [8, 4]}, defaults={"activation": packaged(
        "activation", "relu"), "normalization": packaged("normalization", "group")})  # fmt: skip
    parts = (vi.DiagonalGaussian(Z), vi.StandardNormal(Z), vi.Bernoulli())
    model = vi.VAE((2, 8, 8), vi.MLP([5]), made, *parts)
    x = (torch.rand(N, 2, 8, 8) < torch.tensor([0.1, 0.8])[:, None, None]).double()
    model.initialize(x)
    last = [m for m in model.decoder.modules() if isinstance(m, torch.nn.Conv2d)][-1]
    assert last.bias is not None
    assert torch.allclose(last.bias.sigmoid(), torch.tensor([0.1, 0.8]), atol=0.01)


def test_a_network_without_a_last_affine_layer_is_left_as_it_is():
    """One of the user's own. Caught: a bias of another size."""

    class Squashed(torch.nn.Module):
        def __init__(self, n_in, n_out) -> None:
            super().__init__()
            self.layer, self.gain = torch.nn.Linear(n_in, 3), torch.ones(3, n_out)

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.layer(z) @ self.gain

    parts = (vi.DiagonalGaussian(Z), vi.StandardNormal(Z), vi.Bernoulli())
    model = vi.VAE((D,), vi.MLP([5]), lambda a, b: Squashed(*a, *b), *parts)
    before = {k: v.clone() for k, v in model.decoder.state_dict().items()}
    model.initialize(_plain(constraints.boolean))
    assert all(torch.equal(v, before[k]) for k, v in model.decoder.state_dict().items())


def test_weights_are_made_smaller_and_never_larger():
    """Row by row. Caught: weights of an entry that p(x|z) hardly depends on, blown up."""
    model = _vae(vi.Bernoulli())
    before = model.decoder.layers[-1].weight.clone()
    x = _plain(constraints.boolean)
    x[:, 1] = 0.0  # log p(x) hardly depends on the logit of what is always 0
    model.initialize(x)
    ratio = model.decoder.layers[-1].weight / before
    assert ratio.max() <= 1
    assert torch.allclose(ratio, ratio[:, :1])
    assert (ratio[1] == 1).all()


def test_a_log_rate_far_out_gives_a_finite_number():
    """To 30 as it is, and from there on with a slope that goes on. Caught: exp(1e4), infinite."""
    log_rate = torch.tensor([-9.0, 29.9, 30.0, 31.0, 1e4], requires_grad=True)
    kept = bounded_rate(log_rate)
    assert torch.equal(kept[:3], log_rate[:3])
    assert kept.exp().isfinite().all()
    (slope,) = torch.autograd.grad(kept.sum(), log_rate)
    torch.testing.assert_close(slope, 1 / (1 + (log_rate - 30).clamp_min(0)).detach())
    head = vi.Poisson()
    head.set_event_shape((5,))
    assert head(log_rate.detach()).log_prob(torch.ones(5)).isfinite()


def test_softplus_is_undone():
    """To 1e-9, where torch's softplus becomes linear. Caught: the floor forgotten."""
    value = torch.logspace(-2, 3, 50)
    raw = before_softplus(value, floor=1e-3)
    back = 1e-3 + torch.nn.functional.softplus(raw)
    assert ((back - value) / value).abs().max() <= 1e-9
    assert math.isclose(1e-3 + torch.nn.functional.softplus(before_softplus(
        torch.tensor(0.0), floor=1e-3)).item(), 1.01e-3)  # fmt: skip


@pytest.mark.parametrize("standardize", [True, False])
def test_the_state_has_the_names_that_it_always_had(standardize):
    """Weights of old checkpoints load. Caught: an offset that became a parameter of the model."""
    names = set(_vae(vi.Gaussian(), standardize=standardize).state_dict())
    parts = {"data_loc", "data_scale"} if standardize else set()
    layers = {f"{n}.layers.{i}.{w}" for n in ("inference.encoder", "decoder") for i in (0, 2)
              for w in ("weight", "bias")}  # fmt: skip
    assert names == parts | layers
