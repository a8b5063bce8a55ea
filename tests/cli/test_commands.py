"""Train, evaluate, sample, encode and resume, as a user types them."""

import csv
import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch

import vi
from vi.cli import encode, evaluate, plot, sample, train
from vi.errors import CheckpointError, ConfigurationError
from vi.files.findings import findings

OPTIONS = [
    "trainer.max_epochs=2",
    "hidden=[16]",
    "latent_dim=2",
    "trainer.device=cpu",
    "evaluation.num_samples=20",
    "data.context=label",
    "schedule=cosine",
    "bound=iwae",
    "bound.num_samples=3",
]
UNSEEN = ["callbacks=null", "logger=null"]  # no pictures and no curves


def command(main, arguments, folder):
    """Run a command in a folder, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train.py"])
        main(arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which one conditional model was trained on digits, by IWAE."""
    folder = tmp_path_factory.mktemp("user")
    command(train.main, [*OPTIONS, "hydra.run.dir=run"], folder)
    return folder


@pytest.fixture
def run(folder):
    return folder / "run"


def test_a_run_directory_holds_what_the_design_promises(run):
    names = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert {
        "metrics.json",
        "samples.png",
        "reconstructions.png",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "model/config.json",
        "model/model.safetensors",
        "model/README.md",
        "model/manifest.json",
        ".hydra/config.yaml",
    } <= names
    assert any("tfevents" in name for name in names)
    assert any(name.startswith("csv/") for name in names)


def test_the_configuration_beside_the_weights_names_options_only(run):
    text = (run / "model" / "config.json").read_text()
    config = json.loads(text)
    assert "_target_" not in text
    assert "vi." not in json.dumps(config["model"])
    assert config["model"]["option"] == "vae"
    assert config["model"]["inference"]["option"] == "amortized"
    assert config["model"]["inference"]["encoder"] == {
        "option": "mlp",
        "hidden": [16],
        "activation": {"option": "relu", "inplace": False},
    }
    assert config["bound"] == {"option": "iwae", "num_samples": 3}
    assert config["data"]["option"] == "digits"


def test_evaluate_gives_the_numbers_of_the_training_run(folder, run):
    """The bits of the test data and the noise are those of (seed, datum), so nothing moves."""
    arguments = ["run=run", "evaluation=importance_sampling", "evaluation.num_samples=20"]
    command(evaluate.main, arguments, folder)
    first = json.loads((run / "metrics.json").read_text())
    (found,) = findings(run).values()
    for name in ("bound", "elbo", "kl", "log_likelihood"):
        assert found["numbers"][name]["value"] == pytest.approx(first[f"test/{name}"], rel=1e-6)
    command(evaluate.main, [*arguments, "batch_size=7", "out=a.json"], folder)
    (other,) = findings(folder, folder / "a.json").values()
    value = found["numbers"]["log_likelihood"]["value"]
    assert other["numbers"]["log_likelihood"]["value"] == pytest.approx(value, rel=1e-6)


def test_evaluate_writes_the_value_of_every_datum(folder, run):
    """Their means are the numbers. Caught: rows in the order of the repeats."""
    arguments = ["evaluation=importance_sampling", "evaluation.num_samples=20", "split=val"]
    command(evaluate.main, ["run=run", *arguments, "limit=9", "out=c.json"], folder)
    numbers = findings(folder, folder / "c.json")["importance sampling on val"]["numbers"]
    columns = np.load(folder / "c.npz")
    assert columns["index"].tolist() == sorted(columns["index"].tolist())
    for name in ("elbo", "kl", "log_likelihood"):
        assert columns[name].shape == (9,)
        assert columns[name].mean() == pytest.approx(numbers[name]["value"], rel=1e-9)


def test_a_run_has_a_report_with_its_pictures(folder, run):
    text = (run / "report.md").read_text()
    assert "## training" in text
    for name in re.findall(r"\]\((.*?)\)", text):
        assert (run / name).is_file()


def test_evaluate_other_splits(folder, run):
    arguments = ["run=run", "split=val", "limit=5", "out=b.json"]
    command(evaluate.main, [*arguments, "evaluation=importance_sampling"], folder)
    (found,) = findings(folder, folder / "b.json").values()
    assert found["facts"]["count"] == 5
    with pytest.raises(SystemExit) as ended:
        command(evaluate.main, ["run=run", "split=validation"], folder)
    assert ended.value.code == 2


def test_sample_writes_draws_and_their_picture(folder, run):
    command(sample.main, ["run=run", "count=12"], folder)
    arrays = np.load(run / "sample" / "samples.npz")
    assert arrays["x"].shape == arrays["mean"].shape == (12, 1, 8, 8)
    assert set(np.unique(arrays["x"])) <= {0.0, 1.0}
    assert (run / "sample" / "samples.png").stat().st_size > 1000


def test_encode_writes_the_posterior_of_every_datum(folder, run):
    command(encode.main, ["run=run", "split=val"], folder)
    arrays = np.load(run / "latents_val.npz")
    data = vi.data.Digits(context="label").load(0).val
    batch = data.batch(torch.arange(len(data)))
    q = vi.load(run).posterior(batch.x, **batch.given)
    np.testing.assert_allclose(arrays["mean"], q.mean.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(arrays["stddev"], q.stddev.detach().numpy(), rtol=1e-5)
    np.testing.assert_array_equal(arrays["context"], batch.given["context"].numpy())


def test_a_resumed_command_is_the_uninterrupted_one(folder, tmp_path):
    """The options come from the run; only the new length is typed.

    A constant schedule: the cosine's length is the length of the training.
    """
    short = [*(o for o in OPTIONS if not o.startswith("schedule")), *UNSEEN]
    command(train.main, [*short, "hydra.run.dir=short"], tmp_path)
    last = "ckpt_path=short/checkpoints/last.ckpt"
    command(train.main, [last, "trainer.max_epochs=4"], tmp_path)
    whole = [*short, "trainer.max_epochs=4", "hydra.run.dir=whole"]
    command(train.main, whole, tmp_path)
    resumed, at_once = vi.load(tmp_path / "short"), vi.load(tmp_path / "whole")
    for p, q in zip(resumed.parameters(), at_once.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_resumed_command_keeps_the_default_callbacks_and_curves(run, tmp_path):
    """Pictures and diagnostics go on; one file of each curve, without a gap.

    Caught: a run that goes on without them; a second file of curves.
    """
    shutil.copytree(run, tmp_path / "run")
    pictures = [tmp_path / "run" / f"{name}.png" for name in ("samples", "latent_plane")]
    for picture in pictures:
        picture.unlink()
    last = "ckpt_path=run/checkpoints/last.ckpt"
    command(train.main, [last, "trainer.max_epochs=3"], tmp_path)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["train/epochs"] == 3
    (curves,) = (tmp_path / "run" / "csv").glob("*/metrics.csv")
    rows = list(csv.DictReader(io.StringIO(curves.read_text())))
    told = {name: [float(row["step"]) for row in rows if row[name]] for name in rows[0]}
    assert sorted({len(steps) for name, steps in told.items() if name.startswith("val/")}) == [3]
    assert told["train/elbo"] == sorted({*told["train/elbo"]})
    for folder in (".", "train", "val", "test"):
        assert len(list((tmp_path / "run" / folder).glob("events.*"))) == 1
    assert all(picture.is_file() for picture in pictures)
    assert (tmp_path / "run" / ".hydra" / "overrides.yaml").is_file()


def test_a_python_model_is_saved_and_loaded(tmp_path):
    model = vi.VAE(
        (1, 9, 7),
        vi.ConvEncoder([4, 8], torch.nn.LeakyReLU(0.1)),
        vi.ConvDecoder([8, 4], torch.nn.Tanh()),
        vi.DiagonalGaussian(3),
        vi.StandardNormal(3),
        vi.SharedScaleGaussian(),
        standardize=True,
    ).double()
    model.initialize(torch.randn(20, 1, 9, 7, dtype=torch.float64))
    with pytest.raises(ConfigurationError, match="LeakyReLU, which no option names"):
        vi.save(model, tmp_path / "m")
    assert not (tmp_path / "m").exists()
    model.arguments["encoder"].activation = torch.nn.Tanh()
    model.arguments["encoder"].arguments["activation"] = torch.nn.Tanh()
    again = vi.load(vi.save(model, tmp_path / "m"))
    assert again.sample(3).dtype == torch.float64
    x = torch.randn(5, 1, 9, 7, dtype=torch.float64)
    assert again.state_dict().keys() == model.state_dict().keys()
    z = again.posterior(x).mean
    torch.testing.assert_close(again.likelihood(z).mean, again.reconstruct(x), rtol=0, atol=0)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())


DAMAGE = {
    "model.safetensors": lambda b: b[:-1] + bytes([b[-1] ^ 1]),
    "config.json": lambda b: b.replace(b'"hidden"', b'"hiddem"'),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_changed_file_is_refused(run, tmp_path, name):
    shutil.copytree(run / "model", tmp_path / "model")
    path = tmp_path / "model" / name
    path.write_bytes(DAMAGE[name](path.read_bytes()))
    with pytest.raises(CheckpointError, match="checksum mismatch"):
        vi.load(tmp_path)


@pytest.mark.parametrize(
    "part",
    [
        {"_target_": "os.system", "command": "touch MARKER"},
        {"option": "vae", "_target_": "torch.nn.init.torch.load", "f": "MARKER"},
        {"option": "../../evil"},
        {"option": "torch.utils.collect_env.run"},
    ],
)
def test_a_configuration_that_travels_with_weights_runs_nothing(run, tmp_path, part):
    """Even where the checksums were made to fit."""
    directory = tmp_path / "model"
    shutil.copytree(run / "model", directory)
    config = json.loads((directory / "config.json").read_text())
    config["model"] = json.loads(json.dumps(part).replace("MARKER", str(tmp_path / "marker")))
    text = json.dumps(config).encode()
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["sha256"]["config.json"] = __import__("hashlib").sha256(text).hexdigest()
    (directory / "config.json").write_bytes(text)
    (directory / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigurationError) as caught:
        vi.load(tmp_path)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "marker").exists()


def test_a_directory_without_a_model_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="no model in"):
        vi.load(tmp_path)
    with pytest.raises(CheckpointError, match="no model in"):
        vi.load(tmp_path / "missing")
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(CheckpointError, match="a part of its model has no option name"):
        vi.load(tmp_path)


def test_a_missing_checkpoint_ends_with_4(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        command(train.main, ["ckpt_path=nowhere/last.ckpt"], folder)
    assert ended.value.code == 4
    assert capsys.readouterr().err.startswith(
        "error: there is no checkpoint nowhere/last.ckpt\nhint: "
    )


def test_image_too_small_for_the_network_is_a_configuration_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        command(train.main, ["encoder=conv", "encoder.channels=[2,2,2,2]"], tmp_path)
    assert ended.value.code == 2
    assert "encoder=conv with 4 layers needs images" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_data_outside_the_support_end_with_3(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        command(train.main, ["data.binarize=none"], tmp_path)
    assert ended.value.code == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert error == (
        "error: Bernoulli needs 0/1 data; got values in [0.00, 1.00] in the training data "
        "(first outside: 0.6875 in item 0, entry [0, 0, 2])"
    )
    assert "data.binarize=dynamic" in hint
    assert list(tmp_path.iterdir()) == []


def test_options_of_a_foreign_run_cannot_make_hydra_run_anything(tmp_path):
    """Caught: +hydra.callbacks in the overrides beside a checkpoint ran a command."""
    foreign, marker = tmp_path / "foreign", tmp_path / "marker"
    short = [*OPTIONS, *UNSEEN]
    command(train.main, [*short, "trainer.max_steps=1", "hydra.run.dir=foreign"], tmp_path)
    hostile = [
        "+hydra.callbacks.x._target_=torch.utils.collect_env.run",
        f"+hydra.callbacks.x.command=touch {marker}",
        "++hydra.callbacks.y._target_=torch.utils.collect_env.run",
    ]
    written = foreign / ".hydra" / "overrides.yaml"
    kept = [*short, "trainer.max_steps=2"]
    written.write_text("".join(f"- {json.dumps(o)}\n" for o in [*kept, *hostile]))
    command(train.main, [f"ckpt_path={foreign}/checkpoints/last.ckpt"], tmp_path)
    assert not marker.exists()


def test_a_checkpoint_that_belongs_to_no_run_is_refused(run, tmp_path, capsys):
    """Caught: it went on with the default options, as another bound."""
    shutil.copy(run / "checkpoints" / "last.ckpt", tmp_path)
    with pytest.raises(SystemExit) as ended:
        command(train.main, ["ckpt_path=last.ckpt"], tmp_path)
    assert ended.value.code == 4
    assert "its options are unknown" in capsys.readouterr().err


def test_a_checkpoint_is_found_from_its_own_folder(tmp_path):
    """And in a folder whose name needs quotes."""
    home = tmp_path / "my run's, a"
    home.mkdir()
    short = [*OPTIONS, *UNSEEN, "trainer.max_steps=3"]
    command(train.main, [*short, "hydra.run.dir=run"], home)
    path = "ckpt_path=last.ckpt"
    command(train.main, [path, "trainer.max_steps=5"], home / "run" / "checkpoints")
    assert json.loads((home / "run" / "metrics.json").read_text())["train/steps"] == 5


def test_a_failed_run_takes_away_only_what_was_made_for_it(tmp_path):
    """Caught: hydra.run.dir=. removed the user's own folder."""
    home = tmp_path / "home"
    home.mkdir()
    for where in (".", "new/run"):
        with pytest.raises(SystemExit) as ended:
            command(train.main, ["data.binarize=none", f"hydra.run.dir={where}"], home)
        assert ended.value.code == 3
        assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "option",
    [
        "hidden=[-5]",
        "optimizer.lr=-1",
        "scheme.gradient_clip_norm=-1",
        "callbacks.pictures.every_n_epochs=0",
        "seed=99999999999999999999",
        "bound.num_samples=0",
    ],
)
def test_a_value_that_cannot_be_is_a_configuration_error(option, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        command(train.main, [option], tmp_path)
    assert ended.value.code == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["batch_size=0", "limit=0"])
def test_evaluate_refuses_sizes_that_cannot_be(folder, run, option, capsys):
    with pytest.raises(SystemExit) as ended:
        command(evaluate.main, ["run=run", option], folder)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"not a checkpoint", "is not a checkpoint of a run, or is damaged"),
        (None, "last.ckpt: truncated (2000 of "),
        ("foreign", "is not a checkpoint of this run: scheme is missing"),
    ],
)
def test_a_damaged_checkpoint_ends_with_4(run, tmp_path, capsys, content, told):
    """Cut short, of something else, or no file of torch at all. Caught: a trace."""
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    last = copied / "checkpoints" / "last.ckpt"
    if content == "foreign":
        torch.save({"state_dict": {}}, last)
    else:
        last.write_bytes(last.read_bytes()[:2000] if content is None else content)
        (last.parent / "best.ckpt").unlink()
    with pytest.raises(SystemExit) as ended:
        command(train.main, ["ckpt_path=run/checkpoints/last.ckpt"], tmp_path)
    assert ended.value.code == 4
    error, hint = capsys.readouterr().err.strip().splitlines()[-2:]
    assert told in error
    assert hint.startswith("hint: give the checkpoints/last.ckpt of a run")


@pytest.mark.parametrize(
    ("main", "arguments", "code", "told"),
    [
        (sample.main, ["run=run", f"seed={10**20}"], 2, "seed must be from 0 to 2^63 - 1"),
        (evaluate.main, ["run=run", "seed=-1"], 2, "seed must be from 0 to 2^63 - 1"),
        (evaluate.main, ["run=run", "plugins=[nope.sub]"], 2, "plugin nope.sub cannot be"),
        (plot.main, ["runs=[run]", "out=/dev/null/x.png"], 6, "/dev/null"),
        (sample.main, ["run=run", f"count={10**13}"], 5, "the memory ran out: "),
    ],
)
def test_what_cannot_be_is_told_in_two_lines(folder, capsys, main, arguments, code, told):
    with pytest.raises(SystemExit) as ended:
        command(main, arguments, folder)
    assert ended.value.code == code
    error, hint = capsys.readouterr().err.strip().splitlines()[-2:]
    assert told in error
    assert hint.startswith("hint: ")
