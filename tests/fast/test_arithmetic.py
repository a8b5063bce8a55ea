"""A resumed run computes as before, to the last bit, or says that it cannot."""

import pytest
import torch

import vi
from vi.data.base import LoadedData, Values
from vi.fast import plans
from vi.fast.plans import Plan
from vi.files.checkpoint_file import sealed

ROWS, WIDTH = 64, 300
SIZE = f"{ROWS}x{WIDTH}x{WIDTH}, 1 threads"


def fit(folder, **options):
    x = torch.rand(2 * ROWS, WIDTH, generator=torch.Generator().manual_seed(0)).round()
    data = LoadedData(Values(x), None, Values(x[:10]), (WIDTH,))
    parts = (vi.MLP([WIDTH]), vi.MLP([WIDTH]), vi.DiagonalGaussian(3), vi.StandardNormal(3))
    options = {"batch_size": ROWS, "callbacks": [], "progress_bar": False, "threads": 1} | options
    options |= {"loggers": [], "evaluation": vi.ImportanceSampling(2), "device": "cpu"}
    return vi.fit(vi.VAE((WIDTH,), *parts, vi.Bernoulli()), data, run_dir=folder, **options)


@pytest.fixture
def last(tmp_path, monkeypatch):
    """The checkpoint of one epoch, whose layers were computed by oneDNN in part."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plans.memory().keep(SIZE, list(Plan(forward=True)))
    result = fit(tmp_path, epochs=1)
    assert result.metrics[f"products/{SIZE}"] == "forward"
    assert "resume/bit_equal" not in result.metrics
    plans.memory().keep(SIZE, list(Plan()))  # what a measurement would say now
    return tmp_path / "checkpoints" / "last.ckpt"


def test_a_resumed_run_chooses_as_before(last, tmp_path):
    result = fit(tmp_path, epochs=2, ckpt_path=last)
    assert result.metrics[f"products/{SIZE}"] == "forward"
    assert "resume/bit_equal" not in result.metrics


def change(path, **arithmetic):
    saved = torch.load(path, weights_only=True)
    saved["arithmetic"] |= arithmetic
    path.write_bytes(sealed(saved))


def test_another_processor_is_said_and_stays_said(last, tmp_path):
    """In one line; also of the run that goes on from there. Caught: a mark that is forgotten."""
    change(last, machine="of another maker")
    with pytest.warns(UserWarning, match="not bit-identical.*of another maker") as said:
        result = fit(tmp_path, epochs=2, ckpt_path=last)
    assert result.metrics["resume/bit_equal"] is False
    assert [str(w.message).count("\n") for w in said] == [0]
    again = fit(tmp_path, epochs=3, ckpt_path=last)
    assert again.metrics["resume/bit_equal"] is False


def test_a_checkpoint_that_names_no_processor_is_said(last, tmp_path):
    """As those of older versions. Caught: bits promised that nobody knows."""
    saved = torch.load(last, weights_only=True)
    del saved["arithmetic"]
    last.write_bytes(sealed(saved))
    with pytest.warns(UserWarning, match="had a processor that its checkpoint does not name"):
        result = fit(tmp_path, epochs=2, ckpt_path=last)
    assert result.metrics["resume/bit_equal"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [({"threads": 2}, "threads 1, now 2"), ({"linear_kernels": "torch"}, "oneDNN")],
)
def test_other_options_are_said(last, tmp_path, options, said):
    with pytest.warns(UserWarning, match=said):
        result = fit(tmp_path, epochs=2, ckpt_path=last, **options)
    assert result.metrics["resume/bit_equal"] is False


def test_oneDNN_that_is_missing_is_said(last, tmp_path, monkeypatch):
    monkeypatch.setattr("vi.fast.linear._oneDNN", None)
    with pytest.warns(UserWarning, match="products of oneDNN, now torch's"):
        fit(tmp_path, epochs=2, ckpt_path=last)
