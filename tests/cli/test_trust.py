"""What travels with a run imports nothing, adds no folder, and says nothing to Hydra itself."""

import json
import shlex
import sys
import time

import pytest

from tests.cli.test_commands import command
from vi.cli import train
from vi.cli.composing.compose import composed
from vi.cli.composing.run_options import FILE, continued, parsed, write
from vi.config.run import Run
from vi.errors import CheckpointError, ConfigurationError

PLAIN = [
    "trainer.max_epochs=2",
    "hidden=[16,8]",
    "data.path='my file, a.csv'",
    "bound=iwae",
    "flow@posterior.flow=spline",
    "~callbacks.pictures",
    "+encoder.bias=true",
    "optimizer.lr=1e-05",
    "data.context=null",
    "likelihood.likelihoods=[{option:categorical,num_classes:3},bernoulli]",
    "logger.csv.name=csv",
    "seed=9223372036854775807",
]
SWEPT = ["seed=1,2", "seed=range(1,1000000)"]
HOSTILE = [
    "plugins=[evil]",
    "++plugins=[evil]",
    "hydra.searchpath=[file:///tmp/evil]",
    "+hydra.callbacks.x._target_=torch.utils.collect_env.run",
    "hydra={job:{env_set:{LD_PRELOAD:evil.so}}}",
    "++hydra={callbacks:{}}",
    "hydra/job_logging=default",
    "experiment@hydra.job_logging=x",
    "hydra.job.chdir=true",
    "experiment=../../tmp/evil",
    "experiment=a/b",
    "model._target_=os.system",
    "+callbacks.x={_target_:lightning.pytorch.callbacks.ModelCheckpoint,dirpath:/home}",
    "+logger.csv.save_dir=elsewhere",
    "logger.csv.name=../../elsewhere",
    "hidden=${oc.env:HOME}",
    *SWEPT,
]


@pytest.fixture
def run(tmp_path):
    """A run directory as the command line sees it; nothing reads its checkpoint here."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"weights")
    return tmp_path / "run"


def kept_by_hydra(run, overrides, hydra="hydra: {searchpath: []}"):
    """What a run of an earlier version left."""
    (run / ".hydra").mkdir(exist_ok=True)
    texts = overrides if isinstance(overrides, str) else json.dumps(overrides)
    (run / ".hydra" / "overrides.yaml").write_text(texts)
    if hydra is not None:
        (run / ".hydra" / "hydra.yaml").write_text(hydra)


def read(overrides):
    """Names and values, as Hydra reads them."""
    return [(o.get_key_element(), o.value()) for o in parsed(overrides)]


@pytest.mark.parametrize("where", [kept_by_hydra, lambda run, o: write(run, o, [])])
def test_plain_options_travel(run, where):
    """By either file; then come the directory and what was typed. Caught: ``1`` read as true."""
    where(run, [*PLAIN, "num_components=1", "ckpt_path=a.ckpt", "init_from=b"])
    *kept, place, typed = continued(["latent_dim=3"], run)
    assert read(kept) == read([*PLAIN, "num_components=1"])
    assert read([place]) == [("hydra.run.dir", str(run))]
    assert typed == "latent_dim=3"


def test_what_is_typed_replaces_what_the_run_has(run):
    """Also where the run has it already: so each process of a run may read its options.

    Caught: a second ~callbacks.pictures, which Hydra refuses.
    """
    write(run, ["seed=1", "~callbacks.pictures", "+encoder.bias=true"], [])
    typed = ["seed=2", "~callbacks.pictures", "++encoder.bias=false"]
    once = continued(typed, run)
    assert once[1:] == typed
    write(run, once[1:], [])
    assert continued(typed, run) == once


@pytest.mark.parametrize("option", HOSTILE)
@pytest.mark.parametrize("where", [kept_by_hydra, lambda run, o: write(run, o, [])])
def test_an_option_that_could_run_code_has_to_be_typed(run, option, where, capsys):
    """Exit 2, and the command for who trusts it; what was typed is not looked for in the run.

    Caught: plugins that were imported; hydra={...}, which is no option of Hydra's by its prefix.
    """
    if option in SWEPT and where is not kept_by_hydra:
        pytest.skip("a job has one value")
    where(run, ["latent_dim=2", option])
    typed = f"ckpt_path={run}/checkpoints/last.ckpt"
    with pytest.raises(SystemExit) as ended:
        command(train.main, [typed, "latent_dim=3"], run.parent)
    assert ended.value.code == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert "could run code" in error
    words = shlex.split(hint.partition("yourself: ")[2])
    assert words[:4] == ["python", "train.py", typed, "latent_dim=3"]
    assert read(words[4:]) == read([option])
    assert continued([typed, *words[4:]], run)[-1] == words[4]


def test_a_search_path_that_hydra_kept_has_to_be_typed(run):
    kept_by_hydra(run, ["seed=1"], "hydra: {searchpath: ['file:///tmp/evil']}")
    with pytest.raises(ConfigurationError, match="could run code") as caught:
        continued([], run)
    assert "'hydra.searchpath=[" in caught.value.hint
    write(run, ["seed=1"], ["file:///tmp/evil"])
    with pytest.raises(ConfigurationError, match="could run code"):
        continued([], run)


def test_a_plugin_beside_a_checkpoint_is_not_imported(run, monkeypatch, capsys):
    """Nor for its folder of yaml files. Caught: a package that wrote a file when it was found."""
    (run.parent / "evil").mkdir()
    marker = run.parent / "marker"
    (run.parent / "evil" / "__init__.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.syspath_prepend(str(run.parent))
    kept_by_hydra(run, ["plugins=[evil.inner]", "hydra.searchpath=[pkg://evil.configs]"])
    with pytest.raises(SystemExit) as ended:
        command(train.main, [f"ckpt_path={run}/checkpoints/last.ckpt"], run.parent)
    assert ended.value.code == 2
    assert not marker.exists()
    assert "evil" not in sys.modules
    assert "plugins=[evil.inner]" in capsys.readouterr().err


LAUGHS = "a: &a [ha, ha]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)
BAD_FILES = [  # overrides.yaml, hydra.yaml
    (LAUGHS, ""),
    ("- [", ""),
    ("- !!python/name:os.system", ""),
    ("seed=1", ""),
    ("{seed: 1}", ""),
    ("- 5", ""),
    ("- seed=[[", ""),
    (f"- seed={'[' * 3000}", ""),
    (json.dumps([f"seed{i}=1" for i in range(5000)]), ""),
    ('- "seed=1\\e[2J"', ""),
    ("[]", ""),
    ("[]", "just a text"),
    ("[]", "hydra: 5"),
    ("[]", "hydra: {searchpath: {a: 1}}"),
    ("[]", LAUGHS),
    ("[]", None),
]


@pytest.mark.parametrize(("overrides", "hydra"), BAD_FILES, ids=lambda t: str(t)[:10])
def test_damaged_files_of_hydra_end_with_4_within_a_second(run, overrides, hydra):
    kept_by_hydra(run, overrides, hydra)
    started = time.process_time()
    with pytest.raises(CheckpointError, match=r"run/\.hydra: ") as caught:
        continued([], run)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert time.process_time() - started < 1


def test_what_is_not_utf8_ends_with_4(run):
    kept_by_hydra(run, [])
    (run / ".hydra" / "overrides.yaml").write_bytes(b"- seed=\xff")
    with pytest.raises(CheckpointError, match="is not UTF-8 from byte 7 on"):
        continued([], run)


BAD_OPTIONS = [
    [],
    {"format": 2, "options": []},
    {"format": 1},
    {"format": 1, "options": {}},
    {"format": 1, "options": [5]},
    {"format": 1, "options": [{"name": 5, "value": 1}]},
    {"format": 1, "options": [{"name": "seed"}]},
    {"format": 1, "options": [{"name": "~seed", "value": 1}]},
    {"format": 1, "options": [{"name": "seed=1 x", "value": 1}]},
    {"format": 1, "options": [{"name": "seed", "value": {"a b": 1}}]},
    {"format": 1, "options": [{"name": "seed", "value": "a\x1b[2J"}]},
    {"format": 1, "options": [{"name": "seed", "value": "a" * 20000}]},
]


@pytest.mark.parametrize("content", BAD_OPTIONS, ids=lambda c: str(c)[-20:])
def test_a_damaged_file_of_options_ends_with_4(run, content):
    """And is not made up for by what Hydra kept."""
    kept_by_hydra(run, ["seed=1"])
    (run / FILE).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"run/options\.json: ") as caught:
        continued([], run)
    assert str(caught.value).isprintable()


# --- a folder of yaml files that was typed ---

SETS = [
    "hydra: {job_logging: {root: {level: DEBUG}}}",
    "hydra: {job: {env_set: {A: b}}}",
    "hydra: {job: {env_copy: [HOME]}}",
    "hydra: {job: {chdir: true}}",
    "hydra: {output_subdir: elsewhere}",
    "hydra: {verbose: true}",
    "hydra: {hydra_logging: {handlers: {x: {(): torch.utils.collect_env.run}}}}",
    "hydra: {callbacks: {x: {_target_: hydra_plugins.x}}}",
]


@pytest.fixture
def folder(tmp_path):
    """(a function that writes experiment/mine.yaml, the options that choose it)."""
    (tmp_path / "experiment").mkdir()

    def wrote(text):
        content = text if isinstance(text, bytes) else f"# @package _global_\n{text}\n".encode()
        (tmp_path / "experiment" / "mine.yaml").write_bytes(content)
        return [f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"]

    return wrote


@pytest.mark.parametrize("text", SETS)
def test_a_yaml_says_nothing_to_hydra(folder, text):
    """Caught: hydra.job.env_set, and log files that truncated a file of the user's."""
    with pytest.raises(ConfigurationError, match=r"hydra[./]\S+ is set by a yaml file") as caught:
        composed("train", folder(text), Run)
    assert "command line: hydra." in caught.value.hint


def test_what_is_typed_may_speak_to_hydra(folder):
    """And a yaml may say where runs go, and describe parts."""
    chosen = folder("seed: 7\nhydra: {run: {dir: 'there/${seed}'}, sweep: {subdir: 'x${seed}'}}")
    typed = ["hydra.job.chdir=true", "hydra/job_logging=default", "hydra.verbose=true"]
    assert composed("train", [*chosen, *typed], Run)["seed"] == 7


def test_a_yaml_imports_nothing(folder):
    with pytest.raises(ConfigurationError, match=r"a yaml file sets plugins=\[json\]"):
        composed("train", folder("plugins: [json]"), Run)
    assert composed("train", [*folder(""), "plugins=[json]"], Run)["plugins"] == ["json"]


BAD_YAML = [
    (LAUGHS, "unpacks to more than"),
    ("seed: !!python/name:os.system", "holds the tag"),
    ("[" * 5000, "nests deeper"),
    (b"seed: \xff", "is not UTF-8"),
    ("seed: [", "is not yaml"),
    ("".join(f"l{i}: '${{l{i + 1}}}${{l{i + 1}}}'\n" for i in range(40)), "refer to other values"),
]


@pytest.mark.parametrize(("text", "told"), BAD_YAML, ids=lambda t: str(t)[:10])
def test_a_yaml_that_unpacks_without_end_ends_within_a_second(folder, text, told):
    chosen = folder(text)
    started = time.process_time()
    with pytest.raises(ConfigurationError, match=told):
        composed("train", chosen, Run)
    assert time.process_time() - started < 2  # Hydra's own part included
