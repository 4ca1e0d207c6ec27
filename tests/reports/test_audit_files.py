"""What an audit writes and prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dogbreed.audit.audit import Audit, audit_folder
from dogbreed.audit.findings import KINDS
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.exclusions import read_exclusions
from dogbreed.errors import OutputError
from dogbreed.reports.audit_contents import changed_classes, emptied, leaked, next_commands, rank_pairs
from dogbreed.reports.audit_files import tell, write_audit
from tests.reports.conftest import LIMITS, audited

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def written(dirty_audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the audit of a tree with every fault."""
    out = tmp_path_factory.mktemp("written") / "photos-audit"
    write_audit(out, dirty_audit)
    return out


def test_write_audit__json_holds_all_of_it(written: Path, dirty_audit: Audit) -> None:
    told = json.loads((written / "audit.json").read_text())
    looks = {look.path: look for look in dirty_audit.looks}
    assert told["numbers"]["kinds"] == Counter(finding.kind for finding in dirty_audit.findings)
    assert [(one["kind"], tuple(one["paths"]), one["detail"]) for one in told["findings"]] == [
        (one.kind, one.paths, one.detail) for one in dirty_audit.findings
    ]
    assert all(one["severity"] == KINDS[one["kind"]].severity for one in told["findings"])
    pairs = {(dirty_audit.looks[pair.first].path, dirty_audit.looks[pair.second].path) for pair in dirty_audit.pairs}
    assert {tuple(pair["paths"]) for pair in told["pairs"]} == pairs
    assert told["exclusions"] == [asdict(exclusion) for exclusion in dirty_audit.exclusions]
    assert told["counts"] == {"before": dirty_audit.before, "after": dirty_audit.after}
    assert told["limits"] == asdict(dirty_audit.limits)
    assert {one["path"]: one["problem"] for one in told["pictures"]} == {
        path: look.problem for path, look in looks.items()
    }


def test_write_audit__json_has_a_line_for_each_picture(written: Path, dirty_audit: Audit) -> None:
    lines = (written / "audit.json").read_text().splitlines()
    assert sum('"digest"' in line for line in lines) == len(dirty_audit.looks)


def test_write_audit__exclusions_are_read_back(written: Path, dirty_audit: Audit) -> None:
    found = read_exclusions(written / "exclude.csv", dirty_audit.root)
    assert found == {exclusion.path: exclusion.reason for exclusion in dirty_audit.exclusions}
    assert found


def test_write_audit__equal_audits_make_equal_files(tmp_path: Path) -> None:
    root, out = tmp_path / "photos", tmp_path / "out"
    write_audit(out, audited(root, {"seen.jpg": "001.Akita", os.fsdecode(b"\xff.jpg"): "002.Beagle"}))
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    write_audit(out, audit_folder(root, limits=LIMITS, workers=1))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert sorted(first) == ["audit.html", "audit.json", "exclude.csv"]


def test_write_audit__where_it_cannot_says_so(dirty_audit: Audit, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        write_audit(tmp_path / "out", dirty_audit)


def test_tell__suggests_a_command_that_trains_on_what_was_counted(tmp_path: Path, capsys: Capture) -> None:
    root, out = tmp_path / "it's, photos (new)=1", tmp_path / "out"
    audit = audited(root, {"seen.jpg": "001.Akita", "seen too.jpg": "002.Beagle"})
    write_audit(out, audit)
    tell(audit, out)
    line = next(line for line in capsys.readouterr().out.splitlines() if "dogbreed.train" in line)
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "dogbreed.train"]
    parser = OverridesParser.create()
    told = {parsed.key_or_group: str(parsed.value()) for parsed in map(parser.parse_override, words[3:])}
    assert told["data"] == "folder"
    datamodule = BreedDataModule(told["data.root"], batch_size=1, exclude=told["data.exclude"])
    for split, counts in audit.after.items():
        assert datamodule.split(split).counts(len(audit.class_names)) == [counts[name] for name in audit.class_names]
    assert audit.after != audit.before


def test_tell__names_every_kind_and_each_file_that_was_written(
    written: Path, dirty_audit: Audit, capsys: Capture
) -> None:
    tell(dirty_audit, written)
    out = capsys.readouterr().out
    for kind in {finding.kind for finding in dirty_audit.findings}:
        assert re.search(rf"^ {KINDS[kind].severity} +{kind} +\d+ ", out, re.M), kind
    assert all(path.name in out for path in written.iterdir())


def test_tell__steers_no_terminal(tmp_path: Path, capsys: Capture) -> None:
    name = os.fsdecode(b"a\xe9 [bold] \xe2\x80\xae.jpg")
    audit = audited(tmp_path / "photos", {name: os.fsdecode(b"\xe2\x80\xaeclass")})
    lost = replace(audit, after={split: dict.fromkeys(counts, 0) for split, counts in audit.after.items()})
    write_audit(tmp_path / "out", lost)
    tell(lost, tmp_path / "out")
    out = capsys.readouterr().out
    assert r"no picture of \u202eclass in test" in out
    assert out.isascii()


def test_changed_classes__are_those_that_lose_a_picture(dirty_audit: Audit) -> None:
    changed = dict(changed_classes(dirty_audit))
    for name in dirty_audit.class_names:
        lost = sum(counts[name] - dirty_audit.after[split][name] for split, counts in dirty_audit.before.items())
        assert (name in changed) == bool(lost)
        if lost:
            assert sum(before - after for before, after in changed[name].values()) == lost


def test_emptied__are_those_that_lose_their_last(dirty_audit: Audit) -> None:
    assert emptied(replace(dirty_audit, after=dirty_audit.before)) == []
    none = replace(dirty_audit, after={split: dict.fromkeys(counts, 0) for split, counts in dirty_audit.before.items()})
    there = {(split, name) for split, counts in dirty_audit.before.items() for name, number in counts.items() if number}
    assert set(emptied(none)) == there


def test_next_commands__take_the_fractions_that_were_audited(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    audited(root, {})
    (root / "valid").rename(root / ".valid")
    audit = audit_folder(root, limits=LIMITS, val_fraction=0.25, seed=3, workers=0)
    assert shlex.split(next_commands(audit, tmp_path)["train"])[4:] == [
        f"data.root={root}",
        "data.val_fraction=0.25",
        "data.seed=3",
    ]


def test_leaked__counts_the_picture_of_the_later_split(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    audited(root, {})
    shutil.copy(root / "valid/001.Akita/00000.jpg", root / "test/001.Akita/seen.jpg")
    twins = rank_pairs(audit_folder(root, limits=LIMITS, workers=0))
    assert (leaked(twins, "test"), leaked(twins, "val")) == (1, 0)
