"""A loaded model computes in the precision of its networks."""

import torch

import vi


def test_a_standardised_model_draws_after_it_is_loaded(tmp_path):
    """Caught: noise in the precision of the data's units, for networks in single precision."""
    parts = (vi.MLP([4]), vi.MLP([4]), vi.DiagonalGaussian(2), vi.StandardNormal(2))
    model = vi.VAE((3,), *parts, vi.FixedScaleGaussian(0.1), standardize=True).eval()
    model.initialize(torch.randn(50, 3, dtype=torch.float64))
    vi.save(model, tmp_path)
    loaded = vi.load(tmp_path)
    torch.manual_seed(0)
    expected = model.sample(5)
    torch.manual_seed(0)
    assert torch.equal(loaded.sample(5), expected)
    assert loaded.prior().sample().dtype == torch.float32
