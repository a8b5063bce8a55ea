"""A checkpoint is whole, checked, and touches nothing outside of its folder."""

import copy
import io
import os
import shutil
import zipfile

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import vi
from tests.support.runs import EPOCH, Calls, fit, last_of, same
from tests.support.tiny import mixture
from vi.errors import CheckpointError, ConfigurationError, DataError, RunDirectoryError
from vi.files.atomic import remove_left_over, write_atomically
from vi.files.checkpoint_file import fault, is_sealed, read_checkpoint, sealed
from vi.training.resuming import checkpoint_files

pytestmark = pytest.mark.filterwarnings("ignore:model/ will not be written")


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr("vi.evaluation.over_split._DRAWS", 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a periodic checkpoint of its user's."""
    folder = tmp_path_factory.mktemp("run")
    fit(folder, callbacks=[periodic(folder)])
    return folder


def periodic(folder):
    return ModelCheckpoint(folder / "own", filename="{step}", every_n_train_steps=EPOCH - 1)


@pytest.fixture
def copied(run, tmp_path):
    """The same in a folder of its own."""
    return shutil.copytree(run, tmp_path / "run")


def content():
    return bytes(sealed({"a": torch.arange(5.0), "b": 3}))


def test_torch_and_zip_take_a_sealed_file_as_it_is():
    """Caught: a comment whose length is not written."""
    one = torch.load(io.BytesIO(content()), weights_only=True)
    assert one["b"] == 3
    assert torch.equal(one["a"], torch.arange(5.0))
    with zipfile.ZipFile(io.BytesIO(content())) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"vi sha256 ")


def test_a_sealed_file_has_no_fault():
    assert fault(content()) is None


def test_every_flipped_bit_is_found():
    """Caught: a digest of the records only; a size that nothing protects."""
    whole = content()
    for position in range(len(whole)):
        bad = bytearray(whole)
        bad[position] ^= 1 << position % 8
        assert fault(bytes(bad)) == "checksum mismatch", position


def test_every_truncation_is_found_with_its_number_of_bytes():
    """Caught: a size that stands at the end of the file."""
    whole = content()
    assert fault(b"") == "is empty"
    for size in range(1, len(whole)):
        told = f"{size} of {len(whole)} bytes" if size >= 64 else f"{size} bytes"
        assert fault(whole[:size]) == f"truncated ({told})"
    assert fault(whole + b"x") == "checksum mismatch"


def test_the_newest_good_file_is_named(copied):
    """Caught: a damaged one named; the damaged file itself named."""
    last, best = last_of(copied), copied / "checkpoints" / "best.ckpt"
    damaged = copied / "checkpoints" / "newer.ckpt"
    damaged.write_bytes(last.read_bytes()[:-1])
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last.ckpt: truncated \(1000 of \d+ bytes\)") as e:
        fit(copied, goes_on=True, epochs=4)
    assert e.value.hint == f"{best} is the newest good checkpoint of the folder"


def test_a_file_of_an_older_version_loads_with_a_warning(copied):
    """Caught: refused for the lack of a checksum."""
    last = last_of(copied)
    saved = read_checkpoint(last)
    torch.save({k: v for k, v in saved.items() if k != "run"}, last)
    assert not is_sealed(last)
    with pytest.warns(UserWarning, match="last.ckpt has no checksum"):
        resumed = fit(copied, goes_on=True, epochs=4)
    assert resumed.metrics["train/steps"] == 4 * EPOCH


def test_the_best_weights_of_an_older_version_are_known(copied):
    """By the state of Lightning's callback, wherever the run was moved.

    Caught: the first epoch that follows taken for the best.
    """
    last, folder = last_of(copied), "/an/old/place/checkpoints"
    saved = {k: v for k, v in read_checkpoint(last).items() if k != "run"}
    state = {
        "monitor": "val/bound",
        "best_model_score": torch.tensor(0.0),  # no bound is higher
        "best_model_path": f"{folder}/best.ckpt",
        "dirpath": folder,
        "best_k_models": {f"{folder}/best.ckpt": torch.tensor(0.0)},
    }
    saved["callbacks"] = {"ModelCheckpoint{'monitor': 'val/bound', 'mode': 'max'}": state}
    torch.save(saved, last)
    with pytest.warns(UserWarning, match="has no checksum"):
        resumed = fit(copied, goes_on=True, epochs=4)
    assert resumed.metrics["weights"] == "best val/bound, epoch 3"


def test_what_a_killed_process_left_is_removed_by_the_next_run(copied):
    """And nothing else. Caught: 95 MB that stay for ever."""
    left = [copied / "checkpoints" / ".last.ckpt.17.tmp", copied / "model" / ".config.json.9.tmp"]
    others = [copied / "checkpoints" / "mine.tmp", copied / ".mine.tmp"]
    for path in [*left, *others]:
        path.write_bytes(b"x")
    fit(copied, goes_on=True)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def fails(temporary):
        temporary.write_bytes(b"ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunDirectoryError, match="cannot write .*: No space left on device"):
        write_atomically(path, fails)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]
    remove_left_over(tmp_path, tmp_path / "nowhere")


def hostile(saved, change):
    saved = copy.deepcopy(saved)
    change(saved)
    return saved


def first_state(saved):
    return saved["optimizer_states"][0]["state"][0]


def put(*path, value):
    def change(saved):
        for key in path[:-1]:
            saved = saved[key]
        saved[path[-1]] = value(saved[path[-1]]) if callable(value) else value

    return change


def drop(*path):
    def change(saved):
        for key in path[:-1]:
            saved = saved[key]
        del saved[path[-1]]

    return change


MOMENT = ("optimizer_states", 0, "state", 0, "exp_avg")
OWN = "ModelCheckpoint{'monitor': None, 'mode': 'min', 'every_n_train_steps': 5, 'every_n_epochs': 0, 'train_time_interval': None}"  # fmt: skip  # noqa: E501
HOSTILE = {
    "no_step": drop("global_step"),
    "no_weights": drop("state_dict"),
    "no_callbacks": drop("callbacks"),
    "negative_step": put("global_step", value=-1),
    "text_step": put("global_step", value="6"),
    "huge_step": put("global_step", value=1 << 70),
    "no_threads": put("threads", value=-1),
    "many_threads": put("threads", value=10**6),
    "text_threads": put("threads", value="2"),
    "plans_list": put("products", value=[1]),
    "plans_of_ranks_junk": put("products", value=[{}, {"1x2x3, 1 threads": ["a"]}]),
    "plans_junk": put("products", value={"1x2x3, 1 threads": ["a"]}),
    "moment_shape": put(*MOMENT, value=torch.zeros(1, 2, 3)),
    "moment_dtype": put(*MOMENT, value=lambda t: t.double()),
    "moment_nan": put(*MOMENT, value=lambda t: t * torch.nan),
    "moment_strides": put(*MOMENT, value=lambda t: t.flatten()[:1].expand(t.numel()).view_as(t)),
    "moment_text": put(*MOMENT, value=["a"]),
    "unknown_parameter": put("optimizer_states", 0, "state", 10**6, value={})
    and (lambda saved: saved["optimizer_states"][0]["state"].update({10**6: {}})),
    "groups_missing": drop("optimizer_states", 0, "param_groups"),
    "rate_text": put("optimizer_states", 0, "param_groups", 0, "lr", value="a"),
    "rate_none": put("optimizer_states", 0, "param_groups", 0, "lr", value=None),
    "decay_none": put("optimizer_states", 0, "param_groups", 0, "weight_decay", value=None),
    "rate_list": put("optimizer_states", 0, "param_groups", 0, "lr", value=[1.0]),
    "params_junk": put("optimizer_states", 0, "param_groups", 0, "params", value=[5]),
    "no_optimizers": put("optimizer_states", value=[]),
    "schedules_junk": put("lr_schedulers", value=[{"step": 3}]),
    "weights_list": put("state_dict", value=[1, 2]),
    "weights_nan": put(
        "state_dict", "model.inference.encoder.body.0.bias", value=lambda t: t * torch.nan
    )
    and (lambda saved: next(iter(saved["state_dict"].values())).mul_(torch.nan)),
    "weights_dtype": lambda saved: saved["state_dict"].update(
        {k: v.double() for k, v in saved["state_dict"].items()}
    ),
    "weights_text": lambda saved: saved["state_dict"].update(
        dict.fromkeys(saved["state_dict"], "a")
    ),
    "scheme_attribute": put("scheme", value={"step": 3}),
    "spent_text": put("spent", value={"seconds": "a", "encoder": 1, "decoder": 1}),
    "spent_nan": put("spent", "encoder", value=float("nan")),
    "plans_long": put("products", value={"1x2x3, 1 threads": [True] * 50}),
    "spent_more": put("spent", value={"seconds": 1.0, "encoder": 1, "decoder": 1, "x": 1}),
    "run_list": put("run", value=[]),
    "ended_junk": put("run", "ended", value=["because"]),
    "seed_text": put("run", "seed", value="0"),
    "latest_text": put("run", "latest", value={"train/elbo": "a"}),
    "means_junk": put("run", "means", value={"bound": [1]}),
    "best_score_text": put("callbacks", "Best", value={"score": "a", "step": 0}),
    "outside": put("callbacks", OWN, "best_model_path", value="/etc"),
    "outside_up": put("callbacks", OWN, "last_model_path", value="../../secret"),
    "outside_dots": put("callbacks", OWN, "kth_best_model_path", value=".."),
    "outside_key": put("callbacks", OWN, "best_k_models", value={"/home/a": torch.tensor(1.0)}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_run_writes_is_refused_before_it_is_used(run, tmp_path, name):
    """Caught: NaN a step later, ``setattr`` of any attribute of a scheme, tracebacks."""
    path = tmp_path / "checkpoints" / "last.ckpt"
    write_atomically(path, sealed(hostile(read_checkpoint(last_of(run)), HOSTILE[name])))
    with pytest.raises(CheckpointError):
        fit(tmp_path, ckpt_path=path, epochs=4, callbacks=[periodic(tmp_path)])


def test_an_older_run_that_had_kept_no_best_weights_goes_on(copied):
    """Caught: TypeError, float of None."""
    path = last_of(copied)
    saved = read_checkpoint(path)
    del saved["callbacks"]["Best"]
    saved["callbacks"]["ModelCheckpoint{'monitor': 'val/bound'}"] = {
        "monitor": "val/bound",
        "best_model_path": "",
        "best_model_score": None,
    }
    write_atomically(path, sealed(saved))
    fit(copied, goes_on=True, epochs=4)


@pytest.mark.parametrize("junk", [torch.zeros(3), [1, 2], {}, 5, None])
def test_bare_values_are_no_checkpoint(tmp_path, junk):
    path = tmp_path / "last.ckpt"
    torch.save(junk, path)
    with pytest.raises(CheckpointError, match="is not a checkpoint of"):
        fit(tmp_path / "run", ckpt_path=path)
    assert not (tmp_path / "run").exists()


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(tmp_path):
    """Caught: gigabytes unpacked."""
    path = tmp_path / "last.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    with pytest.raises(CheckpointError, match="is not a checkpoint of a run, or is damaged"):
        read_checkpoint(path)


def test_no_callback_removes_what_a_checkpoint_names(run, tmp_path):
    """A folder of the user's stays. Caught: Lightning's ``rm`` of the path in the state."""
    precious = tmp_path / "precious"
    precious.mkdir()
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    saved = hostile(
        read_checkpoint(last_of(run)),
        put("callbacks", OWN, "best_model_path", value=str(precious)),
    )
    write_atomically(path, sealed(saved))
    with pytest.raises(CheckpointError, match="names a file outside of its folder"):
        fit(tmp_path / "run", ckpt_path=path, epochs=4, callbacks=[periodic(tmp_path / "run")])
    assert precious.is_dir()


def test_a_periodic_checkpoint_is_replaced_where_the_run_was_moved(run, tmp_path):
    """Caught: the state of ModelCheckpoint names the old place."""
    states = read_checkpoint(last_of(run))["callbacks"]
    assert states[OWN]["best_model_path"] == "step=15.ckpt"
    assert states[OWN]["dirpath"] == ""
    moved = shutil.copytree(run, tmp_path / "moved")
    fit(moved, goes_on=True, epochs=4, callbacks=[periodic(moved)])
    assert [p.name for p in (moved / "own").iterdir()] == ["step=20.ckpt"]
    assert [p.name for p in (run / "own").iterdir()] == ["step=15.ckpt"]


@pytest.mark.parametrize("make", [lambda: vi.ExactEM(0.0), lambda: vi.IncrementalEM(0.0)])
def test_statistics_of_other_shapes_are_refused(tmp_path, make):
    fit(tmp_path, net=mixture, scheme=make(), max_steps=8)
    saved = read_checkpoint(last_of(tmp_path))
    sums = saved["scheme"].get("sums") or saved["scheme"]["whole"]
    sums["count"] = torch.zeros(3)
    path = tmp_path / "checkpoints" / "other.ckpt"
    write_atomically(path, sealed(saved))
    with pytest.raises(CheckpointError, match="scheme"):
        fit(tmp_path, net=mixture, scheme=make(), ckpt_path=path)


def test_data_that_have_changed_are_refused(copied):
    """Caught: exit 0 with other numbers."""
    from tests.support.runs import data

    with pytest.raises(DataError, match="^a.csv is not the file the run was trained on"):
        fit(copied, goes_on=True, epochs=4, given=data(**{"data/sha256": "34"}))


def test_another_seed_is_another_run(copied):
    with pytest.raises(ConfigurationError, match="was trained with seed=0, not seed=1"):
        fit(copied, goes_on=True, epochs=4, seed=1)


def test_init_from_beside_ckpt_path_is_refused(copied):
    with pytest.raises(ConfigurationError, match="init_from has no effect"):
        fit(copied, goes_on=True, init_from=copied)


def test_a_disk_that_is_full_from_some_epoch_on_keeps_what_was_written(tmp_path, monkeypatch):
    """Caught: last.ckpt of 0 bytes; a traceback."""
    monkeypatch.setattr(checkpoint_files, "INTERVAL", 0.0)
    write = checkpoint_files.write_atomically

    def full(path, content):
        def short(temporary):
            temporary.write_bytes(content[:100])
            raise OSError(28, "No space left on device")

        write(path, short)

    def fill():
        monkeypatch.setattr(checkpoint_files, "write_atomically", full)

    told = r"cannot write .*: No space left on device; previous checkpoint step=12 is intact"
    with pytest.raises(RunDirectoryError, match=told):
        fit(tmp_path, callbacks=[Calls("on_train_epoch_start", 2 * EPOCH, fill)])
    monkeypatch.setattr(checkpoint_files, "write_atomically", write)
    whole = fit(tmp_path.with_name("whole"))
    assert same(fit(tmp_path, goes_on=True).model, whole.model)


@pytest.mark.parametrize("kind", ["file", "parent"])
def test_a_place_for_no_checkpoint_is_found_before_the_first_step(tmp_path, kind):
    """Caught: epochs trained that nobody can go on from."""
    place = tmp_path / "run"
    if kind == "file":
        place.mkdir()
        (place / "checkpoints").write_text("mine")
    else:
        place.write_text("mine")
    begun = Calls("on_train_batch_start", 0, lambda: pytest.fail("a step was taken"))
    with pytest.raises(RunDirectoryError):
        fit(place, callbacks=[begun])


def test_a_disk_without_room_for_a_checkpoint_is_found_before_the_first_step(
    tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    begun = Calls("on_train_batch_start", 0, lambda: pytest.fail("a step was taken"))
    with pytest.raises(RunDirectoryError, match="cannot write checkpoints to .*: No space left"):
        fit(tmp_path / "run", callbacks=[begun])


def test_commands_that_read_a_run_know_its_data_again(tmp_path):
    """As ``evaluate``, ``encode`` and ``impute`` open it. Caught: exit 0 with other numbers."""
    from vi.cli.runs import open_run
    from vi.data.csv import CSV

    table = tmp_path / "a.csv"
    table.write_text("a,b\n" + "".join(f"{i % 2},{i % 3 % 2}\n" for i in range(40)))
    data = CSV(str(table))
    model, facts = vi.BernoulliMixture((2,), 2), data.load(0).facts | {"seed": 0}
    vi.save(model, tmp_path / "model", facts=facts, parts={"bound": vi.ELBO(), "data": data})
    assert same(open_run(str(tmp_path), device="cpu").model, model)
    table.write_text(table.read_text() + "1,1\n")
    with pytest.raises(DataError, match="^a.csv is not the file the run was trained on"):
        open_run(str(tmp_path), device="cpu")
