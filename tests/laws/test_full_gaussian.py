"""The full-covariance posterior: laws beyond those of every posterior."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import MultivariateNormal

import vi
from vi.distributions.kl import closed_form_kl


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_parameters_are_read_as_declared(latent_dim):
    """loc, log s and the numbers below the diagonal divided by n form L = diag(s) T, bit for bit.

    Caught: the part below the diagonal put above it; the numbers without the division.
    """
    head = vi.FullGaussian(latent_dim)
    params = torch.randn(7, *head.out_shape)
    loc, log_scale, below = head.split(params)
    q = head(params)
    rows = [q.unit_tril[:, i, j] for i in range(latent_dim) for j in range(i)]
    assert torch.equal(q.loc, loc)
    assert torch.equal(q.scale_tril.diagonal(dim1=-2, dim2=-1), log_scale.exp())
    assert torch.equal(q.scale_tril, log_scale.exp()[..., None] * q.unit_tril)
    assert torch.equal(torch.stack([*rows, loc[:, 0]], -1)[:, :-1], below / max(1, len(rows)))
    assert torch.equal(q.scale_tril, q.scale_tril.tril())


def test_every_gaussian_is_one_of_them():
    """Any covariance can be written in these parameters: at most 1e-12.

    Caught: the part below the diagonal put above it.
    """
    root = torch.randn(20, 4, 4)
    covariance = root @ root.mT + 0.1 * torch.eye(4)
    tril = torch.linalg.cholesky(covariance)
    rows, columns = torch.tril_indices(4, 4, -1)
    scale = tril.diagonal(dim1=-2, dim2=-1)
    below = (tril / scale[..., None])[:, rows, columns]
    q = vi.FullGaussian(4)(torch.cat([torch.zeros(20, 4), scale.log(), 6 * below], -1))
    assert (q.covariance_matrix - covariance).abs().max() <= 1e-12


def test_nothing_below_the_diagonal_is_the_diagonal_gaussian():
    """With T = I density, entropy and KL are those of the diagonal Gaussian: at most 1e-12."""
    params, z = torch.randn(20, 6), torch.randn(9, 20, 3)
    full = vi.FullGaussian(3)(torch.cat([params, torch.zeros(20, 3)], -1))
    diagonal = vi.DiagonalGaussian(3)(params)
    p = vi.StandardNormal(3)()
    pairs = [
        (full.log_prob(z), diagonal.log_prob(z)),
        (full.entropy(), diagonal.entropy()),
        (closed_form_kl(full, p), closed_form_kl(diagonal, p)),
    ]
    for one, other in pairs:
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_gradcheck_of_a_draw_and_of_the_kl():
    """Gradients of a draw and of the KL agree with finite differences. Caught: a detached L."""
    params, noise_seed = torch.randn(4, 9, requires_grad=True), 3

    def draw(params):
        torch.manual_seed(noise_seed)
        return vi.FullGaussian(3)(params).rsample((2,))

    p = vi.StandardNormal(3)()
    assert gradcheck(draw, (params,))
    assert gradcheck(lambda params: closed_form_kl(vi.FullGaussian(3)(params), p), (params,))


def test_trains_with_every_bound(make_bound, small_vae, data):
    """Every bound has values (50,) and a gradient for every output of the encoder."""
    head = vi.FullGaussian(2)
    model = small_vae(posterior=head)
    estimate = make_bound(num_samples=3)(model, data)
    estimate.surrogate.mean().backward()
    last = model.encoder.layers[-1].weight.grad
    assert estimate.value.shape == (50,)
    assert last.shape[0] == head.out_shape[0]
    assert (last.abs().amax(1) > 0).all()


def test_one_pass_is_the_same_as_two():
    """log q of a draw equals torch's density, with the same total gradient: at most 1e-10.

    Caught: the noise in place of L times the noise; log s left out.
    """
    head = vi.FullGaussian(3)
    params = torch.randn(4, 9, requires_grad=True)
    q = head(params)
    z, log_q = q.rsample_and_log_prob((7,))
    theirs = MultivariateNormal(q.loc, scale_tril=q.scale_tril)
    for other in (q.log_prob(z), theirs.log_prob(z)):
        assert torch.allclose(log_q, other, rtol=1e-10)
        of_one, of_two = (
            torch.autograd.grad(value.sum(), params, retain_graph=True)[0]
            for value in (log_q, other)
        )
        assert torch.allclose(of_one, of_two, rtol=1e-8, atol=1e-10)
    many = torch.randn(2, 5, 4, 3)
    assert torch.allclose(q.log_prob(many), theirs.log_prob(many), rtol=1e-10)


def test_refuses_no_dimensions():
    with pytest.raises(vi.ConfigurationError, match="latent_dim must be greater than 0"):
        vi.FullGaussian(0)
