"""PPCA and factor analysis with parameters at random."""

import torch

import vi
from tests.laws.conftest import POSTERIORS
from tests.support.oracles import SigmaPoints
from vi.models.linear_gaussian import LinearGaussian

N, D, Z = 50, 8, 3
MODELS = {"ppca": vi.PPCA, "factor_analysis": vi.FactorAnalysis}
GAUSSIANS = {k: v for k, v in POSTERIORS.items() if k.endswith("_gaussian")}


def at_random(kind, data_dim: int = D, latent_dim: int = Z, **options) -> LinearGaussian:
    """A model of this kind."""
    model = kind((data_dim,), latent_dim, **options)
    with torch.no_grad():
        model.weight.normal_()
        model.loc.normal_()
        model.log_scale.normal_(-0.3, 0.3)
    return model


def psi(model: LinearGaussian) -> torch.Tensor:
    return (2 * model.log_scale).exp().expand(len(model.loc))


def random_q(num_data: int = N) -> SigmaPoints:
    """A full-covariance q of every datum that has nothing to do with the posterior."""
    tril = torch.randn(num_data, Z, Z).tril(-1) + (torch.rand(num_data, Z) + 0.2).diag_embed()
    return SigmaPoints(torch.randn(num_data, Z), scale_tril=tril)


def answer_with(model, q) -> None:
    """Let the model infer this q; past nn.Module.__setattr__."""
    object.__setattr__(model, "posterior", lambda x, **given: q)


def factor_data(n: int, mean: float = 0.0) -> torch.Tensor:
    """Three factors of different strength, noise of different strength in each entry."""
    weight = torch.linalg.qr(torch.randn(D, Z))[0] * torch.tensor([3.0, 2.0, 1.2])
    noise = torch.randn(n, D) * torch.linspace(0.4, 1.2, D)
    return torch.randn(n, Z) @ weight.mT + noise + torch.randn(D) + mean


@torch.no_grad()
def em(model: LinearGaussian, x: torch.Tensor, steps: int) -> list[float]:
    """Exact EM; log p(x) before each step and after the last, as a mean over the data."""
    values = [model.log_evidence(x).mean().item()]
    for _ in range(steps):
        model.m_step(model.e_step(x))
        values.append(model.log_evidence(x).mean().item())
    return values
