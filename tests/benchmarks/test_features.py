"""`python -m benchmarks.features` at the smallest size."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.features import main, make_untrained
from benchmarks.old_way import draw_pictures

SMALL = ["--architectures", "resnet18", "--size", "32", "--pictures", "48", "--rounds", "1", "--steps", "1"]
SMALL += ["--batch-size", "4"]


def test_features__compares_the_pass_with_the_old_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    main([*SMALL, "--engines", "torch", "--no-memory", "--json", str(file)])
    shown, figures = capsys.readouterr().out, json.loads(file.read_text())
    found = figures["architectures"]["resnet18"]["pass"]
    assert found["old way"]["ratio_wall"] == 1
    ratio = found["old way"]["wall_ms"] / found["torch"]["wall_ms"]
    assert found["torch"]["ratio_wall"] == pytest.approx(ratio)
    assert figures["machine"]["cores"] >= 1
    assert f"{ratio:.2f}" in shown


@pytest.mark.slow
def test_features__measures_every_engine_and_its_memory(tmp_path: Path) -> None:
    figures = main(SMALL)["architectures"]["resnet18"]
    installed = [name for name, package in (("openvino", "openvino"), ("int8", "nncf")) if find_spec(package)]
    assert list(figures["pass"]) == ["old way", "torch", *installed]
    assert list(figures["forward"]) == ["eager", "torch", *installed]
    for name in ("torch", *installed):
        assert 0.1 < figures["pass"][name]["peak_pss_gib"] < 4
        assert figures["forward"][name]["error"] < (1 if name == "int8" else 1e-4)


def test_untrained__has_calibrated_batchnorm_and_stays_frozen(tmp_path: Path) -> None:
    backbone = make_untrained("resnet18", 32, draw_pictures(tmp_path, 16, (40, 30)))
    norms = [layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    variances = [norm.running_var for norm in norms if norm.running_var is not None]
    assert not any(torch.equal(variance, torch.ones_like(variance)) for variance in variances)
    assert not any(layer.training for layer in backbone.modules())
