"""The linear probe reads labels from E_q[z] that the model need not have seen."""

import pytest
import torch

import vi
from vi.data.base import DataSet, LoadedData
from vi.diagnoses.base import Subject
from vi.diagnoses.linear_probe import LinearProbe, with_labels


class Kinds(DataSet):
    """Two clouds of points, or points without kinds."""

    def __init__(self, context: str | None = None, distance: float = 20.0) -> None:
        self.context, self.distance = context, distance

    def load(self, seed: int = 0) -> LoadedData:
        kinds = torch.arange(300) % 2
        x = torch.randn(300, 3, generator=torch.Generator().manual_seed(1))
        x[:, 0] += self.distance * kinds
        given = {"context": torch.eye(2)[kinds]} if self.context else {}
        whole = vi.data.Values(x.double(), given)
        rows = torch.arange(300)
        train, test = (whole.taken(part) for part in (rows[:200], rows[200:]))
        return LoadedData(train, None, test, (3,), 2 if self.context else 0, option=self)


def accuracy(option, **options):
    torch.manual_seed(0)
    model = vi.PPCA((3,), latent_dim=1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[5.0], [0.0], [0.0]]))
    data = option.load()
    found = LinearProbe(**options)(Subject(model, data))
    return {number.name: number for number in found.numbers}, found.said


def test_kinds_far_apart_are_read():
    found, said = accuracy(Kinds())
    assert found["accuracy"].value == found["accuracy_from_x"].value == 1
    assert found["most_frequent"].value == 0.5
    assert said[0].startswith("a linear classifier reads the label of 100.0% ± 0.0%")


def test_kinds_that_are_no_different_are_guessed():
    """100 test data: within 4 s.e. of a half. Caught: the accuracy on training data, above."""
    found, _ = accuracy(Kinds(distance=0.0))
    assert abs(found["accuracy"].value - 0.5) < 4 * found["accuracy"].data_error
    assert found["accuracy"].data_error == pytest.approx(0.05, abs=0.005)


def test_labels_are_those_of_the_same_rows():
    """Of digits, by the data with labels. Caught: another split, or another order."""
    plain, labelled = vi.data.Digits("none").load(), vi.data.Digits("none", "label").load()
    found = with_labels(LoadedData(**vars(plain) | {"option": vi.data.Digits("none")}), 0)
    for name in ("train", "val", "test"):
        own, theirs = getattr(found, name), getattr(labelled, name)
        assert torch.equal(own.given["context"], theirs.given["context"])
        assert torch.equal(own.stored, getattr(plain, name).stored)


def test_a_model_that_is_given_the_label_says_so():
    model = vi.VAE(
        (1, 8, 8), vi.MLP([8]), vi.MLP([8]), vi.DiagonalGaussian(2), vi.StandardNormal(2),
        vi.Bernoulli(), context_dim=10,
    )  # fmt: skip
    option = vi.data.Digits("static", "label")
    data = option.load()
    found = LinearProbe(200)(Subject(model, LoadedData(**vars(data) | {"option": option})))
    assert found.said[-1] == "q(z|x) is given the context, so z need not tell it"


def test_data_without_labels_are_refused():
    plain = Kinds().load()
    for option in (None, vi.data.DensityBinary("nltcs")):
        with pytest.raises(vi.ConfigurationError, match="the data have no labels"):
            with_labels(LoadedData(**vars(plain) | {"option": option}), 0)
    table = vi.data.CSV("a.csv")
    with pytest.raises(vi.ConfigurationError, match=r"the data have no labels: data\.context"):
        with_labels(LoadedData(**vars(plain) | {"option": table}), 0)


def test_a_single_label_is_refused():
    class One(Kinds):
        def load(self, seed: int = 0) -> LoadedData:
            data = super().load()
            for split in (data.train, data.test):
                if split.given:
                    split.given["context"] = torch.eye(2)[torch.zeros(len(split), dtype=int)]
            return data

    with pytest.raises(vi.DataError, match="one label"):
        accuracy(One())
