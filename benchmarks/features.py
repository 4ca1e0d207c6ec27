"""`python -m benchmarks.features`: a picture in the old training step against a picture in our feature pass.

Both read the same drawn photographs, in turn, with all cores: the old way by torch's threads, ours by processes.
Medians over the rounds, without the first step or batch of each worker. Beside them the forward pass alone, of one
thread on a CPU; on a GPU in mixed precision, as timm's benchmark measures it, and what the pass keeps of it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measuring import Stopwatch, describe_machine, finish, median, peak_memory, print_machine, print_table
from benchmarks.old_way import OldWay, draw_pictures
from dogbreed.data.dataset import PictureDataset
from dogbreed.data.folder import Split
from dogbreed.data.images import decode_image, picture_digest
from dogbreed.data.loading import available_cores
from dogbreed.features.engines import CPU_BATCH, GPU_BATCH, Engine, make_engine
from dogbreed.features.extract import extract
from dogbreed.models.backbones import Backbone, make_backbone

OLD, EAGER, GPU_JPEGS = "old way", "eager", "torch, JPEGs on the GPU"
ENGINES = {"torch": ("torch", "fp32"), "openvino": ("openvino", "fp32"), "int8": ("openvino", "int8")}
_NEEDED = {
    "openvino": ("openvino", ["openvino"]),
    "int8": ("openvino", ["openvino", "nncf"]),
    GPU_JPEGS: ("gpu", ["torchcodec"]),
}
_CALIBRATION = 64  # enough for speed, which is all that is measured here


def read(backbone: Backbone, pictures: list[Path]) -> Tensor:
    """Clean views as the backbone wants them, uint8 (N, 3, S, S)."""
    return torch.stack([backbone.transform.clean_view(decode_image(path.read_bytes())) for path in pictures])


def make_untrained(architecture: str, size: int, pictures: list[Path]) -> Backbone:
    """A torchvision backbone with random weights whose BatchNorms know the statistics of `pictures`."""
    torch.manual_seed(0)
    backbone = make_backbone("torchvision", architecture, weights="none", image_size=size)
    norms = [layer for layer in backbone.network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = None
    backbone(read(backbone, pictures[:16]))
    backbone.train(False)
    return backbone


def make_engines(backbone: Backbone, pictures: list[Path], names: list[str], device: str) -> dict[str, Engine]:
    """The engines by name, converted; those that are not installed are left out, and said so."""
    engines: dict[str, Engine] = {}
    for name in names:
        kind, precision = ENGINES.get(name, ("torch", "fp32"))
        extra, needed = _NEEDED.get(name, ("", []))
        if any(find_spec(package) is None for package in needed):
            print(f'{name}: left out, pip install "dogbreed[{extra}]" brings it')
            continue
        examples = [read(backbone, pictures[:_CALIBRATION])] if precision == "int8" else None
        if device == "cuda":
            precision = "mixed"
        decoder = "gpu" if name == GPU_JPEGS else "cpu"
        engines[name] = make_engine(
            backbone, kind, precision=precision, device=device, decoder=decoder, examples=examples
        )
        engines[name].load()(torch.zeros(1, 3, *[backbone.transform.size] * 2, dtype=torch.uint8))
    return engines


def run_pass(backbone: Backbone, engine: Engine, pictures: list[Path], repeats: int = 1) -> tuple[float, float]:
    """Seconds a picture of wall and of processor time of the feature pass, after the first batch of each worker."""
    paths = [str(path) for path in pictures] * repeats
    data = PictureDataset(Split("train", paths, [0] * len(paths)), backbone.transform)
    digests = [picture_digest(path.read_bytes()) for path in pictures] * repeats
    tasks = np.stack([np.zeros(len(paths)), np.arange(len(paths)), np.zeros(len(paths))], axis=1).astype(np.int64)
    batches, done = extract([data], [digests], tasks, engine), 0
    size = _batch_size(engine.device)
    for _ in range(min(available_cores(), len(tasks) // size // 2)):
        next(batches)
    watch = Stopwatch()
    for batch in batches:
        done += len(batch.done)
    wall, cpu = watch.read()
    return wall / done, cpu / done


def _batch_size(device: str) -> int:
    return CPU_BATCH if device == "cpu" else GPU_BATCH


def run_old(steps: Iterator[int], number: int) -> tuple[float, float]:
    """Seconds a picture of wall and of processor time of some steps of the old way."""
    watch = Stopwatch()
    done = sum(islice(steps, number))
    wall, cpu = watch.read()
    return wall / done, cpu / done


def measure_forwards(
    backbone: Backbone, engines: dict[str, Engine], pictures: list[Path], rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of processor time a picture of the forward pass alone by one thread, and the error against eager."""
    images = read(backbone, pictures[-CPU_BATCH:])
    with _threads(1):

        def eager(images: Tensor) -> Tensor:
            with torch.inference_mode():
                features: Tensor = backbone.network(backbone.transform.normalize(images))
            return features

        forwards: dict[str, Callable[[Tensor], Tensor]] = {EAGER: eager}
        forwards |= {name: engine.load() for name, engine in engines.items()}
        expected = eager(images)
        errors = {n: float((f(images) - expected).norm() / expected.norm()) for n, f in forwards.items()}
        seconds: dict[str, list[float]] = {name: [] for name in forwards}
        for _ in range(rounds):
            for name, forward in forwards.items():
                start = time.process_time()
                forward(images)
                seconds[name].append(time.process_time() - start)
    return {n: {"cpu_ms": 1000 * median(s) / len(images), "error": errors[n]} for n, s in seconds.items()}


def measure_bare_gpu(backbone: Backbone, batch_size: int, rounds: int) -> float:
    """Pictures/s of the untouched network in mixed precision on random numbers that are there already."""
    network = backbone.network.to("cuda", memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = backbone.transform.size
    pixels = torch.randn(batch_size, 3, size, size, device="cuda").contiguous(memory_format=torch.channels_last)
    speeds = []
    with torch.inference_mode(), torch.autocast("cuda", torch.float16):
        for number in range(rounds + 2):
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(10):
                network(pixels)
            torch.cuda.synchronize()
            if number >= 2:
                speeds.append(10 * batch_size / (time.perf_counter() - start))
    return median(speeds)


def _memory_of_pass(architecture: str, size: int, paths: list[Path], name: str, device: str, repeats: int) -> None:
    backbone = make_untrained(architecture, size, paths)
    run_pass(backbone, make_engines(backbone, paths, [name], device)[name], paths, repeats)


def measure(architecture: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures of one architecture."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pictures = draw_pictures(
        folder, max(options.pictures, 2 * _batch_size(device), (available_cores() + 1) * CPU_BATCH)
    )
    backbone = make_untrained(architecture, options.size, pictures)
    names = ["torch", GPU_JPEGS] if device == "cuda" else options.engines
    engines = make_engines(backbone, pictures, names, device)
    old = OldWay(
        architecture,
        folder,
        backbone.transform,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        device=device,
    )
    steps = old.steps(train=True)
    next(steps)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in (OLD, *engines)}
    peaks: dict[str, float] = {}
    for _ in range(options.rounds):
        times[OLD].append(run_old(steps, options.steps))
        for name, engine in engines.items():
            with _gpu_peak(peaks, name):
                times[name].append(run_pass(backbone, engine, pictures, options.repeats))
    del steps  # and with it the workers of its loader
    result: dict[str, Any] = {"batch_size": options.batch_size, "pass": {}}
    for name, pairs in times.items():
        # Ratios within a round: what slows the machine slows both.
        ratios = [[o[i] / p[i] for o, p in zip(times[OLD], pairs, strict=True)] for i in (0, 1)]
        wall, cpu = (1000 * median(pair[i] for pair in pairs) for i in (0, 1))
        result["pass"][name] = {
            "wall_ms": wall,
            "cpu_ms": cpu,
            "ratio_wall": median(ratios[0]),
            "ratio_cpu": median(ratios[1]),
        }
        if name != OLD and options.memory:
            peak = peak_memory(_memory_of_pass, architecture, options.size, pictures, name, device, options.repeats)
            result["pass"][name]["peak_pss_gib"] = None if peak is None else peak / 2**30
    if device == "cpu":
        result["forward"] = measure_forwards(backbone, engines, pictures, options.rounds)
    else:
        result["bare_per_s"] = measure_bare_gpu(backbone, options.gpu_batch, options.rounds)
        result["kept"] = {n: 1000 / result["pass"][n]["wall_ms"] / result["bare_per_s"] for n in engines}
        result["gpu_peak_gib"] = peaks
    return result


def show(architecture: str, result: dict[str, Any]) -> None:
    """Print the figures of one architecture."""
    print(f"\n{architecture}: a picture in the old training step and in the feature pass, decoding included")
    rows = []
    for name, row in result["pass"].items():
        peak = row.get("peak_pss_gib")
        cells = [f"{row['wall_ms']:.2f}", f"{row['cpu_ms']:.2f}", f"{row['ratio_wall']:.2f}", f"{row['ratio_cpu']:.2f}"]
        rows.append([name, *cells, "-" if peak is None else f"{peak:.2f}"])
    print_table(["", "wall ms", "cpu ms", "x (wall)", "x (cpu)", "peak PSS GiB"], rows)
    if "forward" in result:
        print(f"\n{architecture}: the forward pass alone, one thread, batches of {CPU_BATCH}")
        forward = result["forward"]
        first = forward[EAGER]["cpu_ms"]
        rows = [
            [n, f"{r['cpu_ms']:.2f}", f"{first / r['cpu_ms']:.2f}", f"{r['error']:.0e}"] for n, r in forward.items()
        ]
        print_table(["", "cpu ms", "x", "error"], rows)
    else:
        kept = "; ".join(f"{name} keeps {share:.2f}" for name, share in result["kept"].items())
        print(f"bare forward pass in mixed precision: {result['bare_per_s']:,.0f}/s; {kept}")
        for name, peak in result["gpu_peak_gib"].items():
            print(f"peak of torch's memory on the GPU, {name}: {peak:.2f} GiB")


@contextmanager
def _gpu_peak(peaks: dict[str, float], name: str) -> Iterator[None]:
    """Note the most that torch held of a GPU in this block, in GiB, beyond what it held before."""
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    yield
    peaks[name] = max(peaks.get(name, 0.0), (torch.cuda.max_memory_allocated() - before) / 2**30)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and, if asked, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=(__doc__ or "").split("\n\n")[0])
    add = parser.add_argument
    add("--architectures", nargs="+", default=["resnet18", "resnet50"], metavar="NAME", help="of torchvision, with fc")
    add("--engines", nargs="*", default=list(ENGINES), choices=list(ENGINES), help="default: all")
    add("--pictures", type=int, default=128, metavar="N", help="drawn (default: 128; a few batches for each core)")
    add("--repeats", type=int, default=3, metavar="N", help="times that a pass reads each (default: 3; a GPU needs 50)")
    add("--folder", type=Path, help="keep the pictures here")
    add("--size", type=int, default=224, metavar="S", help="side that the network reads (default: 224)")
    add("--batch-size", type=int, default=32, metavar="B", help="of the old way (default: 32)")
    add("--num-workers", type=int, default=0, metavar="N", help="of the old way's DataLoader (default: 0)")
    add("--steps", type=int, default=2, metavar="N", help="of the old way in a round (default: 2)")
    add("--rounds", type=int, default=3, metavar="N", help="default: 3")
    add("--gpu-batch", type=int, default=256, metavar="B", help="of the bare forward pass (default: 256)")
    add("--memory", action=argparse.BooleanOptionalAction, default=True, help="measure the pass's peak memory too")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    machine = describe_machine()
    print_machine(machine)
    result: dict[str, Any] = {"machine": machine, "architectures": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for architecture in options.architectures:
            figures = measure(architecture, options, options.folder or Path(scratch))
            result["architectures"][architecture] = figures
            show(architecture, figures)
    finish(result, options.json)
    return result


if __name__ == "__main__":
    main()
