"""Every fast variant computes the plain one."""

from functools import partial

import torch
from torch.optim import Adam, AdamW

import vi
from vi.data.base import Batch
from vi.math import mix
from vi.schemes.gradient import FUSED_ADAM


def elbo_after(optimizer, steps: int = 100) -> torch.Tensor:
    """The ELBO of 64 data after so many steps in single precision, each with its own noise."""
    torch.manual_seed(0)
    x = torch.rand(64, 20).round()
    parts = (vi.MLP([32]), vi.MLP([32]), vi.DiagonalGaussian(3), vi.StandardNormal(3))
    model = vi.VAE((20,), *parts, vi.Bernoulli())
    scheme = vi.Joint(optimizer)
    optimizers, _ = scheme.configure(model, vi.ELBO())
    for step in range(steps):
        torch.manual_seed(mix(0, step))
        scheme.step(vi.ELBO(), model, Batch(x, {}), optimizers, torch.Tensor.backward)
    torch.manual_seed(1)
    with torch.no_grad():
        return vi.ELBO(1000)(model, x).value.mean()


def test_the_fused_optimizer_is_the_plain_one():
    """ELBO within 1e-5 relative after 100 steps. Caught: weight decay that is not decoupled."""
    plain = elbo_after(partial(Adam, lr=1e-2))
    assert (plain - elbo_after(partial(FUSED_ADAM, lr=1e-2))).abs() <= 1e-5 * plain.abs()
    assert (plain - elbo_after(partial(Adam, lr=1e-2), steps=0)).abs() > 0.1
    decoupled = partial(AdamW, lr=1e-2, weight_decay=0.1)
    plain = elbo_after(decoupled)
    assert (plain - elbo_after(partial(decoupled, fused=True))).abs() <= 1e-5 * plain.abs()
    mistaken = elbo_after(partial(Adam, lr=1e-2, weight_decay=0.1, fused=True))
    assert (plain - mistaken).abs() > 1e-3 * plain.abs()
