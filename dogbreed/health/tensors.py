"""What a trial of smdebug holds, as a table, and any scalar of it over the steps."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.files import write_bytes
from dogbreed.health.smdebug.trial import Array, Place, Trial

_PLAIN = ("mean", "min", "max", "std", "variance", "sum", "prod", "l1", "l2")
#: What can be drawn of a tensor with more than one value: all that smdebug may have saved in its place.
REDUCTIONS = (*_PLAIN, *(f"abs_{name}" for name in _PLAIN))
MAX_TENSORS = 12  # in one picture: more lines can no longer be told apart
_FORMATS = (".png", ".svg")


@dataclass(frozen=True)
class Row:
    """A tensor of the trial.

    Attributes:
        name: of the tensor.
        shape: where it was first saved; None where only reductions were, and no shape.
        collections: that it belongs to.
        steps: mode -> the batches at which it was saved, in their order.
    """

    name: str
    shape: tuple[int, ...] | None
    collections: tuple[str, ...]
    steps: dict[str, list[int]]


@dataclass(frozen=True)
class Curve:
    """A scalar over the steps.

    Attributes:
        name: of the tensor.
        mode: TRAIN, EVAL, ...
        steps: batches of training done before; of EVAL a point is the mean over an evaluation.
        values: as many.
    """

    name: str
    mode: str
    steps: list[int]
    values: list[float]


def list_tensors(trial: Trial) -> list[Row]:
    """Every tensor of the trial, by name."""
    saved: dict[str, dict[str, list[int]]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    first: dict[str, Place] = {}
    for step in trial.steps:
        shapes = {**step.shapes, **shapes}
        for name in step.names:
            saved.setdefault(name, {}).setdefault(step.mode, []).append(step.step)
            if name in step.tensors:
                first.setdefault(name, step.tensors[name])
    unknown = [name for name in first if name not in shapes]
    found = trial.read([first[name] for name in unknown])
    shapes |= {name: entry[1].shape for name, entry in zip(unknown, found, strict=True) if entry is not None}
    return [Row(name, shapes.get(name), tuple(trial.groups_of(name)), saved[name]) for name in sorted(saved)]


def curves(trial: Trial, wanted: str | None, reduction: str) -> list[Curve]:
    """The tensors that a name or a regular expression finds, as scalars over the steps; None finds the losses.

    Raises:
        ConfigError: it finds none or too many, or the reduction was not saved of one.
    """
    names = _chosen(trial, wanted)
    points: dict[tuple[str, str], list[tuple[int, Place, bool]]] = {}
    for step in trial.steps:
        done = step.number - step.step if step.mode == "EVAL" else step.step
        for name in names:
            whole = step.tensors.get(name) if reduction in REDUCTIONS else None
            place = whole or step.reductions.get(name, {}).get(reduction)
            if place is not None:
                points.setdefault((name, step.mode), []).append((done, place, whole is not None))
    for name in sorted(names - {name for name, _ in points}):
        kept = {known for step in trial.steps for known in step.reductions.get(name, ())}
        if any(name in step.tensors for step in trial.steps):
            kept.update(REDUCTIONS)
        offered = sorted(kept, key=lambda known: (known.startswith("abs_"), known))
        got = f"{name} was not saved as {reduction}{did_you_mean(reduction, offered)}"
        raise ConfigError(got, ", ".join(offered), f"add --of {offered[0]}")
    found = []
    for (name, mode), saved in points.items():
        values = trial.read([place for _, place, _ in saved])
        scalars = [
            (done, _scalar(entry[1], reduction if whole else "mean"))
            for (done, _, whole), entry in zip(saved, values, strict=True)
            if entry is not None
        ]
        found.append(_curve(name, mode, scalars))
    return found


def draw(found: Sequence[Curve], path: Path, title: str) -> None:
    """Draw curves into a .png or .svg.

    Raises:
        ConfigError: the file's name ends otherwise.
        OutputError: it cannot be written.
    """
    from matplotlib.figure import Figure  # without pyplot: no window system, no state to clean up

    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(f"--out {path}", f"a file that ends with {' or '.join(_FORMATS)}", "correct --out")
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    colours = {name: f"C{number % 10}" for number, name in enumerate(dict.fromkeys(curve.name for curve in found))}
    for curve in found:
        evaluated = curve.mode == "EVAL"
        axes.plot(
            curve.steps,
            curve.values,
            color=colours[curve.name],
            label=f"{curve.name} {curve.mode}",
            linestyle="--" if evaluated else "-",
            marker="o" if evaluated or len(curve.steps) == 1 else None,
        )
    axes.set_xlabel("batches of training")
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    for text in axes.legend(fontsize=8, frameon=False).get_texts():
        text.set_parse_math(False)  # a name may hold $
    content = io.BytesIO()
    figure.savefig(content, dpi=150, format=path.suffix[1:] or None)
    write_bytes(path, content.getvalue())


def _chosen(trial: Trial, wanted: str | None) -> set[str]:
    known = sorted({name for step in trial.steps for name in step.names})
    if wanted is None:
        names = [name for name in known if "losses" in trial.groups_of(name)]
    elif wanted in known:
        names = [wanted]
    else:
        try:
            names = [name for name in known if re.search(wanted, name)]
        except re.error as error:
            raise ConfigError(f"--plot {wanted}: {error}", "a name, or a regular expression", "correct it") from error
    if not names:
        got = f"--plot {wanted} finds no tensor" if wanted is not None else "no loss was saved"
        near = did_you_mean(wanted or "loss", known)
        raise ConfigError(f"{got}{near}", f"one of the trial's {len(known)} tensors", "leave --plot out to list them")
    if len(names) > MAX_TENSORS:
        got = f"--plot {wanted} finds {len(names)} tensors, such as {', '.join(names[:3])}"
        raise ConfigError(got, f"at most {MAX_TENSORS} in one picture", "narrow the expression")
    return set(names)


def _curve(name: str, mode: str, scalars: Sequence[tuple[int, float]]) -> Curve:
    steps: dict[int, list[float]] = {}
    for done, value in scalars:
        steps.setdefault(done, []).append(value)
    return Curve(name, mode, list(steps), [float(np.mean(values)) for values in steps.values()])


def _scalar(value: Array, reduction: str) -> float:
    """One number for a tensor: a scalar itself.

    >>> _scalar(np.array([3.0, -4.0]), "l2"), _scalar(np.array([3.0, -4.0]), "abs_mean")
    (5.0, 3.5)
    """
    values: Array = np.asarray(value, dtype=np.float64).ravel()
    if values.size == 1:
        return float(values[0])
    if reduction.startswith("abs_"):
        values = np.abs(values)
    name = reduction.removeprefix("abs_")
    if name in ("l1", "l2"):
        return float(np.linalg.norm(values, ord=int(name[1])))
    return float(getattr(values, {"variance": "var"}.get(name, name))())
