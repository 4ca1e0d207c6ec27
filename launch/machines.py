"""What an instance has: machines.csv, which names the source and the date of each row. Pure.

bfloat16 takes compute capability 8.0, which T4 (7.5) and V100 (7.0) have not. Source: NVIDIA, Transformer Engine,
hardware support matrix.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """An instance type.

    Attributes:
        instance_type: its name at SageMaker.
        gpus: how many it has.
        gpu: their name; empty without any.
        gpu_memory_gib: of each.
        vcpus: virtual processors.
        memory_gib: main memory.
        nvme_gb: local storage, which takes the place of the volume; 0 for none.
        fp16: whether the GPUs have tensor cores for float16.
        bf16: the same for bfloat16.
    """

    instance_type: str
    gpus: int
    gpu: str
    gpu_memory_gib: float
    vcpus: int
    memory_gib: int
    nvme_gb: int
    fp16: bool
    bf16: bool


@functools.cache
def machines() -> Mapping[str, Machine]:
    """Every instance type whose hardware is known, by its name."""
    content = importlib.resources.files("launch").joinpath("machines.csv").read_text(encoding="utf-8")
    return {row["instance_type"]: _machine(row) for row in csv.DictReader(content.splitlines())}


def _machine(row: Mapping[str, str]) -> Machine:
    return Machine(
        instance_type=row["instance_type"],
        gpus=int(row["gpus"]),
        gpu=row["gpu"],
        gpu_memory_gib=float(row["gpu_memory_gib"] or 0),
        vcpus=int(row["vcpus"]),
        memory_gib=int(row["memory_gib"]),
        nvme_gb=int(row["nvme_gb"]),
        fp16=row["fp16"] == "yes",
        bf16=row["bf16"] == "yes",
    )
