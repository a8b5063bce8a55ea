"""The parts of a step against plain torch code for the same formula."""

from collections.abc import Callable, Sequence

import torch
from _timing import Work, interleaved, table
from sections import _plain, _vi
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn import functional as F

import vi
from vi.data.base import DynamicBits
from vi.distributions.kl import closed_form_kl
from vi.schemes.joint import Joint

_B, _D, _H, _Z, _K = 128, 784, 500, 40, 50
_NOTE = f"""Microseconds, medians of turns in one process, batch {_B}. Densities, networks and
bounds go forwards and backwards. Each pair of formulas is held to give the same number."""


def section(*, quick: bool) -> str:
    """A table."""
    turns = 3 if quick else 9
    torch.manual_seed(0)
    rows = [
        _row(name, *pair, turns)
        for pairs in (_densities(), _bounds(), _mixture(), _batch(), _step())
        for name, pair in pairs.items()
    ]
    return table("Parts of a step", "part | vi | plain torch | ratio", rows, _NOTE)


Pairs = dict[str, tuple[Work, Work]]


def _row(name: str, ours: Work, plain: Work, turns: int) -> str:
    a, b = interleaved(ours, plain, turns=turns)
    return f"{name} | {1e6 * a:.0f} | {1e6 * b:.0f} | {b / a:.2f}"


def _densities() -> Pairs:
    x = torch.randint(0, 2, (_B, _D)).float()
    logits, params = (torch.randn(_B, n, requires_grad=True) for n in (_D, 2 * _Z))
    likelihood, posterior, prior = vi.Bernoulli(), vi.DiagonalGaussian(_Z), vi.StandardNormal(_Z)
    likelihood.set_event_shape((_D,))
    p = prior(posterior)

    def log_p() -> Tensor:
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)

    def kl() -> Tensor:
        mu, log_sigma = params.chunk(2, -1)
        return 0.5 * ((2 * log_sigma).exp() + mu.square() - 1 - 2 * log_sigma).sum(-1)

    ours = lambda: likelihood(logits).log_prob(x).sum()
    ours_kl = lambda: closed_form_kl(posterior(params), p).sum()
    return {
        f"Bernoulli log p, {_D} bits": _gradients(ours, lambda: log_p().sum(), [logits], [logits]),
        f"Gaussian KL, {_Z} latents": _gradients(ours_kl, lambda: kl().sum(), [params], [params]),
    }


def _bounds() -> Pairs:
    x = torch.randint(0, 2, (_B, _D)).float()
    model, plain = _vi.perceptrons(_D, _H, _Z), _plain.perceptrons(_D, _H, _Z)
    _plain.copy_weights(model, plain)
    few, elbo, iwae = x[:16], vi.ELBO(), vi.IWAE(_K)
    losses = {
        f"network {_D}-{_H}-{_H}-{2 * _Z}": (
            lambda: model.encoder(x).square().sum(),
            lambda: plain.encoder(x).square().sum(),
        ),
        f"ELBO, {_D}-{_H}-{_H}-{_Z}": (
            lambda: -elbo(model, x).surrogate.mean(),
            lambda: plain.loss(x),
        ),
        f"IWAE, K={_K}, batch {len(few)}": (
            lambda: -iwae(model, few).surrogate.mean(),
            lambda: plain.iwae_loss(few, _K),
        ),
    }
    inputs = list(model.parameters()), list(plain.parameters())
    return {name: _gradients(*pair, *inputs) for name, pair in losses.items()}


def _mixture() -> Pairs:
    rows, dim, components = 16384, 16, 16
    x = torch.randn(rows, dim, dtype=torch.float64)
    model = vi.GMM((dim,), components, vi.Full())

    def plain() -> Tensor:
        covariance = torch.eye(dim, dtype=x.dtype).expand(components, dim, dim)
        density = MultivariateNormal(model.loc, covariance, validate_args=False)
        return (density.log_prob(x[:, None]) + model.log_weights()).log_softmax(-1)

    def ours() -> Tensor:
        return model.posterior(x).logits

    torch.testing.assert_close(ours(), plain())
    return {f"GMM log-responsibilities, {rows} x {dim}": (_without(ours), _without(plain))}


def _batch() -> Pairs:
    grey = _vi.pictures(10_000, _D)
    bits, floats, index = DynamicBits(grey), grey.float() / 255, torch.randperm(len(grey))[:_B]
    return {
        "fresh bits of a batch": (
            lambda: bits.values(index),
            lambda: torch.bernoulli(floats[index]),
        )
    }


def _step() -> Pairs:
    model, plain = _vi.perceptrons(_D, _H, _Z), _plain.perceptrons(_D, _H, _Z)
    for parameter in (*model.parameters(), *plain.parameters()):
        parameter.grad = torch.randn_like(parameter)
    (ours,), _ = Joint().configure(model, vi.ELBO())
    return {
        "step of the default optimiser": (ours.step, torch.optim.Adam(plain.parameters()).step)
    }


def _gradients(
    ours: Callable[[], Tensor],
    plain: Callable[[], Tensor],
    our_inputs: Sequence[Tensor],
    plain_inputs: Sequence[Tensor],
) -> tuple[Work, Work]:
    torch.testing.assert_close(_with_same_noise(ours), _with_same_noise(plain))
    return _gradient(ours, our_inputs), _gradient(plain, plain_inputs)


@torch.random.fork_rng()
def _with_same_noise(value: Callable[[], Tensor]) -> Tensor:
    torch.manual_seed(0)
    return value()


def _gradient(loss: Callable[[], Tensor], inputs: Sequence[Tensor]) -> Work:
    return lambda: torch.autograd.grad(loss(), inputs, allow_unused=True)


def _without(work: Work) -> Work:
    return torch.no_grad()(work)
