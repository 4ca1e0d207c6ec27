"""Whether the config suits the instance; one whose hardware is not known is not checked."""

from __future__ import annotations

from collections.abc import Iterator

from launch.machines import Machine, machines
from launch.preflight.hints import remedy
from launch.preflight.problems import Context, Problem
from launch.preflight.reading import Part, get, parts, text, whole

#: What a picture may take of a GPU's memory while a frozen backbone reads it, in MiB: an estimate, the three maps of
#: 256 x 56 x 56 float32 that ResNet-50 holds at once in its first stage at 224 px. Others take more or less.
_PICTURE_MIB = 3 * 256 * 56 * 56 * 4 / 2**20


def check_machine(job: Part, at: str, context: Context) -> Iterator[Problem]:
    """What does not suit the instance; arguments as of `jobs.check_job`."""
    count = whole(job, "ResourceConfig.InstanceCount")
    if count == 0 and get(job, "ResourceConfig.InstanceGroups") is None:
        where = f"{at}ResourceConfig.InstanceCount"
        yield Problem(where, "0", "1 or more", remedy(where))
    machine = machines().get(text(job, "ResourceConfig.InstanceType") or "")
    if machine is not None:
        yield from _processes(machine, at, context, count or 1)
        yield from _precision(machine, at, context)
        yield from _batch(machine, at, context)
        yield from _storage(machine, job, at, context)


def _processes(machine: Machine, at: str, context: Context, hosts: int) -> Iterator[Problem]:
    where, name, gpus = f"{at}ResourceConfig.InstanceType", machine.instance_type, machine.gpus
    devices = context.devices if context.devices is None or context.devices > 0 else None  # -1: all there are
    other = "sagemaker.instance_type"
    if gpus == 0:
        if context.accelerator in ("gpu", "cuda"):
            hint = f"set {other}, or trainer.accelerator=cpu"
            yield Problem(where, f"{name}, which has no GPU", f"a GPU: trainer.accelerator={context.accelerator}", hint)
        if hosts > 1:
            allowed = "GPUs: CPUs that wait for each other over the network gain little"
            yield Problem(where, f"{hosts} x {name}, which has no GPU", allowed, f"set {other}", fatal=False)
    elif context.accelerator == "cpu":
        got = f"{name}, whose {gpus} {machine.gpu} would be idle"
        hint = f"set trainer.accelerator=auto, or {other}"
        yield Problem(where, got, "no GPU: trainer.accelerator=cpu", hint, fatal=False)
    elif devices is not None and devices > gpus:
        got = f"{name}, which has {gpus} {machine.gpu}"
        yield Problem(
            where, got, f"{devices} GPUs: trainer.devices={devices}", f"set trainer.devices={gpus}, or {other}"
        )
    elif devices is not None and devices < gpus:
        got = f"{name}: GPU {_idle(devices, gpus)} of its {gpus} {machine.gpu} would be idle, and paid"
        hint = f"set trainer=ddp trainer.devices={gpus}, or {other}"
        yield Problem(where, got, f"as many GPUs as trainer.devices={devices}", hint, fatal=False)


def _idle(devices: int, gpus: int) -> str:
    """The numbers of the GPUs without a process.

    >>> _idle(1, 4), _idle(3, 4)
    ('1 to 3', '3')
    """
    return f"{devices} to {gpus - 1}" if gpus - devices > 1 else str(devices)


def _precision(machine: Machine, at: str, context: Context) -> Iterator[Problem]:
    precision, name = context.precision or "", machine.instance_type
    if machine.gpus and context.accelerator != "cpu" and "bf16" in precision and not machine.bf16:
        got = f"{precision} on the {machine.gpu} of {name}, which has no bfloat16"
        hint = "set trainer.precision=16-mixed, or sagemaker.instance_type"
        yield Problem("trainer.precision", got, "16-mixed or 32-true", hint)
    elif not machine.gpus and precision.startswith("16"):
        got = f"{precision} on {name}, which has no GPU"
        hint = "set trainer.precision=32-true, or sagemaker.instance_type"
        yield Problem("trainer.precision", got, "32-true", hint, fatal=False)


def _batch(machine: Machine, at: str, context: Context) -> Iterator[Problem]:
    if not machine.gpus or context.accelerator == "cpu" or context.batch_size is None:
        return
    bytes_a_number = 0.5 if "16" in (context.precision or "") else 1
    needed = context.batch_size * _PICTURE_MIB * bytes_a_number / 1024
    if needed > machine.gpu_memory_gib:
        fitting = int(context.batch_size * machine.gpu_memory_gib / needed)
        got = f"{context.batch_size} pictures, about {needed:.0f} GiB as ResNet-50 reads them"
        allowed = f"the {machine.gpu_memory_gib:g} GiB of a {machine.gpu}: about {fitting} pictures"
        hint = "set data.batch_size, trainer.accumulate_grad_batches or sagemaker.instance_type"
        yield Problem("data.batch_size", got, allowed, hint, fatal=False)


def _storage(machine: Machine, job: Part, at: str, context: Context) -> Iterator[Problem]:
    """Sources: ResourceConfig and HyperParameterTuningResourceConfig in SageMaker's API."""
    where = f"{at}ResourceConfig.VolumeSizeInGB"
    volume, name = whole(job, "ResourceConfig.VolumeSizeInGB"), machine.instance_type
    if machine.nvme_gb:
        if volume is not None and volume > machine.nvme_gb:
            got = f"{volume} GB on {name}, whose storage is its own"
            yield Problem(where, got, f"at most its {machine.nvme_gb} GB", remedy(where))
        if get(job, "ResourceConfig.VolumeKmsKeyId") is not None:
            key = f"{at}ResourceConfig.VolumeKmsKeyId"
            got, allowed = f"with {name}, which encrypts its own storage", "none on such an instance"
            yield Problem(key, got, allowed, "set sagemaker.kms_key=null, or sagemaker.instance_type")
    elif not volume:
        yield Problem(where, str(volume or "missing"), f"1 or more: {name} has no storage of its own", remedy(where))
    room = machine.nvme_gb or volume
    modes = [
        text(channel, "InputMode")
        for _, channel in parts(job, "InputDataConfig")
        if get(channel, "ChannelName") == "data"
    ]
    copied = (modes[0] or text(job, "AlgorithmSpecification.TrainingInputMode")) == "File" if modes else False
    if copied and room and context.pictures_bytes is not None and context.pictures_bytes > room * 10**9:
        hint = "set sagemaker.volume_size_gb, sagemaker.instance_type or sagemaker.input_mode=FastFile"
        got = f"{room} GB for {context.pictures_bytes / 1e9:.1f} GB of pictures"
        yield Problem(where, got, "room for the channel data, which File mode copies", hint)
