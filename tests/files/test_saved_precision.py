"""A loaded model computes in the precision that it was saved in, with all that is not saved."""

import pytest
import torch

import vi

MODELS = {
    "networks": lambda: _vae(),
    "standardised": lambda: _vae(standardize=True),
    "exact": lambda: vi.PPCA((3,), 2),
    "exact with networks": lambda: vi.PPCA((3,), 2, inference=_amortized()),
}


def _amortized():
    return vi.Amortized(vi.MLP([4]), vi.FullGaussian(2))


def _vae(**options):
    parts = vi.MLP([4]), vi.MLP([4]), vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Gaussian()
    return vi.VAE((3,), *parts, **options)


@pytest.fixture(autouse=True)
def _default():
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


BOTH = (torch.float32, torch.float64)
CASES = [(kind, default, default) for kind in MODELS for default in BOTH]
OTHERWISE = [(kind, *pair) for kind in ("networks", "exact") for pair in (BOTH, BOTH[::-1])]


@pytest.mark.parametrize(("kind", "saved", "later"), [*CASES, *OTHERWISE])
def test_it_samples_and_encodes_as_before(tmp_path, kind, saved, later):
    """Bit by bit, whatever the default precision is then.

    Caught: a standardised model whose z was double, as the mean of the data is: no sample.
    """
    torch.set_default_dtype(saved)
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    x = torch.randn(50, 3)
    model.initialize(x.double() if model.takes_doubles else x)
    vi.save(model, tmp_path)
    torch.set_default_dtype(later)
    loaded, found = vi.load(tmp_path), []
    for one in (model, loaded):
        torch.manual_seed(1)
        found.append((one.encode(x[:5]), one.sample(4)))
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
