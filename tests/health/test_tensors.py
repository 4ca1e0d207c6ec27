"""`python -m dogbreed.health tensors` on trials that the real smdebug wrote, here and in S3."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dogbreed.health.__main__ import main
from dogbreed.health.samples import Sample
from dogbreed.health.smdebug.saved import read_trial
from dogbreed.health.smdebug.trial import Trial, holds_trial, open_trial
from dogbreed.health.tensors import REDUCTIONS, curves, list_tensors

smd = pytest.importorskip("smdebug.pytorch")

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) - 5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 batches of training, 2 of val, 4 of training and 2 of val; the losses are 0, 1, 2 ..., in order."""
    where = tmp_path_factory.mktemp("tensors") / "trial"
    hook = smd.Hook(out_dir=str(where), save_config=smd.SaveConfig(save_interval=1), include_collections=["weights"])
    module, loss = torch.nn.Identity(), torch.nn.MSELoss()
    hook.register_module(module)
    hook.register_loss(loss)
    for number, mode in enumerate(("TRAIN",) * 4 + ("EVAL",) * 2 + ("TRAIN",) * 4 + ("EVAL",) * 2):
        hook.set_mode(smd.modes[mode])
        module(torch.zeros(1))
        hook.record_tensor_value("my_weight", torch.from_numpy(VALUES * number))
        loss(torch.tensor([float(number) ** 0.5]), torch.zeros(1))
    hook.close()
    smd.del_hook()
    return where


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A step of training, of which the l1 norm and the variance of a tensor were saved, and not the tensor."""
    where = tmp_path_factory.mktemp("tensors") / "reduced"
    hook = smd.Hook(
        out_dir=str(where),
        save_config=smd.SaveConfig(save_interval=1),
        reduction_config=smd.ReductionConfig(reductions=["variance"], norms=["l1"]),
        include_collections=["mine"],
    )
    hook.get_collection("mine").include("my_")
    module = torch.nn.Identity()
    hook.register_module(module)
    hook.set_mode(smd.modes.TRAIN)
    module(torch.zeros(1))
    hook.record_tensor_value("my_weight", torch.from_numpy(VALUES))
    hook.close()
    smd.del_hook()
    return where


@pytest.fixture
def trial(written: Path) -> Trial:
    return open_trial(written)


def test_tensors__lists_names_shapes_collections_and_steps(trial: Trial) -> None:
    rows = {row.name: row for row in list_tensors(trial)}
    weight = rows["my_weight_output_0"]
    assert (weight.shape, weight.collections) == ((3, 4), ("weights",))
    assert weight.steps == {"TRAIN": list(range(8)), "EVAL": list(range(4))}
    assert "losses" in rows["MSELoss_output_0"].collections


def test_tensors__losses_by_default(trial: Trial) -> None:
    train, val = curves(trial, None, "mean")
    assert (train.mode, train.steps) == ("TRAIN", list(range(8)))
    assert train.values == pytest.approx([0, 1, 2, 3, 6, 7, 8, 9])
    assert (val.mode, val.steps) == ("EVAL", [4, 8]), "by what was trained before"
    assert val.values == pytest.approx([4.5, 10.5]), "of each evaluation the mean"


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_tensors__reductions_are_numpys(reduction: str, trial: Trial) -> None:
    name = reduction.removeprefix("abs_")
    oracles: dict[str, Callable[[Any], Any]] = {
        "variance": np.var,
        "l1": lambda values: np.abs(values).sum(),
        "l2": lambda values: np.sqrt(np.square(values).sum()),
    }
    taken = oracles.get(name) or getattr(np, name)

    def oracle(values: Any) -> Any:
        return taken(np.abs(values) if reduction != name else values)

    found = next(curve for curve in curves(trial, "my_weight", reduction) if curve.mode == "TRAIN")
    numbers = (0, 1, 2, 3, 6, 7, 8, 9)
    assert found.values == pytest.approx([float(oracle(VALUES.astype(float) * number)) for number in numbers])


def test_tensors__command_lists_and_says_how_to_go_on(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tensors", str(written)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"my_weight_output_0 +3x4 +weights +8: 0\.\.7 +4: 0\.\.3", out)
    assert f"python -m dogbreed.health tensors {written} --plot" in out


def test_tensors__draws_a_picture(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tensors", str(written), "--plot", "--out", str(tmp_path / "new/losses.png")]) == 0
    with Image.open(tmp_path / "new/losses.png") as picture:
        assert len(set(picture.convert("RGB").getdata())) > 10, "axes and curves are there"
    assert str(tmp_path / "new/losses.png") in capsys.readouterr().out


def test_tensors__draws_what_an_expression_finds_as_svg(written: Path, tmp_path: Path) -> None:
    arguments = ["--plot", "weight|MSELoss_out", "--of", "l2", "--out", str(tmp_path / "both.svg")]
    assert main(["tensors", str(written), *arguments]) == 0
    assert (tmp_path / "both.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plot", "my_wieght_output_0"], "did you mean my_weight_output_0"),
        (["--plot", "a("], "a regular expression"),
        (["--plot", "--out", "losses.gif"], "ends with .png or .svg"),
    ],
)
def test_tensors__a_mistake_is_one_clear_error(
    arguments: list[str], said: str, written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tensors", str(written), *arguments]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("reduction", ["l1", "variance"])
def test_tensors__draws_a_reduction_that_was_saved_in_place_of_a_tensor(
    reduction: str, reduced: Path, tmp_path: Path
) -> None:
    assert main(["tensors", str(reduced), "--plot", "my_", "--of", reduction, "--out", str(tmp_path / "a.png")]) == 0
    (found,) = curves(open_trial(reduced), "my_", reduction)
    expected = {"l1": np.abs(VALUES).sum(), "variance": torch.from_numpy(VALUES).var()}[reduction]
    assert found.values == pytest.approx([float(expected)])


def test_tensors__what_it_offers_of_a_reduced_tensor_is_taken(
    reduced: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = ["tensors", str(reduced), "--plot", "my_", "--out", str(tmp_path / "a.png")]
    assert main(plot) == 1
    offered = re.search(r"add (--of \w+)", capsys.readouterr().err)
    assert offered is not None
    assert main([*plot, *offered[1].split()]) == 0


def test_tensors__a_mistyped_reduction_of_a_whole_tensor(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tensors", str(written), "--plot", "my_weight", "--of", "meen"]) == 1
    assert "did you mean mean" in capsys.readouterr().err


LOCKED = """
import os, sys
from dogbreed.errors import ConfigError
from dogbreed.health.smdebug.trial import holds_trial, open_trial
trial, locked = sys.argv[1:]
open_trial(trial)  # imports what is imported where it is used
os.chmod(locked, 0)
os.seteuid(12345)
for look in (open_trial, holds_trial):
    try:
        print(look(trial))
    except ConfigError as error:
        print(error.got, "|", error.hint)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("locked", [".", "trial", "trial/index", "trial/index/000000000"])
def test_trial__without_permission_is_no_folder_without_a_trial(locked: str, written: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others as a whole
        Path(folder).chmod(0o755)
        trial = Path(shutil.copytree(written, Path(folder, "trial")))
        command = [sys.executable, "-c", LOCKED, str(trial), str(Path(folder, locked))]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{trial} cannot be read") == 2, done.stdout
    assert done.stdout.count("check its permissions") == 2


def test_tensors__a_path_without_a_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tensors", str(tmp_path)]) == 1
    assert "holds no trial of smdebug" in capsys.readouterr().err


# -- S3 -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """moto's real server, with a trial's bucket."""
    if not all(importlib.util.find_spec(name) for name in ("moto", "s3fs", "flask")):
        pytest.skip("needs moto[server] and s3fs")
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, written: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """s3://jobs/debug-output, which holds the trial."""
    import s3fs

    given = {"AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    for name, value in {**given, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    remote: Any = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    if not remote.exists("jobs"):
        remote.mkdir("jobs")
        remote.put(str(written), "jobs/debug-output", recursive=True)
    return "s3://jobs/debug-output"


def test_s3__reads_what_lies_there(bucket: str, written: Path) -> None:
    there, here = ([event for event in read_trial(path) if isinstance(event, Sample)] for path in (bucket, written))
    assert there == here


def test_s3__command(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tensors", bucket]) == 0
    assert "my_weight_output_0" in capsys.readouterr().out
    assert main(["tensors", bucket, "--plot", "--out", str(tmp_path / "losses.png")]) == 0
    assert (tmp_path / "losses.png").stat().st_size > 1000


def test_s3__no_such_bucket(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tensors", "s3://nowhere/at-all"]) == 1
    assert "there is no s3://nowhere/at-all" in capsys.readouterr().err


def test_s3__without_permission(bucket: str, server: str, capsys: pytest.CaptureFixture[str]) -> None:
    def allow(requests: bytes) -> None:  # how many are served before moto asks for permissions
        request = urllib.request.Request(f"{server}/moto-api/reset-auth", requests, {"Content-Type": "text/plain"})
        urllib.request.urlopen(request).close()

    allow(b"0")
    try:
        assert main(["tensors", bucket]) == 1
    finally:
        allow(b"inf")
    assert "check the credentials" in capsys.readouterr().err


def test_s3__without_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert main(["tensors", bucket]) == 1


def test_s3__a_trial_is_noticed_before_another_is_written(bucket: str) -> None:
    assert holds_trial(bucket)
    assert not holds_trial("s3://jobs/another")
