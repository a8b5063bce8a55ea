"""The first centres of a mixture, and which of several starts goes on."""

import math

import pytest
import torch

import vi
from tests.support.mixtures import D, objective, reals
from tests.support.parts import part
from vi.config.build import build
from vi.config.registry import options
from vi.covariances.full import Full
from vi.initializations.random import RandomData
from vi.models.gmm import GMM
from vi.models.successive_halving import SuccessiveHalving


@pytest.mark.parametrize("option", options("initialization"))
def test_centres_are_different_data(option):
    """Each is a row of x, and no two are equal, though 9 of 10 rows are. Caught: duplicates."""
    x = torch.cat([torch.zeros(90, 2), torch.randn(10, 2)])
    initialization = build("initialization", part("initialization", option))
    centres = initialization.centres(x, 11)
    assert len(centres.unique(dim=0)) == 11
    assert all((x == centre).all(1).any() for centre in centres)
    with pytest.raises(vi.DataError, match="12 components are more than the 11 different") as told:
        initialization.centres(x, 12)
    assert told.value.hint == "model.num_components=11 or less"


def test_kmeans_plus_plus_weighs_by_squared_distance():
    """Of one trial: after 0 come 1 or 3 with odds 1 : 9; 4 000 starts, 5 s.e. (1 in 10^6).

    Caught: the distance in place of its square.
    """
    x = torch.tensor([[0.0]] * 50 + [[1.0], [3.0]])
    starts = [vi.KMeansPlusPlus(trials=1).centres(x, 2).flatten() for _ in range(4000)]
    second = torch.stack([s[1] for s in starts if s[0] == 0])
    share = (second == 3).double().mean()
    assert (share - 0.9).abs() <= 5 * math.sqrt(0.09 / len(second))


def test_the_best_of_several_starts_goes_on(monkeypatch):
    """Its objective is the greatest of all, of six starts and of the better three and two.

    Caught: the last start kept.
    """
    x = reals()
    model = GMM((D,), 8, Full(prior_count=1.0), RandomData(), restarts=6)
    tried = []
    climb = SuccessiveHalving._climb

    def climbing(*given):
        tried.append(climb(*given))
        return tried[-1]

    monkeypatch.setattr(SuccessiveHalving, "_climb", climbing)
    model.initialize(x)
    tried, stands = zip(*tried, strict=True)
    assert len(set(tried)) == len(tried) == 6 + 3 + 2 - sum(stands[6:9])
    assert max(tried[6:9]) > max(tried[:6])
    assert objective(model, model.e_step(x)) == pytest.approx(max(tried), rel=1e-12)
