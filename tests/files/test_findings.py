"""What is found about a run is kept, and shown in its report."""

import json

import pytest

from vi.errors import CheckpointError
from vi.files.findings import Finding, add_finding, findings, write_report
from vi.files.numbers import EXACT, INTERVAL, LOWER, Number, quoted

MEASURED = {
    "elbo": -3.0,
    "log_likelihood": -2.5,
    "log_likelihood_se": 0.01,
    "log_likelihood_reliable": 1.0,
    "log_likelihood_lower": -2.52,
    "log_likelihood_upper": -2.48,
    "log_likelihood_samples": 5000,
    "effective_sample_size": 30.0,
    "count": 7,
}


def test_flat_numbers_become_one_for_each_quantity():
    elbo, likelihood, ess = quoted(MEASURED, {"effective_sample_size": "draws"})
    assert elbo == Number("elbo", -3.0)
    assert likelihood[:7] == ("log_likelihood", -2.5, "nats per datum", 0.01, -2.52, -2.48, 5000)
    assert likelihood.reliability == INTERVAL
    assert (ess.name, ess.unit) == ("effective_sample_size", "draws")


@pytest.mark.parametrize(
    ("changes", "trust"),
    [
        ({"log_likelihood_lower": -2.5, "log_likelihood_upper": -2.5}, EXACT),
        ({"log_likelihood_lower": None, "log_likelihood_upper": None}, LOWER),
    ],
)
def test_a_number_tells_how_far_it_can_be_trusted(changes, trust):
    numbers = {k: v for k, v in (MEASURED | changes).items() if v is not None}
    (likelihood,) = (n for n in quoted(numbers, {}) if n.name == "log_likelihood")
    assert likelihood.reliability == trust


def test_a_later_finding_takes_the_place_of_the_one_with_its_title(tmp_path):
    """Caught: a file that was written over."""
    add_finding(tmp_path, Finding("a", {"seed": 0}, [Number("elbo", -1.0)]))
    add_finding(tmp_path, Finding("b", {"seed": 0}, [Number("elbo", -2.0)]))
    add_finding(tmp_path, Finding("a", {"seed": 1}, [Number("elbo", -3.0)]))
    found = findings(tmp_path)
    assert {t: f["numbers"]["elbo"]["value"] for t, f in found.items()} == {"a": -3.0, "b": -2.0}
    assert found["a"]["facts"] == {"seed": 1}


def test_the_report_has_every_number_sentence_and_picture(tmp_path):
    for name in ("curves", "gaps"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    metrics = {"train/steps": 3, "train/seconds": 1.0, "test/elbo": -3.25, "data/name": "digits"}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    numbers, pictures = quoted(MEASURED, {}), [tmp_path / "gaps.png"]
    finding = Finding("gaps on test", {"split": "test"}, numbers, ["A richer q wins."], pictures)
    add_finding(tmp_path, finding)
    text = (tmp_path / "report.md").read_text()
    for part in ("-3.2500", "-2.5200 to -2.4800", "95 % interval", "A richer q wins.", "digits"):
        assert part in text
    assert text.count("](gaps.png)") == text.count("](curves.png)") == 1
    assert text.index("](curves.png)") < text.index("## gaps on test") < text.index("](gaps.png)")


def test_a_run_that_did_not_end_has_a_report(tmp_path):
    assert write_report(tmp_path).read_text() == f"# {tmp_path.name}\n"


@pytest.mark.parametrize("text", ["{", "[]", '{"test/elbo": -1.0}', '{"a": {"facts": {}}}'])
def test_a_file_of_others_is_refused_and_kept(tmp_path, text):
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match="evaluation.json"):
        add_finding(tmp_path, Finding("a", {}))
    assert path.read_text() == text
