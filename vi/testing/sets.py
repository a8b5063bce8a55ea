"""The laws of data sets and of evaluations."""

import math

import torch

import vi
from vi.config.build import build
from vi.config.conversion import from_config, to_config
from vi.data.base import DataSet, LoadedData, Split, Values
from vi.evaluation.base import Evaluation
from vi.evaluation.over_split import evaluate
from vi.testing.base import Laws, data, plugins_of, vae


class DataLaws(Laws):
    """Laws of data sets. Write ``make``."""

    def make(self) -> DataSet:
        """Return the data set under test, with few data."""
        raise NotImplementedError

    def test_every_split_holds_data_of_one_shape(self) -> None:
        """Splits are finite (N, *shape) with a row of each condition; facts have ``data/name``."""
        loaded = self.make().load(0)
        assert loaded.facts["data/name"]
        for split in _splits(loaded):
            batch = split.batch(torch.arange(len(split)))
            assert len(split) > 0
            assert batch.x.shape == (len(split), *loaded.shape)
            assert batch.x.isfinite().all() or split.observed is not None
            for name, rows in batch.given.items():
                assert len(rows) == len(split), name
            if loaded.context_dim:
                assert batch.given["context"].shape == (len(split), loaded.context_dim)

    def test_it_is_the_same_every_time(self) -> None:
        """The same seed gives the same data, whatever was drawn before."""
        loads = []
        for noise in (0, 1):
            torch.manual_seed(noise)
            loads.append(self.make().load(0))
        for one, other in zip(*map(_splits, loads), strict=True):
            index = torch.arange(len(one))
            assert torch.equal(one.frozen(0).values(index), other.frozen(0).values(index))

    def test_it_leaves_the_random_numbers_alone(self) -> None:
        """Loading restores the random state, so that it does not affect the draws of a run."""
        before = torch.get_rng_state()
        self.make().load(0)
        assert torch.equal(torch.get_rng_state(), before)

    def test_it_is_saved_by_its_name(self) -> None:
        """The data set is saved by name with its arguments."""
        part = self.make()
        plugins = plugins_of(part)
        described = to_config("data", part, plugins)
        again = build("data", from_config("data", described, plugins), plugins=plugins)
        assert again.arguments == part.arguments


class EvaluationLaws(Laws):
    """Laws of evaluations. Write ``make``."""

    def make(self) -> Evaluation:
        """Return the evaluation under test."""
        raise NotImplementedError

    @torch.no_grad()
    def test_it_gives_a_number_for_each_datum(self) -> None:
        """Each column is (B,) and finite."""
        columns = self.make()(vae().eval(), data(7))
        assert columns
        for name, column in columns.items():
            assert column.shape == (7,), name
            assert column.isfinite().all(), name

    def test_it_gives_named_numbers_for_a_split(self) -> None:
        """The numbers of a split are finite, and the same at each call with one seed."""
        model, split = vae(), Values(data(20))
        one, other = (evaluate(model, split, vi.ELBO(), self.make(), seed=1) for _ in range(2))
        assert one == other
        without = evaluate(model, split, vi.ELBO(), seed=1)
        own = one.keys() - without.keys()
        assert own, "it adds no number"
        assert all(math.isfinite(one[name]) for name in own)

    def test_it_leaves_the_model_alone(self) -> None:
        """Evaluation changes neither the weights nor the mode of the model."""
        model = vae().train()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        evaluate(model, Values(data(20)), vi.ELBO(), self.make(), seed=1)
        assert model.training
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())

    def test_a_yaml_names_it(self) -> None:
        """A yaml in configs/evaluation names the evaluation."""
        part = self.make()
        assert to_config("evaluation", part, plugins_of(part))["option"]


def _splits(loaded: LoadedData) -> list[Split]:
    """Return the splits of a data set that are not None."""
    return [split for split in (loaded.train, loaded.val, loaded.test) if split is not None]
