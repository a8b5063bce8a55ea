"""The gap from the command line: while a run trains, and of a finished one."""

import pytest

from tests.cli.test_commands import command
from vi.cli import evaluate, train
from vi.errors import ConfigurationError
from vi.files.findings import findings

OPTIONS = [
    "callbacks=[default,inference_gaps]",
    "callbacks.inference_gaps.num_data=10",
    "callbacks.inference_gaps.evaluation.num_samples=50",
    "callbacks.inference_gaps.evaluation.refinement.num_steps=5",
    "callbacks.inference_gaps.share=0.5",
    "trainer.max_epochs=2",
    "hidden=[16]",
    "latent_dim=2",
    "trainer.device=cpu",
    "evaluation.num_samples=20",
    "hydra.run.dir=run",
]


def test_the_gap_is_followed_and_measured_again(tmp_path, capsys):
    command(train.main, OPTIONS, tmp_path)
    printed = capsys.readouterr().out
    (found,) = findings(tmp_path / "run").values()
    assert found["facts"]["split"] == "val"
    assert all(sentence in printed for sentence in found["said"])
    assert (tmp_path / "run/gaps.png").is_file()
    measured = [
        "run=run",
        "evaluation=inference_gaps",
        "evaluation.num_samples=50",
        "evaluation.refinement.num_steps=5",
        "limit=10",
    ]
    command(evaluate.main, measured, tmp_path)
    printed = capsys.readouterr().out
    again = findings(tmp_path / "run")["inference gaps on test"]
    assert all(sentence in printed for sentence in again["said"])
    assert again["numbers"]["approximation_gap"]["reliability"] == "lower bound"
    assert "error" in again["numbers"]["amortization_gap"]
    assert any("log p(x)" in sentence for sentence in again["said"])


def test_a_share_that_cannot_be_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        command(train.main, [*OPTIONS, "callbacks.inference_gaps.share=2"], tmp_path)
    assert ended.value.code == ConfigurationError.exit_code
    assert "error: share must be between 0 and 1, got 2" in capsys.readouterr().err
