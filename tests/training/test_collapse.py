"""A latent that says nothing about the data is told, and no other."""

import io

import pytest
import torch
from rich.console import Console

import vi
from tests.support.runs import fit
from tests.support.tiny import D, mixture, vae
from vi.data.base import LoadedData, Values
from vi.training.results import report
from vi.training.results.collapse import measure_use, told_use


class Answers(vi.VAE):
    """Its E_q[z_d|x] is x_d times the d-th of ``scales``, with unit variance."""

    scales = torch.tensor([1.0, 0.0, 0.5])

    def posterior(self, x, **given):
        loc = x[:, :3] * self.scales
        return torch.distributions.Independent(torch.distributions.Normal(loc, 1.0), 1)


def answering(scales):
    parts = (vi.MLP([4]), vi.MLP([4]), vi.DiagonalGaussian(3), vi.StandardNormal(3))
    model = Answers((D,), *parts, vi.Bernoulli())
    model.scales = torch.tensor(scales)
    return model


BITS = Values(torch.arange(64)[:, None] >> torch.arange(D) & 1)  # variance 1/4 in every entry


@pytest.mark.parametrize(
    ("scales", "active", "unused"),
    [([1.0, 0.0, 0.5], 2, "2"), ([0.0, 0.1, 0.0], 0, "1,2,3"), ([1.0, 0.3, 0.5], 3, "")],
)
def test_unused_dimensions_are_those_whose_mean_does_not_move(scales, active, unused):
    """Var = scale^2 / 4 against 0.01. Caught: the variance over dimensions, not over data."""
    found = measure_use(answering(scales), BITS, 0)
    assert found == {"test/active_units": active, "test/unused_dimensions": unused}


def test_nothing_is_said_of_latents_without_dimensions():
    assert measure_use(mixture(), BITS, 0) == {}
    ppca = vi.PPCA((D,), 2)
    ppca.initialize(BITS.values(torch.arange(64)).double())
    assert measure_use(ppca, BITS, 0) == {}
    parts = (vi.MLP([4]), vi.MLP([4]), vi.FullGaussian(2), vi.StandardNormal(2))
    assert measure_use(vi.VAE((D,), *parts, vi.Bernoulli()), BITS, 0) == {}
    assert measure_use(vae(), Values(torch.ones(1, D)), 0) == {}


def told(active, unused, kl, bound=None):
    numbers = {"test/active_units": active, "test/unused_dimensions": unused, "test/kl": kl}
    return told_use(numbers, bound or vi.ELBO())


def test_what_is_said():
    assert told(8, "", 5.2) == told_use({"test/kl": 0.0}, vi.ELBO()) == ""
    assert told(6, "3,7", 5.2) == "2 of 8 latent dimensions are unused: 3, 7"
    many = ",".join(str(d) for d in range(1, 21))
    assert told(20, many, 20.0) == "20 of 40 latent dimensions are unused"
    collapsed = told(0, "1,2", 0.06)
    assert collapsed.startswith("all 2 latent dimensions are unused: KL 0.06 nats")
    assert "bound=beta bound.beta=1 bound.warmup_steps=" in collapsed
    assert told(3, "1,2", 0.04).startswith("2 of 5 latent dimensions are unused: KL 0.04 nats")


@pytest.mark.parametrize(
    ("bound", "advice"),
    [
        (vi.Beta(vi.ELBO(), 4.0), "lower bound.beta=4"),
        (vi.Beta(vi.ELBO(), 1.0, 100), "a larger bound.warmup_steps"),
        (vi.IWAE(5), "bound=beta"),
    ],
)
def test_the_advice_is_about_the_bound_that_was_trained(bound, advice):
    assert advice in told(0, "1,2", 0.01, bound)


def signal(n, seed):
    """Six bits that are all equal but for noise: a nat that a latent may carry."""
    generator = torch.Generator().manual_seed(seed)
    all_ = torch.randint(0, 2, (n, 1), generator=generator)
    flips = torch.rand(n, D, generator=generator) < 0.05
    return Values((all_ ^ flips).to(torch.uint8))


@pytest.mark.parametrize(("beta", "collapsed"), [(20.0, True), (1.0, False)])
def test_a_collapsed_and_an_honest_model(beta, collapsed, tmp_path):
    """The same data and model; a KL that weighs twenty times leaves the latent unused."""
    data = LoadedData(signal(400, 0), signal(100, 1), signal(100, 2), (D,))
    scheme = vi.Joint(lambda p: torch.optim.Adam(p, lr=0.02))
    result = fit(
        tmp_path,
        given=data,
        bound=vi.Beta(vi.ELBO(), beta),
        scheme=scheme,
        epochs=12,
        batch_size=20,
    )
    said = told_use(result.metrics, vi.ELBO())
    assert ("all 2 latent dimensions are unused" in said) == collapsed
    assert (result.metrics["test/active_units"] == 0) == collapsed
    assert (result.metrics["test/kl"] < 0.1) == collapsed


def printed(bound, **numbers):
    known = {"test/count": 5, "test/elbo": -3.0, "test/kl": 0.5, "test/reconstruction": -2.5}
    console = Console(file=io.StringIO(), width=120)
    console.print(report._table(known | {"test/bound": -2.0} | numbers, bound))
    return console.file.getvalue()


def test_the_table_names_the_bound_that_was_trained():
    """Caught: an IWAE of fifty samples, of which only the ELBO was shown."""
    iwae = printed(vi.IWAE(50))
    assert "IWAE-50" in iwae
    assert "-2.000" in iwae
    assert "ELBO, beta 4" in printed(vi.Beta(vi.ELBO(), 4.0))
    assert "IWAE-5, beta 0.5" in printed(vi.Beta(vi.IWAE(5), 0.5))
    for bound in (vi.ELBO(), vi.EntropyELBO(), vi.LogWeightELBO(3)):
        assert "-2.000" not in printed(bound)
