"""Between logging steps the host asks nothing of a device."""

import traceback
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import vi
from tests.support.boundaries import ASCENT, MARKS, Stepwise, run, still
from tests.support.tiny import mixture, vae

pytestmark = MARKS

PACKAGE = Path(vi.__path__[0])


class Reads(TorchDispatchMode):
    """Where a number is asked of a tensor, so that the host would wait for a device."""

    OPERATIONS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in self.OPERATIONS:
            self.note()
        return func(*args, **(kwargs or {}))

    def note(self):
        """Remember the innermost line of vi."""
        stack = traceback.extract_stack()
        lines = [f for f in stack if Path(f.filename).is_relative_to(PACKAGE)]
        self.found.append(f"{Path(lines[-1].filename).name}:{lines[-1].lineno} {lines[-1].line}")


class Listening(Stepwise):
    """Hears what is read after step ``first`` and up to step ``last``."""

    def __init__(self, first, last):
        self.reads, self.first, self.last, self.step = Reads(), first, last, 0

    def after(self, module):
        self.step += 1
        if self.step == self.first:
            self.reads.__enter__()
        if self.step == self.last:
            self.reads.__exit__(None, None, None)

    def noted(self, method):
        """The method of a tensor, heard too."""

        def watched(*args, **kwargs):
            if self.first <= self.step < self.last:
                self.reads.note()
            return method(*args, **kwargs)

        return watched


SILENT = {
    "joint": (vae, partial(vi.Joint, gradient_clip_norm=1.0)),
    "alternating": (vae, vi.Alternating),
    "wake_sleep": (vae, vi.WakeSleep),
    "reweighted_wake_sleep": (vae, partial(vi.ReweightedWakeSleep, 3, 0.5)),
    "semi_amortised": (vae, lambda: vi.SemiAmortised(ASCENT)),
    "svi": (vae, lambda: vi.SVI(ASCENT, fit_factor=2)),
}
EXACT = {
    "exact_em": (mixture, lambda: vi.ExactEM(0.0)),
    "incremental_em": (mixture, lambda: vi.IncrementalEM(0.0)),
    "hard_em": (mixture, lambda: vi.HardEM(0.0)),
}


@pytest.mark.parametrize("name", SILENT)
def test_nothing_is_read_between_logging_steps(tmp_path, monkeypatch, name):
    """Twenty steps of which none is a boundary. Caught: ``item`` and ``tolist`` of every step."""
    net, make = SILENT[name]
    assert heard(tmp_path, monkeypatch, net, make()) == []


@pytest.mark.parametrize("name", EXACT)
def test_nothing_is_read_in_exact_steps(tmp_path, monkeypatch, name):
    """Nor within an epoch of a mixture, unless z is drawn: torch's draw looks at its weights.

    Caught: a categorical that checks its probabilities in every step.
    """
    net, make = EXACT[name]
    assert heard(tmp_path, monkeypatch, net, make()) == []


@pytest.mark.parametrize("make", [partial(vi.Alternating, None, 1), vi.Aggressive])
def test_a_scheme_that_waits_for_the_bound_reads_it_once_a_window(tmp_path, monkeypatch, make):
    """Of ten batches: at most twice in twenty steps. Caught: a read of every batch."""
    found = heard(tmp_path, monkeypatch, vae, make(window=10))
    assert 0 < len(found) <= 2
    assert all(line.startswith("plateau.py") for line in found)


def heard(folder, monkeypatch, net, scheme):
    """The lines that read something in steps 24 to 43.

    Of ``tolist`` and ``numpy`` torch tells nobody, so they are watched by name.
    """
    listening = Listening(23, 43)
    for method in ("tolist", "numpy"):
        monkeypatch.setattr(torch.Tensor, method, listening.noted(getattr(torch.Tensor, method)))
    options = {"batch_size": 2, "log_every_n_steps": 22, "max_steps": 44, "steps_per_call": 50}
    run(folder, net, scheme, given=still(), watch=listening, **options)
    assert listening.step == 44
    return listening.reads.found
