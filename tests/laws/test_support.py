"""Values outside the support of a likelihood give the same message wherever they are found."""

import pytest
import torch
from torch.distributions import constraints

import vi
from tests.support.tiny import D, vae
from vi.data.base import LoadedData, Values
from vi.errors import DataError
from vi.support import first_of, outside, told


def test_training_and_inference_say_the_same_of_the_same_values():
    """The messages differ only in the data that they name.

    Caught: three sentences that drift apart.
    """
    x = torch.zeros(4, D)
    x[2, 1] = 0.5
    with pytest.raises(DataError) as of_training:
        vi.fit(vae(), LoadedData(Values(x), None, Values(x), (D,)), progress_bar=False)
    with pytest.raises(DataError) as of_inference:
        vae().posterior(x)
    said = (
        "Bernoulli needs 0/1 data; got values in [0.00, 0.50] "
        "(first outside: 0.5 in item 2, entry [1])"
    )
    assert str(of_inference.value) == said
    assert str(of_training.value).replace(" in the training data", "") == said


def test_vectors_of_which_nothing_is_known_are_told():
    """A support of whole vectors reports unknown ones too. Caught: the minimum of nothing."""
    x, known = torch.full((2, 3), 0.5), torch.zeros(2, 3, dtype=torch.bool)
    bad = outside(constraints.simplex, x, known)
    assert bad.tolist() == [True, True]
    said = told(vi.Bernoulli(), [(x, known)], first_of(bad, x))
    assert "got nothing that is known (first outside: item 0)" in said
