from __future__ import annotations

import csv
import gzip
import importlib.resources
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from launch.machines import Machine, machines
from launch.preflight.machines import _PICTURE_MIB, check_machine
from launch.preflight.problems import Context, Problem
from launch.preflight.shapes import check_shape
from launch.requests import Request

Make = Callable[..., Request]
TYPE, VOLUME = "ResourceConfig.InstanceType", "ResourceConfig.VolumeSizeInGB"


def found(request: Request, context: Context) -> list[tuple[str, bool]]:
    return [(problem.where, problem.fatal) for problem in check_machine(request, "", context)]


def on(training: Make, machine: str, *more: str) -> Request:
    return training(f"sagemaker.instance_type={machine}", *more)


def one(training: Make, machine: str, context: Context) -> Problem:
    (problem,) = check_machine(on(training, machine), "", context)
    return problem


def test_table__says_what_ec2_says() -> None:
    moto = pytest.importorskip("moto")
    content = (Path(moto.__file__).parent / "ec2/resources/instance_types.json.gz").read_bytes()
    told: dict[str, Any] = json.loads(gzip.decompress(content))
    compared = {name: told[name[3:]] for name in machines() if name[3:] in told}
    assert len(compared) > 50
    for name, ec2 in compared.items():
        gpus = ec2.get("GpuInfo", {}).get("Gpus", [])
        gpu: Any = gpus[0] if gpus else {"Count": 0, "Name": "", "MemoryInfo": {"SizeInMiB": 0}}
        machine = machines()[name]
        assert (machine.gpus, machine.gpu) == (gpu["Count"], gpu["Name"]), name
        assert machine.gpu_memory_gib == pytest.approx(gpu["MemoryInfo"]["SizeInMiB"] / 1024, rel=1e-3), name
        assert machine.vcpus == ec2["VCpuInfo"]["DefaultVCpus"], name
        assert machine.memory_gib == ec2["MemoryInfo"]["SizeInMiB"] / 1024, name
        assert machine.nvme_gb == ec2.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0), name


def test_table__holds_types_of_sagemaker_each_once_with_source_and_date() -> None:
    content = importlib.resources.files("launch").joinpath("machines.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(content.splitlines()))
    assert len(rows) == len(machines())
    assert all(row["source"] and row["date"] for row in rows)
    for name in machines():
        request = {"ResourceConfig": {"InstanceType": name}}
        assert TYPE not in [problem.where for problem in check_shape("CreateTrainingJob", request)]


@pytest.mark.parametrize(
    ("gpu", "bf16"), [("T4", False), ("V100", False), ("A10G", True), ("L4", True), ("H100", True)]
)
def test_table__knows_which_gpus_have_half_precision(gpu: str, bf16: bool) -> None:
    of_this: list[Machine] = [machine for machine in machines().values() if machine.gpu == gpu]
    assert of_this
    assert all(machine.fp16 and machine.bf16 is bf16 for machine in of_this)


def test_unknown_type__is_not_checked(training: Make, known: Context) -> None:
    context = replace(known, devices=64, precision="bf16-mixed", accelerator="gpu", batch_size=10**6)
    assert found(on(training, "ml.trn1.2xlarge"), context) == []


@pytest.mark.parametrize(
    ("machine", "devices", "accelerator", "expected"),
    [
        ("ml.g5.xlarge", 1, "auto", []),
        ("ml.g5.xlarge", 2, "auto", [(TYPE, True)]),
        ("ml.g5.12xlarge", 4, "gpu", []),
        ("ml.g5.12xlarge", 1, "auto", [(TYPE, False)]),
        ("ml.g5.12xlarge", -1, "auto", []),
        ("ml.g5.12xlarge", None, "auto", []),
        ("ml.g5.xlarge", 1, "cpu", [(TYPE, False)]),
        ("ml.g5.xlarge", 4, "cpu", [(TYPE, False)]),
        ("ml.m5.xlarge", 1, "cpu", []),
        ("ml.m5.xlarge", 1, "auto", []),
        ("ml.m5.xlarge", 1, "gpu", [(TYPE, True)]),
        ("ml.m5.xlarge", 2, "cpu", []),
    ],
)
def test_devices__against_the_gpus_there_are(
    training: Make,
    known: Context,
    machine: str,
    devices: int | None,
    accelerator: str,
    expected: list[tuple[str, bool]],
) -> None:
    context = replace(known, devices=devices, accelerator=accelerator, precision="32-true")
    assert found(on(training, machine), context) == expected


def test_devices__that_leave_gpus_idle_name_them(training: Make, known: Context) -> None:
    assert "GPU 2 to 3 of its 4 A10G" in one(training, "ml.g5.12xlarge", replace(known, devices=2)).got


@pytest.mark.parametrize(("machine", "worth"), [("ml.m5.xlarge", True), ("ml.g5.xlarge", False)])
def test_hosts__without_gpus_are_worth_a_look(training: Make, known: Context, machine: str, worth: bool) -> None:
    request = on(training, machine, "sagemaker.instance_count=2")
    assert found(request, replace(known, precision="32-true")) == ([(TYPE, False)] if worth else [])


@pytest.mark.parametrize(
    ("machine", "precision", "accelerator", "fatal"),
    [
        ("ml.g5.xlarge", "bf16-mixed", "auto", None),
        ("ml.g4dn.xlarge", "bf16-mixed", "auto", True),
        ("ml.p3.2xlarge", "bf16-true", "gpu", True),
        ("ml.g4dn.xlarge", "16-mixed", "auto", None),
        ("ml.m5.xlarge", "16-mixed", "auto", False),
        ("ml.m5.xlarge", "bf16-mixed", "auto", None),
    ],
)
def test_precision__that_the_machine_has_not(
    training: Make, known: Context, machine: str, precision: str, accelerator: str, fatal: bool | None
) -> None:
    context = replace(known, precision=precision, accelerator=accelerator)
    assert found(on(training, machine), context) == ([] if fatal is None else [("trainer.precision", fatal)])


def test_batch__as_large_as_a_picture_in_resnet50_allows() -> None:
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        network = models.resnet50().eval()
        stem = network.maxpool(network.relu(network.bn1(network.conv1(torch.zeros(1, 3, 224, 224)))))
        maps = network.layer1[0](stem)
    assert 3 * maps.numel() * 4 / 2**20 == _PICTURE_MIB


@pytest.mark.parametrize(
    ("machine", "size", "precision", "worth"),
    [
        ("ml.g4dn.xlarge", 1024, "32-true", False),
        ("ml.g4dn.xlarge", 2048, "32-true", True),
        ("ml.g4dn.xlarge", 2048, "16-mixed", False),
        ("ml.g5.xlarge", 2048, "32-true", False),
        ("ml.m5.xlarge", 10**6, "32-true", False),
    ],
)
def test_batch__against_the_gpus_memory(
    training: Make, known: Context, machine: str, size: int, precision: str, worth: bool
) -> None:
    context = replace(known, batch_size=size, precision=precision)
    assert found(on(training, machine), context) == ([("data.batch_size", False)] if worth else [])


@pytest.mark.parametrize(
    ("machine", "volume", "gigabytes", "mode", "wrong"),
    [
        ("ml.p3.2xlarge", 30, 29, "File", False),
        ("ml.p3.2xlarge", 30, 31, "File", True),
        ("ml.p3.2xlarge", 30, 31, "FastFile", False),
        ("ml.g4dn.xlarge", 30, 31, "File", False),
        ("ml.g4dn.xlarge", 30, 126, "File", True),
        ("ml.g4dn.xlarge", 125, None, "File", False),
        ("ml.g4dn.xlarge", 126, None, "File", True),
    ],
)
def test_storage__has_room_for_the_pictures(
    training: Make, known: Context, machine: str, volume: int, gigabytes: int | None, mode: str, wrong: bool
) -> None:
    request = on(training, machine, f"sagemaker.volume_size_gb={volume}", f"sagemaker.input_mode={mode}")
    context = replace(known, pictures_bytes=None if gigabytes is None else gigabytes * 10**9)
    assert found(request, context) == ([(VOLUME, True)] if wrong else [])


@pytest.mark.parametrize(("machine", "wrong"), [("ml.g5.xlarge", True), ("ml.p3.2xlarge", False)])
def test_storage__of_its_own_takes_no_key(training: Make, known: Context, machine: str, wrong: bool) -> None:
    request = on(training, machine, "sagemaker.kms_key='0123'")
    assert found(request, known) == []  # it is left out where it does not belong
    request["ResourceConfig"]["VolumeKmsKeyId"] = "0123"
    assert found(request, known) == ([("ResourceConfig.VolumeKmsKeyId", True)] if wrong else [])


def test_storage__is_needed_where_there_is_none(training: Make, known: Context) -> None:
    request = on(training, "ml.p3.2xlarge")
    del request["ResourceConfig"]["VolumeSizeInGB"]
    assert found(request, known) == [(VOLUME, True)]
