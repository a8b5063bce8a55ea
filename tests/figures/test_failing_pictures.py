"""A picture that cannot be drawn costs nothing but itself."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import vi
from vi.data.base import LoadedData, Values
from vi.errors import RunDirectoryError
from vi.figures import pictures
from vi.figures.pictures import save_pictures


def _stamps() -> tuple[vi.GMM, LoadedData]:
    """400 times in seconds since 1970 and a standard normal, and a mixture of two."""
    random = np.random.default_rng(0)
    x = np.stack([1.7e9 + random.uniform(0, 3600, 400), random.normal(size=400)], 1)
    model = vi.GMM((2,), 2, vi.Full())
    model.initialize(torch.from_numpy(x))
    split = Values(torch.from_numpy(x))
    return model, LoadedData(split, None, split, (2,))


def test_times_are_drawn_around_their_centre(tmp_path):
    """Caught: "Too many bins for data range", from numbers in single precision."""
    paths = save_pictures(*_stamps(), (2,), tmp_path, seed=0)
    assert {path.name for path in paths} == {"samples.png", "reconstructions.png", "density.png"}
    assert all(path.stat().st_size > 1000 for path in paths)


def test_the_axis_says_what_was_subtracted():
    model, data = _stamps()
    figure = pictures.figures(model, data.test, (2,), seed=0, facts={})["samples"]
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels[1].startswith("$x_{1}$ -17000")
    assert labels[2] == "$x_{2}$"


def test_a_picture_that_fails_is_left_out_with_a_warning(tmp_path, monkeypatch):
    """The others are there. Caught: the ValueError of a library, after hours of training."""
    save = Figure.savefig

    def failing(figure, *arguments, **settings) -> None:
        if len(figure.axes) == 1:
            raise ValueError("Too many bins for data range.\nand more")
        save(figure, *arguments, **settings)

    monkeypatch.setattr(Figure, "savefig", failing)
    with pytest.warns(UserWarning, match=r"density could not be drawn: Too many .* range\.$"):
        paths = save_pictures(*_stamps(), (2,), tmp_path, seed=0)
    assert {path.name for path in paths} == {"samples.png", "reconstructions.png"}


def test_a_failure_of_all_pictures_is_one_warning(tmp_path, monkeypatch):
    def failing(*_) -> None:
        raise RuntimeError

    monkeypatch.setattr(pictures, "figures", failing)
    with pytest.warns(UserWarning, match="the pictures could not be drawn: RuntimeError"):
        assert save_pictures(*_stamps(), (2,), tmp_path, seed=0) == []


def test_a_place_that_cannot_be_written_stays_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError):
        save_pictures(*_stamps(), (2,), tmp_path / "file" / "below", seed=0)
