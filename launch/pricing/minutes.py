"""How long a job will take: what a run took here, scaled to the instance; a range rather than a false point.

The network runs on the instance's GPU while its processors decode the next pictures: the slower of the two is what the
feature pass takes. Training a head on features, which is short, is taken as it was here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from launch.pricing.assumptions import Assumed, Assumptions, Span, peak_tflops
from launch.pricing.measured import Measured

#: How to get a better estimate.
UNKNOWN = (
    "minutes unknown: run the same config here and give sagemaker.measured_run=ITS_DIRECTORY, "
    "or give sagemaker.expected_minutes"
)


@dataclass(frozen=True)
class Minutes:
    """How long a job is billed, in minutes.

    Attributes:
        starting: before the script.
        script: the script; None where nothing tells.
        features: the part of `script` that computes features, which each backbone needs once; None where it is not
            known apart.
        heads: the part of `script` that trains a head on features, which each trial needs; None as above.
        on_features: False where the run trains on pixels, so that trials share nothing.
        lines: where all this is from.
    """

    starting: Span
    script: Span | None
    features: Span | None
    heads: Span | None
    on_features: bool
    lines: tuple[str, ...]

    @property
    def total(self) -> Span | None:
        """All that is billed of a job; None where nothing tells."""
        return None if self.script is None else self.starting + self.script


def estimate_minutes(
    *,
    machine: Mapping[str, object] | None,
    assumptions: Assumptions,
    expected_minutes: float | None = None,
    measured: Measured | None = None,
    gflops: float | None = None,
) -> Minutes:
    """How long a job is billed on an instance.

    Args:
        machine: the instance's "gpus", "gpu" (its name) and "vcpus"; None where they are not known.
        assumptions: what is taken for granted.
        expected_minutes: of the script, by the user; counts before `measured`.
        measured: a run of the same config here.
        gflops: what the network computes for one picture, in GFLOP; None to derive it from `measured`.
    """
    starting = assumptions.starting_minutes
    begins = starting.line("before the script")
    if expected_minutes is not None:
        told = f"training: {expected_minutes:g} min (sagemaker.expected_minutes)"
        return Minutes(starting, Span(expected_minutes, expected_minutes), None, None, True, (begins, told))
    if measured is None:
        return Minutes(starting, None, None, None, True, (begins, UNKNOWN))
    backbone, found = _backbone(measured, machine, gflops, assumptions)
    what = "feature pass" if measured.on_features else "training on pixels"
    set_up, heads = (Span(seconds / 60, seconds / 60) for seconds in (measured.set_up, measured.heads))
    lines = [begins, f"measured: {measured.directory}", *(f"{what}: {line}" for line in found)]
    lines.append(f"set-up and report: {set_up.tell()} min, as here")
    if measured.on_features:
        lines.append(f"training on features: {heads.tell()} min, as here")
    if backbone is None:
        return Minutes(starting, None, None, None, measured.on_features, (*lines, UNKNOWN))
    features = (1 / 60) * backbone
    lines.append("several GPUs or hosts: counted as no faster than one")
    return Minutes(starting, set_up + features + heads, features, heads, measured.on_features, tuple(lines))


def _backbone(
    measured: Measured, machine: Mapping[str, object] | None, gflops: float | None, assumptions: Assumptions
) -> tuple[Span | None, list[str]]:
    """Seconds in which the backbone has seen all pictures; None and why where that cannot be told."""
    if measured.backbone is None:
        return None, ["not measured, the features came from the cache (features.root=NEW_FOLDER computes them)"]
    if machine is None:
        return None, ["cannot be scaled: this instance's processors and GPUs are not known"]
    here = f"{measured.backbone / 60:.2g} min with {measured.gpu or f'{measured.cores} cores'}"
    vcpus = int(str(machine["vcpus"]))
    if int(str(machine["gpus"])):
        return _on_gpu(measured, str(machine["gpu"]), vcpus, gflops, assumptions, here)
    if measured.gpu:
        return None, [f"cannot be scaled: {here} here, and this instance has no GPU"]
    share = assumptions.vcpu_share
    work = measured.backbone * measured.cores / vcpus
    found = Span(work / share.high, work / share.low)
    return found, [_told(measured, found, f"the {vcpus} vCPUs", here), share.line("a vCPU")]


def _on_gpu(
    measured: Measured, gpu: str, vcpus: int, gflops: float | None, assumptions: Assumptions, here: str
) -> tuple[Span | None, list[str]]:
    peak = peak_tflops(gpu)
    if peak is None:
        return None, [f"cannot be scaled: launch/pricing/gpus.csv has no {gpu}"]
    network, used = _network(measured, peak, gflops, assumptions)
    if network is None:
        return None, [f"cannot be scaled: launch/pricing/gpus.csv has no {measured.gpu}, which it ran on here"]
    speed = assumptions.decoded_per_vcpu
    decoding = Span(measured.pictures / (vcpus * speed.high), measured.pictures / (vcpus * speed.low))
    found = Span(max(decoding.low, network.low), max(decoding.high, network.high))
    bound = f"JPEG decoding by {vcpus} vCPUs" if decoding.high >= network.high else f"the network on the {gpu}"
    lines = [assumed.line(name) for name, assumed in used.items()]
    return found, [_told(measured, found, bound, here), speed.line("a vCPU decodes"), *lines]


def _network(
    measured: Measured, peak: float, gflops: float | None, assumptions: Assumptions
) -> tuple[Span | None, dict[str, Assumed]]:
    """Seconds of the network alone on a GPU with this peak in TFLOP/s, and what was assumed."""
    assert measured.backbone is not None, "the caller has seen to it"
    used = {"the GPU reaches": assumptions.gpu_efficiency}
    if gflops is None and measured.gpu:
        peak_here = peak_tflops(measured.gpu)
        # There, too, the processors decoded meanwhile: the network took that long at most.
        return (None if peak_here is None else Span(0, measured.backbone * peak_here / peak)), {}
    if gflops is not None:
        work = Span(gflops, gflops)
    else:
        used["a core here computes"] = assumptions.core_gflops
        seconds = measured.backbone * measured.cores / measured.pictures  # of one core for one picture
        alone = Span(max(0.0, seconds - 1 / assumptions.decoded_per_vcpu.low), seconds)
        work = alone.times(assumptions.core_gflops)
    efficiency = assumptions.gpu_efficiency
    total = (measured.pictures / (peak * 1000)) * work
    return Span(total.low / efficiency.high, total.high / efficiency.low), used


def _told(measured: Measured, found: Span, bound: str, here: str) -> str:
    minutes = (1 / 60) * found
    return f"{minutes.tell()} min for {measured.pictures:,} pictures, bound by {bound} (here {here})"
