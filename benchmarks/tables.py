"""`python -m benchmarks.tables`: writes the tables of README.md and docs/results.md from benchmarks/results/.

A table stands between `<!-- table NAME -->` and `<!-- end of the table -->`; a function of that name here makes it of
the files that the benchmarks wrote (`--json`). `--check` writes nothing, and ends with 1 where a table is another.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
RESULTS = Path(__file__).parent / "results"

Figures = Mapping[str, Any]  # what each file holds, by its name
Rows = Iterator[Sequence[str]]  # the first is the header

_TABLE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end of the table -->)", re.DOTALL)
_ENGINES = ("torch", "openvino", "int8")


def fill(page: str, folder: Path = RESULTS) -> str:
    """The page with each of its tables as the files in `folder` give it.

    Raises:
        KeyError: there is no such table, or a figure is missing.
    """
    figures = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return _TABLE.sub(lambda found: found[1] + "\n" + _draw(TABLES[found[2]](figures)) + "\n" + found[3], page)


def summary(found: Figures) -> Rows:
    """What matters, each with its command."""
    yield "what", "result", "command"
    accuracy, cost = found["accuracy"], found["cost"]
    runs, sweep = accuracy["runs"], found["sweep"]
    yield (
        f"linear head on frozen timm MobileNetV2, defaults, mean of {len(runs)} seeds; "
        "logistic regression, C chosen on val",
        f"test {percent(accuracy['test/acc'])} ± {100 * accuracy['half_width_95']:.1f} (95 %); "
        f"{percent(accuracy['logistic_regression']['test/acc'])}",
        accuracy["command"],
    )
    yield (
        "its calibration error on val, before and after, and on test; answers of test marked sure",
        f"{mean(runs, 'val/ece_before'):.3f}, {mean(runs, 'val/ece'):.3f}, {mean(runs, 'test/ece'):.3f}; "
        f"{percent(mean(runs, 'test/sure'), 0)}, right {percent(mean(runs, 'test/acc_sure'))} of the time",
        "the same",
    )
    passes = {name: of["pass"] for name, of in found["features"]["architectures"].items()}
    yield (
        f"a picture in the feature pass against the old training step: {'; '.join(passes)}",
        "; ".join(
            f"{times(ways['torch']['ratio_wall'])} (OpenVINO int8: {times(ways['int8']['ratio_wall'])})"
            for ways in passes.values()
        ),
        found["features"]["command"],
    )
    ratios, views = _sweep_ratios(sweep, "torch"), f"{sweep['views']} views"
    yield (
        f"{sweep['trials']} trials x {sweep['epochs']} epochs from photographs on against the old way, "
        f"{sweep['architecture']}: clean view; {views}; features cached",
        "; ".join(times(ratios[f"sweep, {what}"]) for what in ("clean view", views, "cached")),
        sweep["command"],
    )
    epochs = found["heads"]["epochs"]
    yield (
        f"a head-epoch in a fleet of 64 against plain Lightning, {epochs[0]['width']} features, "
        f"batch {epochs[0]['batch_size']}: on one core; on two",
        "; ".join(times(_fleet_ratio([row for row in epochs if row["cores"] == cores], 64)) for cores in (1, 2)),
        found["heads"]["command"],
    )
    (many,) = found["heads_sweep"]["sweeps"]
    yield (
        f"{many['trials']} trials x {many['epochs']} epochs of linear heads, "
        f"{many['pictures']:,} x {many['width']:,} features, {many['classes']} classes; by plain Lightning",
        f"{many['wall_s']:.0f} s; about {many['lightning_s']:.0f} s",
        found["heads_sweep"]["command"],
    )
    watched = next(row for row in found["health"]["rows"] if row["batch_size"] == 32 and "rules" in row["way"])
    yield (
        "profile, rules and recording at their defaults, of the time of training on features, batch 32",
        percent(watched["ratio"][0] - 1),
        found["health"]["command"],
    )
    yield (
        f"{cost['trials']} trials of the quick start on {cost['instance_type']}, expected price: "
        f"{'; '.join(cost['ways'])} (assumptions in the plan)",
        "; ".join("{:.2f} to {:.2f}".format(*way["usd"]) for way in cost["ways"].values()) + " USD",
        cost["command"],
    )
    serving = found["serving"]
    loaded = next(row for row in serving["rows"] if row["clients"] == 16)
    yield (
        "the server at 16 clients, decoding included: of the Predictor's own throughput; p99 of a plain server's",
        f"{serving['of_own']:.2f} x ({loaded['requests_s']:.0f} requests/s); "
        f"{serving['p99_of_plain']:.2f} x ({loaded['p99_ms']:.0f} ms)",
        serving["command"],
    )
    exports = found["exports"]["engines"]
    kinds = [name for name, of in exports.items() if "agreement" in of]
    yield (
        f"its exports, {found['exports']['pictures']} photographs, labels equal to torch's: {'; '.join(kinds)}",
        "; ".join(percent(exports[name]["agreement"]) for name in kinds),
        found["exports"]["command"],
    )
    audit = found["audit"]
    copies = [name for name in audit["audit"] if name != "others"]
    yield (
        f"planted copies that an audit of {audit['pictures']:,} photographs finds: {', '.join(copies)}; "
        "the usual 64-bit perceptual hash",
        "; ".join(", ".join(percent(audit[by][name], 0) for name in copies) for by in ("audit", "usual")),
        audit["command"],
    )
    start = found["startup"]
    yield (
        "the first training step on cached features, after what importing torch and pytorch_lightning takes; "
        "`dogbreed.train --help`",
        f"{start['beyond_import']['wall_s']:.1f} s; {start['help']['train']['wall_s']:.1f} s",
        start["command"],
    )


def features(found: Figures) -> Rows:
    """A picture in the feature pass against one in the old training step."""
    yield "wall (CPU)", "torch", "OpenVINO fp32", "OpenVINO int8"
    for architecture, of in found["features"]["architectures"].items():
        ways = of["pass"]
        yield architecture, *(f"{times(ways[e]['ratio_wall'])} ({times(ways[e]['ratio_cpu'])[:-2]})" for e in _ENGINES)


def sweep(found: Figures) -> Rows:
    """A whole sweep, the old way against ours."""
    yield "", "torch", "OpenVINO fp32", "OpenVINO int8"
    of = found["sweep"]
    ratios = [_sweep_ratios(of, engine) for engine in _ENGINES]
    for what, told in (
        ("sweep, clean view", f"cold sweep, {of['trials']} trials x {of['epochs']} epochs, clean view"),
        (f"sweep, {of['views']} views", f"the same in {of['views']} views"),
        ("sweep, cached", "the same, features cached"),
        ("one trial, clean view", f"one cold trial of {of['epochs']} epochs"),
    ):
        yield told, *(times(ratio[what]) for ratio in ratios)


def heads(found: Figures) -> Rows:
    """A head-epoch by each way, in milliseconds, and against the first."""
    rows = found["heads"]["epochs"]
    yield "", *(row["way"] for row in rows if row["cores"] == 1)
    for cores, name in ((2, "two cores"), (1, "one core")):
        ways = [row["wall_ms"] for row in rows if row["cores"] == cores]
        yield name, f"{ways[0]:.0f} ms", *(f"{ms:.0f} ms ({times(ways[0] / ms)})" for ms in ways[1:])


def health(found: Figures) -> Rows:
    """Training that is watched, against training that is not."""
    yield "", "an epoch", "of the bare one", "of its processor time"
    for row in found["health"]["rows"]:
        shares = (f"{row['ratio'][0]:.3f}", f"{row['ratio'][1]:.3f}")
        yield f"batch {row['batch_size']}: {row['way']}", f"{1000 * row['wall_s']:.0f} ms", *shares


def serving(found: Figures) -> Rows:
    """The server under load, and one that answers one request at a time."""
    yield "", "requests/s", "p50", "p99", "failed", "server memory"
    named = [(f"{row['clients']} client{'s' * (row['clients'] > 1)}", row) for row in found["serving"]["rows"]]
    plain = found["serving"]["plain"]
    for name, row in [*named, (f"a plain server, one request at a time, {plain['clients']} clients", plain)]:
        before, after = row["memory_mb"]
        tail = (f"{row['p50_ms']:.0f} ms", f"{row['p99_ms']:.0f} ms", f"{row['failed']}", f"{before:,} -> {after:,} MB")
        yield name, f"{row['requests_s']:.1f}", *tail


def exports(found: Figures) -> Rows:
    """Each export beside torch."""
    yield "", "largest logit difference", "same label", "right"
    for name, of in found["exports"]["engines"].items():
        if "agreement" in of:
            yield name, f"{of['largest_difference']:.1e}", percent(of["agreement"]), percent(of["accuracy"], 2)


TABLES: Mapping[str, Callable[[Figures], Rows]] = {
    "summary": summary,
    "features": features,
    "sweep": sweep,
    "heads": heads,
    "health": health,
    "serving": serving,
    "exports": exports,
}


def _sweep_ratios(result: Mapping[str, Any], engine: str) -> dict[str, float]:
    return {run["what"]: run["ratio_wall"] for run in result["runs"] if run["engine"] == engine}


def _fleet_ratio(rows: Sequence[Mapping[str, Any]], heads: int) -> float:
    """How many times as long the first way takes as a fleet of so many."""
    fleet = next(row for row in rows if row["way"].startswith(f"fleet of {heads},"))
    return float(rows[0]["wall_ms"] / fleet["wall_ms"])


def _draw(rows: Rows) -> str:
    """A Markdown table; the last column of one that has commands is code."""
    header, *lines = rows
    drawn = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for *cells, last in lines:
        assert not re.search(r"(^|[ =])[/~]", last), f"{last}: measure again with paths that others have too"
        code = f"`{last}`" if header[-1] == "command" and last != "the same" else last
        drawn.append(f"| {' | '.join([*cells, code])} |")
    return "\n".join(drawn) + "\n"


def percent(share: float, digits: int = 1) -> str:
    """A share in [0, 1].

    >>> percent(0.8274)
    '82.7 %'
    """
    return f"{share:.{digits}%}".replace("%", " %")


def times(ratio: float) -> str:
    """A ratio to two digits, or above 100 to three.

    >>> times(2.345), times(49.6), times(4623.0)
    ('2.3 x', '50 x', '4,620 x')
    """
    rounded = float(f"{ratio:.3g}" if ratio >= 100 else f"{ratio:.2g}")
    return f"{rounded:,.1f} x" if rounded < 10 else f"{rounded:,.0f} x"


def mean(rows: Sequence[Mapping[str, float]], name: str) -> float:
    """Of a figure over some runs.

    >>> mean([{"a": 1.0}, {"a": 2.0}], "a")
    1.5
    """
    return sum(row[name] for row in rows) / len(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where a table is another")
    options = parser.parse_args(arguments)
    stale = [page for page in PAGES if fill(page.read_text()) != page.read_text()]
    for page in stale:
        if not options.check:
            page.write_text(fill(page.read_text()))
        print(f"{'not what the files say' if options.check else 'wrote'}: {page.relative_to(ROOT)}")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
