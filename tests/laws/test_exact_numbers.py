"""What is said of log p(x) of a model that knows it: the closed form, and that it is exact."""

import io

import pytest
import torch
from rich.console import Console

import vi
from tests.support.oracles import LinearGaussian, inflated
from vi.data.base import Values
from vi.evaluation.over_split import evaluate
from vi.evaluation.reliability import stated, why_not
from vi.files.numbers import quoted
from vi.training.results.report import _table


def numbers(evaluation=None) -> tuple[dict[str, float], str]:
    """Of a model whose q is far too narrow, and its mean log p(x)."""
    torch.manual_seed(0)
    model = LinearGaussian.random(6, 3, inflated(0.2))
    x = model.sample(20)
    parts = model, Values(x), vi.LogWeightELBO(), evaluation
    return evaluate(*parts, repeats=1), f"{model.log_evidence(x).mean().item():.3f} (exact)"


@pytest.mark.parametrize("evaluation", [None, vi.ImportanceSampling(50)])
def test_the_closed_form_is_said_and_not_the_estimate(evaluation):
    """Whatever was sampled beside it. Caught: "≥" and an estimate 1.4 nats below."""
    found, expected = numbers(evaluation)
    assert stated(found) == expected
    assert why_not(found) is None
    assert {n.name: n.reliability for n in quoted(found, {})}["log_evidence"] == "exact"


@pytest.mark.parametrize("evaluation", [None, vi.ImportanceSampling(50)])
def test_the_closing_table_says_so_too(evaluation):
    """Without a number of samples. Caught: "-" where nothing was sampled."""
    found, expected = numbers(evaluation)
    metrics = {f"test/{name}": value for name, value in found.items()}
    metrics |= dict.fromkeys(["test/kl", "test/reconstruction"], 0.0)
    console = Console(width=200, file=io.StringIO())
    console.print(_table(metrics, vi.ELBO()))
    text = console.file.getvalue()
    assert expected in text
    assert "K=" not in text
