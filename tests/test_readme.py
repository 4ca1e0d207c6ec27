"""What README says is what happens."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_readme__library_example_runs_without_hydra_or_aws(shared_folder: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"### As a library.*?```python\n(.*?)```", README, re.S)
    example = example.replace("pretrained", "none").replace("max_epochs=5", "max_epochs=1, accelerator='cpu'")
    picture = next((shared_folder / "test").rglob("*.jpg"))
    example = re.sub(r"photos/test/\S+\.jpg", str(picture.relative_to(shared_folder.parent)), example)
    # Lightning itself looks for omegaconf, and TensorBoard for boto3; test_rooms shows that we import neither.
    heavy = ("hydra", "sagemaker", "smdebug")
    check = f"\nimport sys\nprint([name for name in {heavy} if name in sys.modules])"
    (tmp_path / "photos").symlink_to(shared_folder)
    ran = subprocess.run([sys.executable, "-c", example + check], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    breed, imported = ran.stdout.strip().splitlines()[-2:]
    assert re.fullmatch(r"Breed [A-D]", breed)
    assert imported == "[]"


@pytest.mark.slow
def test_readme__commands_run(tmp_path: Path) -> None:
    (block,) = re.findall(r"<!-- every command.*?-->\n```bash\n(.*?)```", README, re.S)
    commands = [line for line in block.splitlines() if line and not line.startswith("#")]
    assert len(commands) == 10
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    outputs = []
    for command in commands:
        ran = subprocess.run(
            command, shell=True, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert ran.returncode == 0, f"{command}\n{ran.stderr}"
        outputs.append(ran.stdout)
    chance, colour, ours = map(float, re.findall(r"([\d.]+)%", re.findall(r"^test accuracy: .*", outputs[0], re.M)[0]))
    assert chance == 10.0
    assert ours >= colour + 15
    assert "drawn" in outputs[0]
    assert "untrained" in outputs[0]
    assert "winner: trial" in outputs[1]
    assert (tmp_path / "runs/sweep/winner/artifact/artifact.json").exists()
    assert (tmp_path / "data/sample-summary/samples.jpg").exists()
    assert "640 pictures of 10 classes looked at: nothing wrong" in outputs[3]
    assert "resnet18" in outputs[4]
    assert "120 pictures of test" in outputs[5]
    assert re.search(r"health: of 26 rules 0 found something", outputs[0])
    assert re.search(r"Overfit +IssuesFound", outputs[6]), "by AWS's thresholds a healthy probe is overfit"
    assert "report.html" in outputs[7]
    assert "Tiger mastiff" in outputs[8]
    answers = [json.loads(line) for line in outputs[9].splitlines()]
    assert len(answers) == 120
    right = sum(answer["class_name"] == Path(answer["path"]).parent.name for answer in answers)
    assert right / 120 == pytest.approx(json.loads((tmp_path / "runs/first/metrics.json").read_text())["test/acc"])
