"""Counts in cells, against the numbers of their files."""

from functools import cache

import numpy as np
import pytest
import torch

import vi
from tests.support.oracles import standard_error
from vi.cli.composing.compose import composed
from vi.cli.train import train
from vi.config.run import Run
from vi.data.single_cell import SMFish, WormNeurons
from vi.errors import ConfigurationError, DataError

# {class: ((cells, genes), sum of the counts, entries that are not zero, largest count)}
SETS = {
    SMFish: ((4530, 33), None, None, 342),
    WormNeurons: ((4186, 13488), 1_376_141, 780_212, None),
}


@cache
def loaded(cls, *arguments):
    return cls(**dict(arguments)).load()


def present(cls, real, **arguments):
    real(cls.file.name)
    return loaded(cls, *arguments.items())


def parts(data):
    return data.train, data.val, data.test


def stored(data):
    return torch.cat([split.stored for split in parts(data)])


@pytest.mark.parametrize("cls", SETS)
def test_counts_are_those_of_the_file(cls, real):
    """Caught: rows of the sparse file that begin where the last one did; counts modulo 256."""
    shape, total, filled, largest = SETS[cls]
    data = present(cls, real)
    counts = stored(data)
    assert tuple(counts.shape) == shape
    assert data.shape == shape[1:]
    assert counts.min() == 0
    found = (counts.sum(), (counts > 0).sum(), counts.max())
    for ours, theirs in zip(found, (total, filled, largest), strict=True):
        assert theirs is None or ours == theirs
    held_out = round(shape[0] / 10)
    sizes = [len(split) for split in parts(data)]
    assert sizes == [shape[0] - 2 * held_out, held_out, held_out]


def test_smfish_has_its_known_mean_and_zeros(real):
    counts = stored(present(SMFish, real)).double()
    assert counts.mean().item() == pytest.approx(5.67, abs=5e-3)
    assert (counts == 0).double().mean().item() == pytest.approx(0.306, abs=5e-4)


def test_the_dense_worm_is_scipys(real):
    """Every entry. Caught: the lengths of the rows shifted by one row."""
    from scipy.sparse import csr_matrix

    file = np.load(real(WormNeurons.file.name))
    whole = csr_matrix((file["data"], file["indices"], file["indptr"]), file["shape"])
    ours = WormNeurons().counts(dict(file))
    assert (whole.toarray() == ours.numpy()).all()


@pytest.mark.parametrize("cls", SETS)
def test_exposure_is_the_total_in_units_of_the_training_mean(cls, real):
    data = present(cls, real)
    mean = data.train.stored.double().sum(1).mean()
    assert data.facts["data/mean_total"] == pytest.approx(mean.item())
    for split in parts(data):
        exposure = split.batch(torch.arange(len(split))).given["exposure"]
        torch.testing.assert_close(exposure.double() * mean, split.stored.double().sum(1))
        assert exposure.min() > 0
    assert data.train.given["exposure"].mean().item() == pytest.approx(1, abs=1e-5)
    assert present(cls, real, exposure="none").train.given == {}


def test_labels_become_contexts(real):
    data = present(SMFish, real, context="label")
    assert data.context_dim == 6
    file = np.load(real(SMFish.file.name))
    found = torch.cat([split.given["context"] for split in parts(data)]).sum(0)
    assert found.tolist() == np.unique(file["label"], return_counts=True)[1].tolist()
    assert present(WormNeurons, real, context="label").context_dim == 10
    with pytest.raises(ConfigurationError, match="worm_neurons has no data.context=batch"):
        WormNeurons(context="batch").load()


def test_the_split_belongs_to_its_own_seed(real):
    one, same = present(SMFish, real), SMFish().load(1)
    assert torch.equal(one.test.stored, same.test.stored)
    assert not torch.equal(one.test.stored, SMFish(split_seed=1).load().test.stored)


def test_a_damaged_or_missing_file_is_named(writable_copy, tmp_path):
    root = writable_copy(SMFish.file.name)
    path = root / SMFish.file.name
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path} is damaged"):
        SMFish(dir=str(root)).load()
    path.unlink()
    with pytest.raises(DataError, match=f"smfish not found in {root}") as caught:
        SMFish(dir=str(root)).load()
    assert SMFish.file.sha256 in caught.value.hint


@pytest.mark.slow
def test_overdispersed_counts_are_explained_better(real, tmp_path):
    """log p(x) of the held-out cells, 40 epochs: paired differences, in standard errors.

    Negative binomial 5 above Poisson, and zero-inflated at most 2 below the negative binomial.
    """
    test = present(SMFish, real).test.batch(torch.arange(453))
    log_p = {}
    for name in ("poisson", "negative_binomial", "zero_inflated_negative_binomial"):
        chosen = ["data=smfish", f"likelihood={name}", "trainer.max_epochs=40"]
        plain = composed("train", [*chosen, "evaluation.num_samples=1"], Run)
        train(Run(**plain), run_dir=tmp_path / name)
        model = vi.load(tmp_path / name)
        log_p[name] = vi.log_likelihood(model, test.x, num_samples=200, **test.given).value
    poisson, nb, zinb = (value.double() for value in log_p.values())
    over, beside = nb - poisson, zinb - nb
    assert over.mean() > 5 * standard_error(over)
    assert beside.mean() > -2 * standard_error(beside)
