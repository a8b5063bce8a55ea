"""PPCA of many data of many entries starts from their principal axes, found in a few passes."""

import pytest
import torch

import vi
from tests.laws.test_arrival import shortfall, trained
from vi.models.krylov import krylov_rows


@pytest.fixture(autouse=True)
def _double(float64):
    """Laws run in double precision."""


def noise(n, d):
    """All eigenvalues of its covariance lie close together: the hardest for a few passes."""
    x = torch.randn(n, d)
    return x - x.mean(0)


@pytest.mark.parametrize("make", [noise, lambda n, d: noise(n, d) * 0.7 ** torch.arange(d)])
def test_rows_have_the_principal_axes(make):
    """Eigenvalues of R'R are at most those of S, and the five greatest equal: 1e-7 relative.

    Caught: a block that is not orthogonal to those before; the first block alone.
    """
    x = make(300, 200)
    rows = krylov_rows(x, torch.randn(200, 8), 5)
    assert len(rows) < 200
    true, found = (torch.linalg.eigvalsh(m).flip(0) for m in (x.mT @ x / len(x), rows.mT @ rows))
    assert (found <= true + 1e-12 * true[0]).all()
    assert (found / true - 1)[:5].abs().max() <= 1e-7


def test_rows_stand_data_of_little_rank():
    """Three directions for a block of eight. Caught: a division by what is left, 0."""
    x = noise(100, 3) @ torch.randn(3, 80)
    rows = krylov_rows(x, torch.randn(80, 8), 5)
    assert (rows.mT @ rows - x.mT @ x / len(x)).abs().max() <= 1e-9


@pytest.mark.parametrize(
    ("n", "d", "latent_dim"),
    [
        (1060, 1040, 3),
        pytest.param(2100, 1500, 20, marks=pytest.mark.slow),
        pytest.param(1300, 1400, 400, marks=pytest.mark.slow),
    ],
)
def test_ppca_of_wide_noise_arrives(n, d, latent_dim):
    """N and D above 1024: within 1e-6 nats per datum of the closed form, in five epochs.

    Caught: the axes of 1024 random data (0.11 nats short).
    """
    x = noise(n, d)
    model = vi.PPCA((d,), latent_dim)
    model.initialize(x)
    assert trained(model, x) <= 5
    assert -1e-8 <= shortfall(model, x) <= 1e-6


@pytest.mark.slow
@torch.no_grad()
def test_factor_analysis_of_wide_data_starts_from_some_of_them():
    """Twice 1024 and more: the noise of every entry is in its start. Caught: a noise of 0."""
    x = noise(1300, 1200) + torch.randn(1300, 2) @ torch.randn(2, 1200)
    model = vi.FactorAnalysis((1200,), 2, restarts=1)
    model.initialize(x)
    assert (2 * model.log_scale).exp().median().item() == pytest.approx(1.0, abs=0.1)
