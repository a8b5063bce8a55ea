"""Runs that several files look at."""

from functools import cache

import pytest

from tests.support.boundaries import STEPS, all_of_both_periods, periodic, rise_and_fall, run
from tests.support.tiny import vae
from vi.training.callbacks.early_stopping import EarlyStopping


@pytest.fixture
def few_draws(monkeypatch):
    """For what is not about the error of the test numbers; fewer draws are faster."""
    monkeypatch.setattr("vi.evaluation.over_split._DRAWS", 2)


@pytest.fixture(scope="session")
def cut(tmp_path_factory):
    """steps_per_call -> a run of 62 steps with a schedule and periodic checkpoints."""

    @cache
    def make(steps_per_call):
        folder = tmp_path_factory.mktemp("cut")
        files = all_of_both_periods(folder)
        options = {"check_val_every_n_epochs": 2, "max_steps": STEPS}
        return run(folder, callbacks=files, steps_per_call=steps_per_call, **options)

    return make


@pytest.fixture(scope="session")
def fallen(tmp_path_factory):
    """steps_per_call -> a run that is ruined, whose best checkpoints are kept until it stops."""

    @cache
    def make(steps_per_call):
        folder = tmp_path_factory.mktemp("fallen")
        files = periodic(folder, 12, save_top_k=2, monitor="val/bound", mode="max")
        options = {"epochs": 20, "steps_per_call": steps_per_call}
        return run(folder, vae, rise_and_fall(), [files, EarlyStopping(patience=2)], **options)

    return make
