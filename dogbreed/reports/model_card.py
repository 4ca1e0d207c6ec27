"""The model card of a run, by the sections of Mitchell et al., Model Cards for Model Reporting (2019)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dogbreed.reports.contents import Run
from dogbreed.reports.markdown import Markdown, write_markdown
from dogbreed.serving.calibration import Calibration

CARD = "model_card.md"
#: Our metrics -> the Hugging Face hub's names of them.
_HUB = {"test/acc": "accuracy", "test/f1_macro": "f1"}


def write_card(run: Run, content: Mapping[str, Any]) -> Path:
    """Write model_card.md into the run's folder; its path.

    Args:
        run: that trained the model.
        content: of the write-up, parts of which the card shows too.

    Raises:
        OutputError: it cannot be written.
    """
    fitted = run.artifact.get("calibration")
    trust = Calibration.from_dict(fitted).describe() if fitted else None
    front = Markdown(yaml.safe_dump(front_matter(run), sort_keys=False, allow_unicode=True))
    return write_markdown(run.folder.path / CARD, "model_card.md.j2", **content, front=front, trust=trust)


def front_matter(run: Run) -> dict[str, Any]:
    """What the Hugging Face hub reads: only what the run's files say, so no licence and no language."""
    backbone = run.artifact.get("backbone", {})
    name = backbone.get("name") or run.folder.path.resolve().name
    front: dict[str, Any] = {"library_name": "dogbreed", "pipeline_tag": "image-classification"}
    front["tags"] = ["image-classification", "frozen-backbone"]
    if backbone.get("library") == "timm" and backbone.get("weights") == "pretrained":
        front["base_model"] = f"timm/{name}.{backbone['tag']}"  # how timm's weights are called on the hub
    known = {hub: run.metrics[ours] for ours, hub in _HUB.items() if ours in run.metrics}
    if known and run.data is not None:
        data = {"name": Path(run.data.root).name, "type": "imagefolder", "split": "test"}
        metrics = [{"type": hub, "value": value} for hub, value in known.items()]
        front["metrics"] = list(known)
        result = {"task": {"type": "image-classification"}, "dataset": data, "metrics": metrics}
        front["model-index"] = [{"name": f"{name}-{len(run.class_names)}-classes", "results": [result]}]
    return front
