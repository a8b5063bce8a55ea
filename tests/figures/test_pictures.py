"""Pictures show what they say, pixel for pixel, and disturb nothing."""

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.distributions import Independent, Normal

import vi
from vi.data.base import LoadedData, Values
from vi.figures.pictures import grids, save_pictures
from vi.training.callbacks.pictures import Pictures

SHAPES = [(1, 8, 6), (3, 7, 5), (2, 4, 4), (5,), (1,)]


def make_model(shape, latent_dim=2, context_dim=0):
    head = vi.FixedScaleGaussian(0.1)
    parts = (vi.MLP([6]), vi.MLP([6]), vi.DiagonalGaussian(latent_dim))
    return vi.VAE(shape, *parts, vi.StandardNormal(latent_dim), head, context_dim)


def make_data(shape, context_dim=0, n=40):
    given = (
        {"context": torch.eye(context_dim)[torch.arange(n) % context_dim]} if context_dim else {}
    )
    parts = [Values(torch.rand(n, *shape), given) for _ in range(3)]
    return LoadedData(*parts, tuple(shape), context_dim)


class Mirror(vi.VAE):
    """Reconstructs data as 1 - x."""

    def reconstruct(self, x, **given):
        return 1 - x


class Numbered(vi.VAE):
    """Its samples show the number of their context."""

    def sample_mean(self, n, context=None, **given):
        levels = context.argmax(1) / (context.shape[1] - 1)
        return levels.view(n, 1, 1, 1).expand(n, *self.data_shape)


class Plane(vi.VAE):
    """Its red is the quantile of z_1, its green that of z_2."""

    def likelihood(self, z, **given):
        p = torch.special.ndtr(z)
        mean = torch.stack([p[..., 0], p[..., 1], p[..., 0]], dim=-1)[..., None, None]
        return Independent(Normal(mean, 1.0), 3)


@pytest.mark.parametrize(("shape", "context_dim"), [*((s, 3) for s in SHAPES), (SHAPES[0], 0)])
def test_the_same_model_and_seed_give_the_same_files(shape, context_dim, tmp_path):
    model, data = make_model(shape, context_dim=context_dim), make_data(shape, context_dim)
    one = save_pictures(model, data, shape, tmp_path, seed=0)
    first = [p.read_bytes() for p in one]
    assert [p.read_bytes() for p in save_pictures(model, data, shape, tmp_path, seed=0)] == first
    plane = ["latent_plane"]
    assert [p.stem for p in one] == ["samples", "reconstructions", *plane]
    if shape == SHAPES[-1]:
        other = save_pictures(model, data, shape, tmp_path, seed=1)
        assert other[0].read_bytes() != first[0]


def test_the_random_state_and_the_mode_stay():
    """Caught: pictures that drew from the training noise."""
    model, data = make_model((1, 8, 6)).train(), make_data((1, 8, 6))
    model.encoder.eval()
    state = torch.get_rng_state()
    grids(model, data.test, (1, 8, 6), seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not model.encoder.training


def test_data_beyond_one_are_scaled():
    """Caught: grey levels of 0 to 16 that were clamped to white."""
    shape = (1, 2, 2)
    split = Values(16 * torch.arange(32.0).view(-1, 1, 1, 1).expand(-1, *shape) / 31)
    grid = grids(Mirror(**make_model(shape).arguments), split, shape, seed=0)["reconstructions"]
    torch.testing.assert_close(grid[0, 1, 1 + 3 * 15], torch.tensor(15 / 31))


def test_samples_that_are_not_finite_are_left_out_of_a_table(tmp_path):
    model = make_model((3,))
    with torch.no_grad():
        model.decoder.layers[-1].bias.fill_(torch.inf)
    assert len(save_pictures(model, make_data((3,)), (3,), tmp_path, seed=0)) == 3


def test_a_reconstruction_stands_under_its_datum():
    """Rows of 16 data, each above its reconstructions, with one pixel between all images."""
    shape = (3, 7, 5)
    data = make_data(shape).test
    grid = grids(Mirror(**make_model(shape).arguments), data, shape, seed=0)
    x = data.values(data.spread(32))
    for i in range(32):
        row, column = 2 * (i // 16), i % 16
        for below, expected in ((0, x[i]), (1, 1 - x[i])):
            top, left = 1 + (row + below) * 8, 1 + column * 6
            tile = grid["reconstructions"][:, top : top + 7, left : left + 5]
            torch.testing.assert_close(tile, expected, rtol=0, atol=0)


def test_samples_stand_in_the_order_of_their_contexts():
    shape = (1, 2, 2)
    model = Numbered(**make_model(shape, 2, 4).arguments)
    grid = grids(model, make_data(shape, 4).test, shape, seed=0)["samples"]
    levels = grid[0, 1::3, 1::3].flatten()
    assert torch.equal(levels, levels.sort().values)
    assert torch.equal(levels.unique(), torch.arange(4) / 3)


def test_on_the_plane_the_first_latent_grows_rightwards_and_the_second_upwards():
    model = Plane(**make_model((3, 1, 1)).arguments)
    grid = grids(model, make_data((3, 1, 1)).test, (3, 1, 1), seed=0)["latent_plane"]
    quantiles = (torch.arange(15) + 0.5) / 15
    torch.testing.assert_close(grid[0, 1, 1::2], quantiles, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grid[1, 1::2, 1], quantiles.flip(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 6), (5,)])
def test_tensorboard_has_the_pictures(shape, tmp_path):
    data = make_data(shape)
    result = vi.fit(
        make_model(shape),
        data,
        epochs=3,
        run_dir=tmp_path,
        callbacks=[Pictures(every_n_epochs=2)],
        progress_bar=False,
        device="cpu",
    )
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    tags = [f"val_pictures/{name}" for name in ("latent_plane", "reconstructions", "samples")]
    assert sorted(events.Tags()["images"]) == tags
    steps = [e.step for e in events.Images("val_pictures/samples")]
    assert steps == ([2, 3] if len(shape) == 3 else [3])
    assert (result.run_dir / "samples.png").exists()
