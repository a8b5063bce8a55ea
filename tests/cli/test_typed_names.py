"""Words where a group is meant, and older names of options: as they are typed, and in files."""

import inspect
import json
import subprocess
import sys
import warnings

import pytest
import yaml

import vi
from tests.cli.test_commands import UNSEEN, command
from vi.cli import train
from vi.cli.composing import run_options, typed_names
from vi.cli.composing.compose import composed
from vi.cli.composing.sweeps import jobs
from vi.cli.composing.typed_names import with_groups
from vi.config.build import build
from vi.config.conversion import to_config
from vi.config.registry import options, resolve, target_of
from vi.config.run import ROLES, SETS, Run
from vi.config.schema import parameters
from vi.errors import ConfigurationError

OLDER = "data.hidden is now data.hidden_fraction"


def of(*overrides):
    return composed("train", overrides, Run)


@pytest.mark.parametrize(
    ("plain", "hydras"),
    [
        (
            ["posterior=flow", "posterior.flow=coupling", "posterior.flow.num_transforms=3"],
            ["posterior=flow", "flow@posterior.flow=coupling", "posterior.flow.num_transforms=3"],
        ),
        (["prior.flow=planar", "prior=flow"], ["flow@prior.flow=planar", "prior=flow"]),
        (["encoder.activation=elu"], ["activation@encoder.activation=elu"]),
        (
            ["decoder=residual", "decoder.normalization='none'"],
            ["decoder=residual", "normalization@decoder.normalization=none"],
        ),
        (["bound=beta", "bound.bound=iwae"], ["bound=beta", "bound@bound.bound=iwae"]),
        (
            ["inference=refined", "inference.inference=iterative"],
            ["inference=refined", "inference@inference.inference=iterative"],
        ),
    ],
)
def test_a_word_chooses_an_option_where_a_part_of_a_group_stands(plain, hydras):
    """Caught: the word itself in place of the part."""
    assert of(*plain) == of(*hydras)


def test_of_a_wrong_word_the_options_are_told():
    with pytest.raises(ConfigurationError, match="unknown option flow=coupled") as refused:
        of("posterior=flow", "posterior.flow=coupled")
    assert refused.value.hint == "did you mean coupling?"
    with pytest.raises(ConfigurationError) as refused:
        of("encoder.activation=nothing")
    assert "relu" in refused.value.hint
    assert "tanh" in refused.value.hint


def test_where_no_part_of_a_group_stands_the_place_is_told():
    """By the name that was typed. Caught: a name with the group, which nobody wrote."""
    with pytest.raises(ConfigurationError, match="unknown option posterior.flow$") as refused:
        of("posterior.flow=coupling")
    assert "latent_dim" in refused.value.hint
    with pytest.raises(ConfigurationError, match="model.encoder") as refused:
        of("model.encoder=conv")
    assert refused.value.hint == "encoder=conv chooses it"


def test_what_is_no_word_stays_as_it_is():
    same = ["encoder.hidden=[3]", "encoder.activation=null", "+encoder.activation=relu", "a=b"]
    same += ["flow@posterior.flow=coupling", "encoder.activation.negative_slope=0.1", "~a.flow"]
    assert with_groups(same) == same


def test_every_argument_that_is_called_like_a_group_is_a_part():
    """Else a word would be taken for an option. Caught: an argument ``activation: str``."""
    for group in ROLES.keys() - SETS:
        for name in options(group):
            for argument, parameter in parameters(resolve(target_of(group, name), group)).items():
                if argument in ROLES:
                    assert parameter.annotation not in (str, str | None), (group, name, argument)


def test_a_sweep_goes_through_words():
    found = jobs(with_groups(["posterior=flow", "posterior.flow=coupling,spline"]))
    assert [job[1] for job in found] == [
        "flow@posterior.flow=coupling",
        "flow@posterior.flow=spline",
    ]


def test_a_renamed_option_is_known_by_its_older_name():
    """On the command line, and appended. Caught: the value of the packaged yaml."""
    for older in ("data.hidden=0.5", "+data.hidden=0.5"):
        with pytest.warns(FutureWarning, match=OLDER):
            plain = of("data=mnist", older)
        with warnings.catch_warnings(action="ignore"):
            assert build("data", plain["data"]).hidden_fraction == 0.5
    with pytest.warns(FutureWarning, match="prior.num_components is now prior.num_pseudo_inputs"):
        assert of("prior=vamp", "prior.num_components=7")["prior"]["num_pseudo_inputs"] == 7
    with pytest.warns(FutureWarning, match="trainer.products is now trainer.linear_kernels"):
        assert of("trainer.products=torch")["trainer"]["linear_kernels"] == "torch"
    assert of("prior=vamp", "num_components=500")["prior"]["num_pseudo_inputs"] == 500


def test_an_older_name_is_checked_as_the_present_one():
    with pytest.warns(FutureWarning), pytest.raises(ConfigurationError, match="hidden_fraction"):
        of("data.hidden=much")
    with pytest.raises(ConfigurationError, match="unknown option data.hiddem"):
        of("data.hiddem=0.5")


def test_in_python_a_renamed_argument_is_known_by_its_older_name():
    with pytest.warns(FutureWarning, match="Digits.hidden is now Digits.hidden_fraction"):
        data = vi.data.Digits(hidden=0.5)  # pyright: ignore[reportCallIssue]
    assert data.arguments == {"binarize": "dynamic", "context": None, "hidden_fraction": 0.5}
    with pytest.raises(TypeError, match="Digits: got hidden_fraction, and hidden, which is its"):
        vi.data.Digits(hidden=0.5, hidden_fraction=0.2)  # pyright: ignore[reportCallIssue]
    assert "hidden" not in inspect.signature(vi.data.Digits).parameters


def test_a_yaml_of_somebody_else_may_have_the_older_name(tmp_path, monkeypatch):
    """Above the value that the packaged yaml gives to the present one. Caught: that value."""
    (tmp_path / "data").mkdir()
    node = {"defaults": ["digits"], "data": {"hidden": 0.25}}
    text = "# @package _global_\n" + yaml.safe_dump(node, sort_keys=False)
    (tmp_path / "data" / "mine.yaml").write_text(text)
    with pytest.warns(FutureWarning, match=OLDER):
        plain = of(f"hydra.searchpath=[file://{tmp_path}]", "data=mine")
    with pytest.warns(FutureWarning, match=OLDER):
        assert build("data", plain["data"]).hidden_fraction == 0.25


@pytest.mark.filterwarnings("always:data.hidden is now:FutureWarning")
def test_files_of_older_runs_have_the_older_name(tmp_path, capsys):
    """A model directory, options.json, and a sweep. Caught: an unknown option of one's own run."""
    tiny = ["data.hidden_fraction=0.5", "trainer.max_epochs=1", "hidden=[4]", "latent_dim=2"]
    tiny += ["evaluation.num_samples=2", "trainer.device=cpu", *UNSEEN]
    tiny += ["trainer.limit_train_batches=2", "trainer.compile=off", "trainer.replay=false"]
    command(train.main, [*tiny, "hydra.run.dir=run"], tmp_path)
    path = tmp_path / "run" / run_options.FILE
    path.write_text(path.read_text().replace("data.hidden_fraction", "data.hidden"))
    goes_on = ["ckpt_path=run/checkpoints/last.ckpt", "trainer.max_epochs=2"]
    capsys.readouterr()
    command(train.main, goes_on, tmp_path)
    assert OLDER in capsys.readouterr().err
    kept = json.loads(path.read_text())["options"]
    assert {"name": "data.hidden_fraction", "value": 0.5} in kept
    swept = ["-m", *tiny[1:], "data.hidden=0.1,0.2", "hydra.sweep.dir=s"]
    with pytest.raises(SystemExit) as ended:
        command(train.main, swept, tmp_path)
    assert ended.value.code == 0
    assert OLDER in capsys.readouterr().err
    facts = [json.loads((tmp_path / "s" / n / "metrics.json").read_text()) for n in "01"]
    assert [f["data/hidden"] for f in facts] == [0.1, 0.2]


def test_an_option_that_was_renamed_gives_the_same_part():
    with pytest.warns(FutureWarning, match="=laplace is an older name.*=diagonal_laplace"):
        older = of("posterior=laplace")
    assert older == of("posterior=diagonal_laplace")
    assert to_config("posterior", vi.DiagonalLaplace(3))["option"] == "diagonal_laplace"


def test_no_part_is_imported_for_a_typing_error():
    """Which is told in a second. Caught: torch, to ask a class for its older names."""
    program = (
        "import sys; from vi.cli import train\n"
        "try: train.main(['trainer.max_epoch=3'])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"]
    assert "did you mean trainer.max_epochs?" in done.stderr


def test_every_older_name_is_found_without_an_import():
    classes = [resolve(target_of(g, o), g) for g in ROLES.keys() - SETS for o in options(g)]
    declared = {name for cls in classes for name in getattr(cls, "renamed", {})}
    assert declared == typed_names._older_names() == {"hidden", "num_components", "products"}
