"""What `python -m dogbreed.data audit` writes and prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from dogbreed.audit.audit import Audit
from dogbreed.audit.findings import KINDS
from dogbreed.audit.looking import Look
from dogbreed.data.exclusions import write_exclusions
from dogbreed.files import write_text
from dogbreed.reports.audit_contents import (
    EXCLUDE,
    JSON,
    PAGE,
    Twins,
    count_kinds,
    count_severities,
    emptied,
    next_commands,
    rank_pairs,
    total,
)
from dogbreed.reports.audit_page import write_audit_page
from dogbreed.reports.names import legible
from dogbreed.reports.words import count
from dogbreed.tables import print_table

_PACKAGES = ("dogbreed", "pillow", "simplejpeg", "numpy")  # what decides which files can be read, and which are alike
_DIGITS = 4


def write_audit(out: Path, audit: Audit) -> None:
    """Write audit.json, exclude.csv and audit.html to the folder `out`; equal audits make equal files.

    Raises:
        OutputError: a file cannot be written.
    """
    write_text(out / JSON, _lines(_to_json(audit)))
    write_exclusions(out / EXCLUDE, audit.exclusions)
    write_audit_page(out / PAGE, audit)


def tell(audit: Audit, out: Path) -> None:
    """Print what was found, how the counts change, and what to do next.

    Args:
        audit: what to tell.
        out: the folder that it was written to.
    """
    table = Table("severity", "kind", "number", "what it is", "what to do", box=None)
    table.columns[2].justify = "right"
    for kind, number in count_kinds(audit):
        table.add_row(kind.severity, kind.name, f"{number:,}", kind.meaning, kind.advice)
    if audit.findings:
        print_table(table)
    numbers = count_severities(audit).items()
    found = ", ".join(count(number, severity) for severity, number in numbers if number) or "nothing wrong"
    classes = count(len(audit.class_names), "class", "classes")
    print(f"{count(len(audit.looks), 'picture')} of {classes} looked at: {found}")
    if audit.exclusions:
        changes = [_change(split, total(before), total(audit.after[split])) for split, before in audit.before.items()]
        print(f"without the {count(len(audit.exclusions), 'file')} of {EXCLUDE}: {', '.join(changes)}")
    for split, name in emptied(audit):
        print(f"which leaves no picture of {legible(name)} in {split}")
    print(f"wrote {out}/: {PAGE} ({(out / PAGE).stat().st_size / 1e6:.1f} MB), {JSON}, {EXCLUDE}")
    print(f"look at it in a browser:\n  python -m webbrowser {(out / PAGE).resolve().as_uri()}")
    train = "train without them" if audit.exclusions else "train"
    print(f"{train}:\n  {next_commands(audit, out)['train']}")


def _change(split: str, before: int, after: int) -> str:
    return f"{split} {before:,} -> {after:,}" if before != after else f"{split} {before:,} as before"


def _to_json(audit: Audit) -> dict[str, Any]:
    twins = rank_pairs(audit)
    return {
        "root": str(audit.root),
        "versions": {name: version(name) for name in _PACKAGES},
        "limits": asdict(audit.limits),
        "fractions": audit.fractions,
        "seed": audit.seed,
        "features": audit.features,
        "numbers": {
            "pictures": len(audit.looks),
            **count_severities(audit),
            "kinds": {kind.name: number for kind, number in count_kinds(audit)},
            "exclusions": len(audit.exclusions),
        },
        "class_names": list(audit.class_names),
        "counts": {"before": audit.before, "after": audit.after},
        "findings": [
            {"kind": one.kind, "severity": KINDS[one.kind].severity, "paths": list(one.paths), "detail": one.detail}
            for one in audit.findings
        ],
        "pairs": [_pair_to_json(one) for one in twins],
        "exclusions": [asdict(exclusion) for exclusion in audit.exclusions],
        "pictures": [_look_to_json(look) for look in sorted(audit.looks, key=lambda look: look.path)],
    }


def _pair_to_json(one: Twins) -> dict[str, Any]:
    pair = one.pair
    return {
        "kind": one.kind,
        "paths": [one.first.path, one.second.path],
        "exact": pair.exact,
        "score": round(pair.score, _DIGITS),
        "mirrored": pair.mirrored,
        "cosine": None if pair.cosine is None else round(pair.cosine, _DIGITS),
    }


def _look_to_json(look: Look) -> dict[str, Any]:
    content = asdict(look)
    del content["tints"]  # colours as bytes, for comparing alone
    return {**content, "deviation": round(look.deviation, 1)}


def _lines(content: Mapping[str, Any]) -> str:
    """JSON with each entry of its lists on a line of its own, so that a million pictures stay legible and small."""

    def dump(value: Any) -> str:
        if not isinstance(value, list) or not value:
            return json.dumps(value, ensure_ascii=False)
        return "[\n  " + ",\n  ".join(json.dumps(entry, ensure_ascii=False) for entry in value) + "\n ]"

    return "{\n " + ",\n ".join(f"{json.dumps(key)}: {dump(value)}" for key, value in content.items()) + "\n}\n"
