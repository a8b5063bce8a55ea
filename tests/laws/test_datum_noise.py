"""A mean over a data set does not depend on how the data are divided into batches."""

import pytest
import torch
from torch import Tensor

import vi
from tests.support.oracles import LinearGaussian, exact_diagonal, inflated
from vi.distributions.datum_noise import datum_noise

N = 70
BATCH_SIZES = [1, 7, 64, N]


def _log_likelihood(model, x: Tensor, **given: Tensor) -> Tensor:
    return vi.log_likelihood(model, x, num_samples=20, **given).value


def _value(make_bound):
    bound = make_bound(num_samples=3)
    return lambda model, x, **given: bound(model, x, **given).value


@torch.no_grad()
def _mean(values, model, x: Tensor, order: Tensor, batch_size: int) -> float:
    """Return the mean over these data in this order, batch by batch, summed in float64."""
    total = 0.0
    for rows in order.split(batch_size):
        with datum_noise(11, rows):
            total += values(model, x[rows]).double().sum().item()
    return total / len(x)


def _strided_mean(values, model, x: Tensor, processes: int, batch_size: int) -> float:
    """Return the same mean with datum i on process i mod n."""
    shares = [torch.arange(rank, len(x), processes) for rank in range(processes)]
    return sum(_mean(values, model, x, share, batch_size) for share in shares)


def _spread(values, model, x: Tensor) -> float:
    everything = torch.arange(len(x))
    means = [_mean(values, model, x, everything, size) for size in BATCH_SIZES]
    means += [_strided_mean(values, model, x, processes, 64) for processes in (2, 3)]
    means += [_mean(values, model, x, torch.randperm(len(x)), 64)]
    return max(means) - min(means)


@pytest.mark.parametrize("kind", ["factorised", "full"])
def test_bounds_do_not_depend_on_the_batch(make_bound, kind):
    """Batches of 1, 7, 64, N, shares of 2 and 3 processes, another order: at most 1e-12.

    Caught: a seed from the row in the batch in place of the datum.
    """
    model = LinearGaussian.random(infer=inflated(1.5))
    if kind == "factorised":
        model.infer, model.given_prior = exact_diagonal, vi.StandardNormal(3)()
    assert _spread(_value(make_bound), model, model.sample(N)) <= 1e-12


def test_log_likelihood_does_not_depend_on_the_batch(small_vae):
    """log p(x) does not either: at most 1e-12.

    Caught: groups without ``groups_of_rows``; strided memory filled in place.
    """
    assert _spread(_log_likelihood, small_vae(), torch.randn(N, 6)) <= 1e-12


def test_single_precision(make_bound, small_vae):
    """Bounds in float32 do not depend on the batch: at most 1e-6 relative to the mean."""
    x = torch.randn(N, 6)
    model = small_vae().float()
    size = abs(_mean(_value(make_bound), model, x.float(), torch.arange(N), N))
    assert _spread(_value(make_bound), model, x.float()) <= 1e-6 * max(1.0, size)


def test_log_likelihood_in_single_precision(small_vae):
    """log p(x) in float32 does not depend on the batch: at most 1e-6 relative to the mean."""
    x = torch.randn(N, 6).float()
    model = small_vae().float()
    size = abs(_mean(_log_likelihood, model, x, torch.arange(N), N))
    assert _spread(_log_likelihood, model, x) <= 1e-6 * max(1.0, size)


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 7])
@pytest.mark.parametrize("num_samples", [1, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_no_shape_confuses_the_noise(small_vae, latent_dim, num_samples, batch_size):
    """Where K, B and Z coincide in any way, a datum has the same noise alone.

    Caught: the axis of the batch found by its size alone.
    """
    model, x = small_vae(latent_dim=latent_dim), torch.randn(batch_size, 6)
    bound = vi.IWAE(num_samples)
    with datum_noise(0, range(batch_size)):
        together = bound(model, x).value
    for b in range(batch_size):
        with datum_noise(0, [b]):
            alone = bound(model, x[b : b + 1]).value
        assert (alone - together[b]).abs().max() <= 1e-12


def test_neighbouring_data_have_unrelated_noise():
    """Noise of adjacent data is uncorrelated: 5 000 data, seed 0, within 4 s.e. (1 in 16 000).

    Caught: every datum given the same noise.
    """
    q = vi.StandardNormal(1)().expand((5000,))
    with datum_noise(0, range(5000)):
        z = vi.distributions.draw.draw(q, 1).z
    product = (z[0, :-1] * z[0, 1:]).flatten()
    assert product.mean().abs() <= 4 * product.std() / len(product) ** 0.5
    assert abs(z.std() - 1) <= 4 / 10_000**0.5


def test_draws_differ_and_the_state_outside_is_untouched(small_vae, data):
    """A second draw or another seed gives new noise; the generator outside continues unchanged.

    Caught: the count of draws or the seed left out; a generator left in another state.
    """
    model, bound = small_vae(), vi.LogWeightELBO()
    before = torch.get_rng_state()
    with datum_noise(0, range(50)):
        first, second = bound(model, data).value, bound(model, data).value
    with datum_noise(1, range(50)):
        other = bound(model, data).value
    assert torch.equal(torch.get_rng_state(), before)
    assert (first != second).all()
    assert (first != other).all()
