"""Secrets of the environment stand in nothing that a command prints or writes."""

from __future__ import annotations

import base64
import gzip
import io
import os
import string
import sys
import tarfile
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import dogbreed.data.__main__ as data
import dogbreed.evaluate
import dogbreed.export
import dogbreed.features.__main__ as features
import dogbreed.health.__main__ as health
import dogbreed.predict
import dogbreed.report
import dogbreed.train
import launch.jobs
import launch.package
import launch.plan
import launch.train
from dogbreed.arguments import check_no_secret, secrets_of, tells_of_a_secret
from dogbreed.errors import ConfigError
from launch.preflight.credentials import check_secrets

Command = Callable[..., Any]

#: As they stand in people's environments.
NAMES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    *("WANDB_API_KEY", "COMET_API_KEY", "MLFLOW_TRACKING_PASSWORD", "GITHUB_TOKEN", "DB_PASSWORD", "MY_SECRET"),
)
SECRETS = st.text(string.ascii_letters + string.digits + "+/=_-%$!", min_size=16, max_size=60)


def forms(secret: str) -> set[bytes]:
    """How it could stand somewhere: as it is, in base64 at any offset, in a URL."""
    raw = secret.encode()
    shifted = [base64.b64encode(bytes(offset) + raw) for offset in range(3)]
    # Its first and last letters of base64 depend on what stands beside it.
    return {raw, *(one[4:-4] for one in shifted), urllib.parse.quote(secret, safe="").encode()}


def pieces(content: bytes) -> Iterator[bytes]:
    """The content, and that of every archive in it."""
    yield content
    if content[:2] == b"\x1f\x8b":
        yield from pieces(gzip.decompress(content))
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from pieces(archive.read(name))
    elif content[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(content)) as packed:
            for member in filter(tarfile.TarInfo.isreg, packed):
                yield from pieces(packed.extractfile(member).read())  # type: ignore[union-attr]


def leaks(content: bytes, secrets: dict[str, str]) -> list[str]:
    """The names of the secrets that stand in the content."""
    found = list(pieces(content))
    return [name for name, value in secrets.items() if any(form in piece for form in forms(value) for piece in found)]


def test_search__finds_a_secret_however_it_is_packed() -> None:
    secret = {"KEY": "correct horse/battery+staple"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", gzip.compress(b"1" + base64.b64encode(b"xy" + secret["KEY"].encode() + b"z")))
    for content in (secret["KEY"].encode(), urllib.parse.quote(secret["KEY"], safe="").encode(), packed.getvalue()):
        assert leaks(b"" + content, secret) == ["KEY"]
    assert leaks(b"nothing", secret) == []


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    """A secret for each name, and one in the address of a proxy, drawn anew each time."""
    return {name: base64.b32encode(os.urandom(20)).decode() + "/+=%$"[number % 5] for number, name in enumerate(NAMES)}


@pytest.fixture
def told(secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    password = base64.b32encode(os.urandom(10)).decode()
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{password}@127.0.0.1:9")
    monkeypatch.setenv("DOGBREED_JOBS", str(tmp_path / "jobs"))
    monkeypatch.setenv("DOGBREED_FEATURES", str(tmp_path / "features"))
    monkeypatch.chdir(tmp_path)
    return {**secrets, "HTTPS_PROXY": password}


@pytest.mark.slow
def test_commands__print_and_write_no_secret(
    told: dict[str, str], command: Command, small_run: list[str], folder: Path, tmp_path: Path
) -> None:
    data_root, epochs = f"data.root={folder}", "trainer.max_epochs=1"
    run, artifact = tmp_path / "run", tmp_path / "run/artifact"
    space = ["optimizer.lr=1,3", "hydra/sweeper=fleet", "hydra.sweeper.n_trials=2", f"hydra.sweep.dir={tmp_path}/sweep"]
    rehearsed = [*small_run, data_root, epochs, "sagemaker.backend=process"]
    lines: list[tuple[Callable[[], Any], Sequence[object]]] = [
        (
            dogbreed.train.main,
            [*small_run, data_root, epochs, "logger=all", f"hydra.run.dir={run}", "data.num_workers=1"],
        ),
        (dogbreed.train.main, [*small_run, data_root, epochs, "logger=none", "resume=perhaps"]),
        (dogbreed.train.main, [*small_run, data_root, epochs, "hook=smdebug", f"hydra.run.dir={tmp_path}/debugged"]),
        (dogbreed.train.main, ["-m", *small_run, data_root, epochs, "logger=none", *space]),
        (dogbreed.evaluate.main, [f"artifact={artifact}", data_root, "data.num_workers=0"]),
        (dogbreed.predict.main, ["--artifact", artifact, folder / "test", "/nowhere"]),
        (
            dogbreed.export.main,
            ["--artifact", artifact, "--format", "torch_export", "--pictures", folder / "test"],
        ),
        (dogbreed.report.main, [run]),
        (health.main, ["replay", run]),
        (features.main, ["list"]),
        (data.main, ["summary", folder]),
        (data.main, ["audit", folder]),
        (launch.package.main, ["--artifact", artifact]),
        (launch.plan.main, rehearsed),
        (launch.plan.main, [*small_run, data_root, "sagemaker.role=arn:aws:iam::123456789012:role/x"]),
        (launch.train.main, rehearsed),
        (launch.jobs.main, ["list", "--backend", "process"]),
    ]
    failed = []
    for main, arguments in lines:
        ended = command(main, *arguments)
        failed += [main.__module__] if ended.code else []
        assert leaks((ended.out + ended.err).encode(), told) == [], (main.__module__, arguments)
    assert failed == ["dogbreed.train", "dogbreed.predict", "launch.plan"], "each made its mistake on purpose"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"artifact.json", "report.html", "run.json"} <= {path.name for path in written}
    assert [(path, found) for path in written if (found := leaks(path.read_bytes(), told))] == []


# --- secrets that the user gives away by mistake


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NAMES), SECRETS, st.sampled_from(["notes=[{}]", "+x={}", "hydra.run.dir=runs/{}", "{}=1"]))
@example("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", "notes=[key {}]")
def test_overrides__with_a_secret_are_refused_and_not_told(name: str, value: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_no_secret(["seed=1", line.format(value)], {name: value, "HOME": "/home/somebody"})

    assert f"${name}" in str(caught.value)
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "main", [dogbreed.train.main, lambda: data.main(["audit", "photos", *sys.argv[1:]])], ids=["train", "audit"]
)
@pytest.mark.parametrize("line", ["notes=[{}", "nonsense=[{}]", "{}=1"])
def test_overrides__with_a_secret_are_not_told_whatever_else_is_wrong(
    line: str, main: Callable[[], Any], command: Command, told: dict[str, str], tmp_path: Path
) -> None:
    ended = command(main, line.format(told["MY_SECRET"]))

    assert ended.code == 1
    # As a name it may be one that no setting could have.
    assert "holds the value of $MY_SECRET" in ended.err or "'***=1', one argument too many" in ended.err
    assert leaks((ended.out + ended.err).encode(), told) == []


def test_errors__tell_no_secret_that_was_given_as_a_path(command: Command, told: dict[str, str]) -> None:
    ended = command(dogbreed.predict.main, "--artifact", told["HF_TOKEN"], "dog.jpg")

    assert (ended.code, "***" in ended.err) == (1, True), ended.err
    assert leaks((ended.out + ended.err).encode(), told) == []


@settings(max_examples=100, deadline=None)
@given(SECRETS.filter(lambda value: not set(value) & set("/@:$%=")))
def test_passwords_of_addresses__are_secrets(password: str) -> None:
    assert list(secrets_of({"ALL_PROXY": f"socks5://me:{password}@proxy:1080"})) == [("ALL_PROXY", password)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(NAMES), SECRETS, st.sampled_from(["Environment", "HyperParameters", "StaticHyperParameters"]))
def test_plan__refuses_a_secret_and_does_not_tell_it(name: str, value: str, part: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        found = list(check_secrets({part: {"notes": f'["{value}"]'}}, ""))

    assert [problem.fatal for problem in found] == [True]
    assert value not in repr(found)


@pytest.mark.parametrize(
    "value",
    [
        "https://me:correct-horse@host/x.zip",
        "https://bucket.s3.amazonaws.com/x?X-Amz-Credential=a&X-Amz-Signature=0123",
        "https://host/x?sig=0123",
    ],
)
def test_plan__refuses_an_address_with_a_secret(value: str) -> None:
    assert [problem.fatal for problem in check_secrets({"HyperParameters": {"url": value}}, "")] == [True]


@pytest.mark.parametrize(
    "line",
    [
        "notes=['${oc.env:MY_TOKEN}']",
        "data.root=${oc.env:MY_TOKEN}",
        "+a=${oc.env:MY_TOKEN,x}",
        "+a=${oc.env:MY_PROXY}",
    ],
)
def test_train__reads_no_secret_into_its_config(
    line: str, command: Command, small_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "correct-horse-battery-staple")
    monkeypatch.setenv("MY_PROXY", "http://me:correct-horse@proxy:8080")

    ended = command(dogbreed.train.main, *small_run, line, f"hydra.run.dir={tmp_path / 'run'}")

    assert (ended.code, "${oc.env:MY_" in ended.err) == (1, True), ended.err
    assert "correct-horse" not in ended.out + ended.err
    assert not (tmp_path / "run/config.yaml").exists()


def test_names__that_are_no_secrets() -> None:
    harmless = ("PATH", "HOME", "TOKENIZERS_PARALLELISM", "AWS_REGION", "AWS_WEB_IDENTITY_TOKEN_FILE", "KEYBOARD")
    assert [name for name in harmless if tells_of_a_secret(name)] == []
    assert [name for name in NAMES if not tells_of_a_secret(name)] == []
