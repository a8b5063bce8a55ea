"""Exact models through vi.fit: where they start, what is kept, what is drawn, what is refused."""

import csv

import pytest
import torch

import vi
from vi.cli.plot import plot
from vi.data.base import DynamicBits, LoadedData, Values
from vi.errors import CheckpointError, ConfigurationError, DataError
from vi.figures.pictures import figures, grids


def data(rows=60, dim=4, **changes):
    x = torch.randn(rows, dim, generator=torch.Generator().manual_seed(1))
    x[::2] += 4
    parts = {"train": Values(x), "val": Values(x[:13].clone()), "test": Values(x[13:30].clone())}
    return LoadedData(**(parts | changes), shape=(dim,), facts={"data/name": "toy"})


def gmm(num_components=2, dim=4, covariance=None):
    return vi.GMM((dim,), num_components, covariance or vi.Full(prior_count=1.0))


bits = DynamicBits(torch.full((9, 4), 100, dtype=torch.uint8))


def fit(tmp_path, model, given=None, epochs=4, **options):
    defaults = {"callbacks": [], "progress_bar": False, "device": "cpu", "batch_size": 16}
    options = defaults | {"evaluation": vi.ImportanceSampling(10)} | options
    return vi.fit(model, given or data(), epochs=epochs, run_dir=tmp_path, **options)


def test_exact_em_ends_where_the_last_m_step_left_it(tmp_path):
    """Caught: the weights of the best validation, which for EM is often the first epoch."""
    model, train = gmm(), data().train.stored
    result = fit(tmp_path, model, scheme=vi.ExactEM(tolerance=0.0), epochs=5)
    by_hand = gmm()
    torch.manual_seed(0)
    by_hand.initialize(train)
    for _ in range(5):
        by_hand.m_step(by_hand.e_step(train))
    assert result.metrics["weights"] == "last"
    for name, value in by_hand.state_dict().items():
        torch.testing.assert_close(result.model.state_dict()[name], value, rtol=1e-9, atol=1e-9)


def test_the_exact_evidence_stands_beside_its_estimate(tmp_path):
    metrics = fit(tmp_path, gmm(), scheme=vi.ExactEM()).metrics
    assert metrics["test/log_likelihood"] == pytest.approx(metrics["test/log_evidence"], abs=1e-9)
    assert metrics["test/elbo"] == pytest.approx(metrics["test/log_evidence"], abs=1e-9)


def test_another_mixture_is_a_start(tmp_path):
    """A k-means run starts a full mixture: one M-step on what k-means infers.

    Caught: its own random start kept in place of the other's responsibilities.
    """
    spherical = gmm(covariance=vi.Spherical(tied=True))
    fit(tmp_path / "a", spherical, scheme=vi.HardEM(), epochs=3)
    x = data().train.stored
    expected = gmm()
    torch.manual_seed(0)
    expected.initialize(x)
    expected.m_step(expected.statistics(x, vi.load(tmp_path / "a").posterior(x)))
    expected.m_step(expected.e_step(x))
    started = fit(tmp_path / "b", gmm(), scheme=vi.ExactEM(), epochs=1, init_from=tmp_path / "a")
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(started.model.state_dict()[name], value, rtol=1e-8, atol=1e-8)
    with pytest.raises(CheckpointError, match=r"shape \(2,\), that of the model \(3,\)"):
        fit(tmp_path / "c", gmm(3), scheme=vi.ExactEM(), init_from=tmp_path / "a")


def test_the_same_model_starts_with_its_own_weights(tmp_path):
    one = fit(tmp_path / "a", gmm(), scheme=vi.ExactEM(), epochs=3)
    two = fit(tmp_path / "b", gmm(), scheme=vi.ExactEM(), epochs=1, init_from=tmp_path / "a")
    again = vi.load(one.run_dir)
    x = data().train.stored
    again.m_step(again.e_step(x))
    torch.testing.assert_close(two.model.loc, again.loc, rtol=1e-9, atol=1e-9)


def test_evaluations_are_a_budget(tmp_path):
    """4 steps an epoch of 1 + 1 evaluations a datum: 5 evaluations end within epoch 3.

    Caught: a budget in optimiser steps; evaluations of the validation counted.
    """
    head = vi.SharedScaleGaussian()
    parts = (vi.MLP([5]), vi.MLP([5]), vi.DiagonalGaussian(2), vi.StandardNormal(2), head)
    options = {"max_evaluations": 5.0, "steps_per_call": 1, "loggers": []}
    result = fit(tmp_path, vi.VAE((4,), *parts), epochs=50, **options)
    assert result.metrics["train/steps"] == 10
    assert result.metrics["spent/encoder_evaluations"] <= 3


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: (gmm(), vi.IWAE(3), vi.Joint(), data()), ConfigurationError, "reparameterised"),
        (lambda: (gmm(), vi.ELBO(), vi.Alternating(), data()), ConfigurationError, "no encoder"),
        (lambda: (gmm(61), vi.ELBO(), vi.ExactEM(), data()), DataError, "61 components"),
        (
            lambda: (vi.BernoulliMixture((4,), 2), vi.ELBO(), vi.ExactEM(), data()),
            DataError,
            "needs 0/1 data",
        ),
        (
            lambda: (
                vi.BernoulliMixture((4,), 2),
                vi.ELBO(),
                vi.ExactEM(),
                LoadedData(bits, None, Values(torch.ones(9, 4)), (4,)),
            ),
            ConfigurationError,
            "same data in every epoch",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_a_run_begins(make, error, said, tmp_path):
    model, bound, scheme, given = make()
    with pytest.raises(error, match=said):
        fit(tmp_path / "run", model, given, bound=bound, scheme=scheme)
    assert not (tmp_path / "run").exists()


def test_components_are_drawn_by_falling_weight():
    """Caught: the order of the parameters; the prior's draw in place of its support."""
    model = vi.GMM((1, 2, 2), 3, vi.Spherical())
    with torch.no_grad():
        model.loc.copy_(torch.tensor([0.2, 0.4, 0.6])[:, None])
        model.weight_logits.copy_(torch.tensor([0.0, 2.0, 1.0]))
    split = Values(torch.rand(5, 4))
    grid = grids(model, split, (1, 2, 2), seed=0)["components"]
    shown = [grid[0, 1, 1 + 3 * k].item() for k in range(3)]
    assert shown == pytest.approx([0.4, 0.6, 0.2])


def test_directions_go_both_ways():
    model = vi.PPCA((1, 2, 2), 1)
    with torch.no_grad():
        model.loc.fill_(0.5)
        model.weight.fill_(0.1)
    grid = grids(model, Values(torch.rand(5, 4)), (1, 2, 2), seed=0)["directions"]
    assert [grid[0, 1, 1].item(), grid[0, 1, 4].item()] == pytest.approx([0.3, 0.7])


def test_the_contours_are_those_of_the_density():
    """Of one standard normal component: circles of radius sqrt(-2 level).

    Caught: the axes transposed (a component stretched along x_1).
    """
    model = vi.GMM((2,), 1, vi.Diagonal())
    with torch.no_grad():
        model.loc.zero_()
        model.covariance.log_scale.copy_(torch.tensor([[2.0, 1.0]]).log())
    x = torch.cat([torch.eye(2), -torch.eye(2)]) * 12
    axes = figures(model, Values(x), (2,), 0, {})["density"].axes[0]
    (contours,) = (c for c in axes.collections if hasattr(c, "levels"))
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        radius = (torch.tensor(path.vertices) / torch.tensor([2.0, 1.0])).norm(dim=1)
        torch.testing.assert_close(
            radius, torch.full_like(radius, (-2 * level) ** 0.5), rtol=0.05, atol=0.05
        )


def test_plot_reads_the_curves(tmp_path):
    """Caught: columns of different rows paired."""
    fit(tmp_path / "run", gmm(), scheme=vi.ExactEM(tolerance=0.0), epochs=3, loggers=None)
    path = next((tmp_path / "run").glob("csv/*/metrics.csv"))
    rows = [r for r in csv.DictReader(path.read_text().splitlines()) if r["val/elbo"]]
    assert [float(r["spent/epochs"]) for r in rows] == [1.0, 2.0, 3.0]
    plot([str(tmp_path / "run")], "val/elbo", "encoder_evaluations", str(tmp_path / "p.png"), [])
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ConfigurationError, match="no curve val/elbow"):
        plot([str(tmp_path / "run")], "val/elbow", "step", str(tmp_path / "q.png"), [])
    with pytest.raises(CheckpointError, match="contains no csv"):
        plot([str(tmp_path)], "val/elbo", "step", str(tmp_path / "q.png"), [])
