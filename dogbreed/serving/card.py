"""The model card of an artifact, in Markdown."""

from __future__ import annotations

from typing import Any

from dogbreed.serving.calibration import Calibration
from dogbreed.serving.names import readable
from dogbreed.serving.own_head import ask_in_python, module_of_own_head


def model_card(about: dict[str, Any]) -> str:
    """What the classifier is, what it was trained on and how well it did, from the artifact's own description."""
    backbone, head, transform = about["backbone"], about["head"], about["transform"]
    names = about["class_names"]
    shown = ", ".join(readable(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
    metrics = "\n".join(f"| {name} | {value:.4f} |" for name, value in about["metrics"].items())
    pictures = "\n".join(f"| {split} | {count:,} |" for split, count in about["pictures"].items())
    notes = "".join(f"\n> {note}\n" for note in about["notes"])
    calibration = about["calibration"]
    trust = (
        "not calibrated: " if calibration is None else f"calibrated on {calibration['pictures']:,} pictures of val: "
    )
    trust += "every answer is marked unsure" if calibration is None else Calibration.from_dict(calibration).describe()
    return f"""# {len(names)} classes on a frozen {backbone["name"]}
{notes}
A {head["kind"]} head on the {backbone["num_features"]} features of {backbone["library"]}'s {backbone["name"]}
({backbone["tag"]}; weights: {backbone["weights"]}), which was kept frozen.
Pictures are read at {transform["size"]} x {transform["size"]} pixels.

Classes: {shown}

| metric | value |
|---|---|
{metrics}

| split | pictures |
|---|---|
{pictures}

Its probabilities are {trust}.

It answers with one of its {len(names)} classes for every picture, also for one that shows none of them.

{_how_to_ask(about)}
"""


def _how_to_ask(about: dict[str, Any]) -> str:
    own = module_of_own_head(about.get("head_module"))
    if own is None:
        return "    python -m dogbreed.predict --artifact . PICTURE.jpg"
    return f"""Its head is a class of the module `{own}`, which no command imports. With the folder of that module in
PYTHONPATH, this asks it:

    {ask_in_python(own, ".", "PICTURE.jpg")}"""
