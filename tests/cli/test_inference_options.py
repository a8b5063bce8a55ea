"""``inference=`` as a user types it, and the older names for it."""

import json

import pytest

import vi
from tests.cli.test_commands import command
from vi.cli import train

TINY = [
    "data=two_moons",
    "data.n_train=32",
    "data.n_val=16",
    "data.n_test=16",
    "latent_dim=1",
    "trainer.batch_size=16",
    "trainer.max_epochs=1",
    "trainer.device=cpu",
    "trainer.linear_kernels=torch",
    "trainer.progress_bar=false",
    "evaluation.num_samples=5",
    "callbacks=null",
    "logger=null",
    "hydra.run.dir=run",
]
SMALL = ["hidden=[4]", "refinement.num_steps=2"]


def numbers(folder, *options):
    """Of a run: its metrics without times, and its model."""
    folder.mkdir()
    command(train.main, [*TINY, *options], folder)
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    plain = {k: v for k, v in metrics.items() if type(v) in (int, float)}
    timeless = {k: v for k, v in plain.items() if "seconds" not in k and "startup" not in k}
    return timeless, vi.load(folder / "run")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ensemble", []),
        ("iterative", ["inference.num_steps=2"]),
        ("per_datum", ["scheme=svi", "inference.factor=2", "scheme.fit_factor=2"]),
    ],
)
def test_every_way_to_infer_trains_and_loads(tmp_path, kind, options):
    _, model = numbers(tmp_path / "a", f"inference={kind}", *SMALL, *options)
    expected = {"ensemble": vi.Ensemble, "iterative": vi.Iterative, "per_datum": vi.PerDatum}
    assert type(model.inference) is expected[kind]


@pytest.mark.filterwarnings("always:model=.* is an older name:FutureWarning")
@pytest.mark.parametrize(
    ("older", "present"),
    [
        (["model=refined", "model.factor=2"], ["inference=refined", "inference.factor=2"]),
        (["model=amortized"], ["model=ppca", "inference=amortized"]),
    ],
    ids=["refined", "amortized"],
)
def test_an_older_name_gives_the_same_numbers_and_a_warning(tmp_path, capsys, older, present):
    """To the last digit. Caught: another order of random draws."""
    small = [o for o in SMALL if "refinement" not in o or "refined" in older[0]]
    one, model = numbers(tmp_path / "older", *older, *small)
    assert f"{older[0]} is an older name" in capsys.readouterr().err
    other, again = numbers(tmp_path / "present", *present, *small)
    assert "older name" not in capsys.readouterr().err
    assert one == other
    assert type(model) is type(again)
    assert type(model.inference) is type(again.inference)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["inference=exact"], "VAE has no exact"),
        (["model=ppca", "scheme=svi"], "PPCA has no encoder"),
        (["model=ppca", "inference=amortized", "scheme=exact_em"], "no exact E-step with Amort"),
        (["inference=ladder"], "VAE has no layers of z"),
        (["inference=ensemble", "bound=elbo"], "has no closed form"),
        (["inference=exact", "posterior=flow"], "posterior=flow has no effect"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as ended:
        command(train.main, [*TINY, *options], tmp_path)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
