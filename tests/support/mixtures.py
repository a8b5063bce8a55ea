"""Data for mixtures of three components, and an iteration of EM."""

import torch

from tests.support.parts import part
from vi.config.build import build

N, D, C = 300, 4, 3


def covariance(option, **values):
    return build("covariance", {**part("covariance", option), **values})


def bits(n=N):
    return (torch.rand(C, D)[torch.randint(C, (n,))] > torch.rand(n, D)).double()


def counts(n=N):
    return torch.poisson((8 * torch.rand(C, D))[torch.randint(C, (n,))])


def reals(n=N):
    return 2 * torch.randn(C, D)[torch.randint(C, (n,))] + torch.randn(n, D) @ torch.randn(D, D)


def objective(model, statistics):
    return float((model.free_energy(statistics) + model.log_prior()).detach())


def em_iteration(model, x):
    """Take an iteration of EM; return the objective before the M-step."""
    statistics = model.e_step(x)
    value = objective(model, statistics)
    model.m_step(statistics)
    return value


def scale_tril(model):
    """Return L, (C, D, D), column by column."""
    columns = model.covariance.colour(torch.eye(D)[:, None]).expand(D, C, D)
    return columns.permute(1, 2, 0)
