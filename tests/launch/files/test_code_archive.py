"""The archive of a job's code, unpacked and run where the library is not installed."""

from __future__ import annotations

import io
import os
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uv import find_uv_bin

from dogbreed.errors import ConfigError
from launch.files.packaging import CodeArchive, pack_code
from launch.files.requirements import of_checkout

ROOT = Path(__file__).parents[3]


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of what is in this one now; not to be changed."""
    root = tmp_path_factory.mktemp("whole") / "checkout"
    for folder in ("dogbreed", "launch", "conf", "tests/launch"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "pyproject.toml", "constraints.txt", "README.md", ".gitignore"):
        shutil.copy(ROOT / file, root / file)
    git(root, "init", "-q")
    git(root, "add", ".")
    return root


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout, for one test to change as it likes."""
    root = tmp_path / "checkout"
    for path in ("dogbreed/train.py", "launch/entry.py", "launch/hydra_plugins/a/b.py", "conf/train.yaml", "docs/a.md"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"# {path}\n")
    for path in ("setup.cfg", "constraints.txt"):
        shutil.copy(ROOT / path, root / path)
    git(root, "init", "-q")
    git(root, "add", ".")
    return root


@pytest.fixture(scope="module")
def unpacked(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive as a job has it."""
    return unpack(pack_code(whole), tmp_path_factory.mktemp("code"))


def unpack(archive: CodeArchive, folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as packed:
        packed.extractall(folder)
    return folder


def contents(archive: CodeArchive) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as packed:
        return {name: packed.extractfile(name).read().decode() for name in packed.getnames()}  # type: ignore[union-attr]


def run_alone(code: Path, *arguments: str) -> str:
    """What Python prints in the folder `code`, where the packages that are installed here are, but not the library.

    Without `site` no .pth file is read, which is how an editable installation is found.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(site.getsitepackages())}
    done = subprocess.run([sys.executable, "-S", *arguments], cwd=code, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_archive__is_the_only_place_where_the_library_is_found(unpacked: Path) -> None:
    look = "import importlib.metadata as m, dogbreed.conf, launch; d = m.distribution('dogbreed');"
    found = run_alone(
        unpacked, "-c", f"{look} print(d.version, d.locate_file(''), dogbreed.conf.__file__, launch.__file__)"
    )
    version, place, *files = found.split()
    assert (version, (unpacked / place).resolve()) == ("0.1.0", unpacked.resolve())
    assert all(Path(file).is_relative_to(unpacked) for file in files), files


@pytest.mark.slow
def test_archive__trains_where_it_is_unpacked(
    unpacked: Path, tmp_path: Path, small_run: list[str], shared_folder: Path
) -> None:
    settings = [f"data.root={shared_folder}", f"hydra.run.dir={tmp_path}/run", "trainer.max_epochs=1"]
    run_alone(unpacked, "-m", "dogbreed.train", *small_run, *settings)
    assert (tmp_path / "run/artifact").is_dir()
    assert '"dogbreed": "0.1.0"' in (tmp_path / "run/run.json").read_text()


HYDRA = """
import hydra
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
    sweeper = hydra.compose("train", ["hydra/sweeper=fleet"], return_hydra_config=True).hydra.sweeper
print(sweeper._target_, [found.__module__ for found in Plugins.instance().discover(Sweeper)])
"""


def test_archive__brings_the_plugins_and_the_configs(unpacked: Path) -> None:
    sweeper, found = run_alone(unpacked, "-c", HYDRA).split(" ", 1)
    assert sweeper == "hydra_plugins.dogbreed_sweeps.sweeper.DogbreedSweeper"
    assert found.count("hydra_plugins.dogbreed_sweeps") == 1


@pytest.mark.slow
def test_archive__its_command_answers_where_it_is_unpacked(unpacked: Path) -> None:
    assert "name: resnet18" in run_alone(unpacked, "-m", "dogbreed.train", "--cfg", "job", "--package", "backbone")
    assert "pkg://dogbreed.conf" in run_alone(unpacked, "-m", "dogbreed.train", "--info", "searchpath")


def test_archive__comes_before_an_installed_library(unpacked: Path) -> None:
    look = "import dogbreed, hydra_plugins.dogbreed_sweeps as plugin; print(dogbreed.__file__, plugin.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", look], cwd=unpacked, capture_output=True, text=True, check=True
    ).stdout
    assert all(Path(file).is_relative_to(unpacked) for file in found.split()), found


def test_archive__holds_what_a_job_needs_and_no_more(whole: Path) -> None:
    archive = pack_code(whole)
    packed = dict(archive.files)
    assert {path.split("/")[0] for path in packed} == {
        "dogbreed", "dogbreed-0.1.0.dist-info", "hydra_plugins", "launch", "requirements.txt",
    }  # fmt: skip
    for source, place in (
        ("dogbreed", "dogbreed"),
        ("conf", "dogbreed/conf"),
        ("launch/hydra_plugins", "hydra_plugins"),
    ):
        for path in (whole / source).rglob("*"):
            if path.is_file():
                assert packed[f"{place}/{path.relative_to(whole / source)}"] == path.stat().st_size
    assert not [path for path in packed if path.startswith("launch/hydra_plugins")], "each file once"
    assert [*packed] == sorted(packed)
    assert archive.notes == ()


def test_archive__is_the_same_to_the_byte_whenever_and_wherever(checkout: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(checkout, tmp_path / "elsewhere/other", copy_function=shutil.copyfile))
    for path in other.rglob("*.py"):
        os.utime(path, (0, 0))
        path.chmod(0o700)
    first, second = pack_code(checkout), pack_code(other)
    assert first.content == second.content
    (other / "dogbreed/train.py").write_text("# other\n")
    assert pack_code(other).sha256 != first.sha256


def test_archive__says_nothing_of_who_made_it(checkout: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack_code(checkout).content)) as packed:
        told = {(e.mtime, e.uid, e.gid, e.uname, e.gname, e.mode) for e in packed.getmembers()}
    assert told == {(0, 0, 0, "", "", 0o644)}


def test_archive__takes_the_working_tree_as_it_is(checkout: Path) -> None:
    (checkout / "dogbreed/train.py").write_text("# changed, not committed\n")
    (checkout / "launch/entry.py").unlink()
    packed = contents(pack_code(checkout))
    assert packed["dogbreed/train.py"] == "# changed, not committed\n"
    assert "launch/entry.py" not in packed


def test_archive__leaves_out_what_git_does_not_know_and_says_so(checkout: Path) -> None:
    for number in range(7):
        (checkout / f"dogbreed/new_{number}.py").write_text("")
    (checkout / "docs/new.md").write_text("")
    (checkout / ".gitignore").write_text("*.secret\n")
    (checkout / "conf/key.secret").write_text("")
    archive = pack_code(checkout)
    assert not [path for path, _ in archive.files if "new" in path or "secret" in path]
    (note,) = archive.notes
    assert "not sent: dogbreed/new_0.py" in note
    assert "dogbreed/new_4.py and 2 more;" in note


def test_archive__of_no_checkout_is_an_error(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    with pytest.raises(ConfigError, match="git cannot list the files of"):
        pack_code(checkout)


def test_archive__without_git_is_an_error(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="git is not installed"):
        pack_code(checkout)


def test_requirements__leave_torch_to_the_container_and_pin_the_rest(checkout: Path) -> None:
    lines = contents(pack_code(checkout, extras=["sweeps", "smdebug"]))["requirements.txt"].splitlines()
    found = [Requirement(line) for line in lines if not line.startswith("#")]
    assert {"timm", "numpy", "optuna", "smdebug", "protobuf"} <= {line.name for line in found}
    assert not {"torch", "torchvision", "dogbreed"} & {line.name for line in found}
    assert "torch>=2.8, torchvision>=0.23" in lines[0]
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    for python in ("3.10", "3.11", "3.12"):
        where = {"python_version": python, "python_full_version": f"{python}.1"}
        fixed = {pin.name: pin for pin in pins if not pin.marker or pin.marker.evaluate(where)}
        here = [line for line in found if not line.marker or line.marker.evaluate(where)]
        assert [line for line in here if line.specifier != fixed[line.name].specifier] == []
        assert len({line.name for line in here}) == len(here), "each once"


def test_requirements__extras_that_name_others_and_unknown_ones(checkout: Path) -> None:
    assert "\nonnx" not in of_checkout(checkout, [])
    assert {"smdebug==1.0.34", "optuna==5.0.0"} <= set(of_checkout(checkout, ["all"]).splitlines())
    with pytest.raises(ConfigError, match=r"sweep \(did you mean sweeps"):
        pack_code(checkout, extras=["sweep"])


def test_requirements__of_the_user_take_their_place(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("timm==1.0\n")
    assert contents(pack_code(checkout, requirements=tmp_path / "mine.txt"))["requirements.txt"] == "timm==1.0\n"
    with pytest.raises(ConfigError, match=r"there\.txt cannot be read: No such file"):
        pack_code(checkout, requirements=tmp_path / "there.txt")


@pytest.mark.slow
def test_archive__of_an_installed_library_is_that_of_its_checkout(whole: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(whole, tmp_path / "source"))
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    out = tmp_path / "code.tar.gz"
    pack = "from launch.files.packaging import pack_code; a = pack_code(extras=['sweeps']); print(a.notes);"
    told = run_alone(tmp_path / "site", "-c", f"{pack} open('{out}', 'wb').write(a.content)")
    assert "no checkout: the files of the installed dogbreed 0.1.0 are sent" in told
    with tarfile.open(out) as packed_code:
        installed = set(packed_code.getnames())
    expected = {path for path, _ in pack_code(whole).files}
    assert {path for path in expected if not path.endswith(("top_level.txt", "WHEEL"))} <= installed
    assert {path.split("/")[0] for path in installed} == {path.split("/")[0] for path in expected}


@pytest.mark.slow
@pytest.mark.parametrize(("torch", "torchvision"), [("2.8.0", "0.23.0"), ("2.10.0", "0.25.0")])
@pytest.mark.parametrize("extras", [(), ("sweeps",), ("sweeps", "smdebug")], ids="+".join)
def test_requirements__resolve_with_the_torch_of_awss_image(
    torch: str, torchvision: str, extras: tuple[str, ...], whole: Path, tmp_path: Path
) -> None:
    (tmp_path / "fixed.txt").write_text(f"torch=={torch}\ntorchvision=={torchvision}\n")
    (tmp_path / "requirements.txt").write_text(of_checkout(whole, extras))
    compile_ = [find_uv_bin(), "pip", "compile", "--quiet", "--python-version", "3.12", "--python-platform", "linux"]
    done = subprocess.run([*compile_, "fixed.txt", "requirements.txt"], cwd=tmp_path, capture_output=True, text=True)
    if "error sending request" in done.stderr or "Failed to fetch" in done.stderr:
        pytest.skip("needs a package index")
    assert done.returncode == 0, done.stderr
    assert f"torch=={torch}\n" in done.stdout
