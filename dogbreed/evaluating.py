"""What `python -m dogbreed.evaluate` does: an artifact asked about every picture of a folder's split."""

from __future__ import annotations

import shlex
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dogbreed.app import build
from dogbreed.commands import tell
from dogbreed.data.folder import describe_skipped
from dogbreed.files import from_here, write_json
from dogbreed.fitting import check_counted, make_trainer
from dogbreed.models.classifier import BreedClassifier
from dogbreed.reports.evaluation import confused, write_evaluation
from dogbreed.runs import is_first_process, start_run, write_skipped
from dogbreed.serving.artifact import load_artifact
from dogbreed.stopping import Stopped


def evaluate(config: DictConfig) -> dict[str, float]:
    """The metrics of the artifact on `config.split`, written with a per-class table and the confused pairs."""
    artifact = load_artifact(str(config.artifact))
    datamodule = build(
        config,
        "data",
        transform=artifact.backbone.transform,
        class_names=artifact.class_names,
        test_split=config.split,
    )
    datamodule.setup("test")
    model = BreedClassifier(artifact.backbone, artifact.head, artifact.class_names)
    first = is_first_process()
    overrides = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    directory = start_run(config, "dogbreed.evaluate", overrides) if first else Path(config.paths.output_dir)
    trainer = make_trainer(config)
    try:
        tested = trainer.test(model, datamodule=datamodule, verbose=False)[0]
    except SIGTERMException:
        stopped = Stopped()
        tell(f"stopped by {stopped.number.name}; run it again")
        raise stopped from None
    # Lightning calls every split it tests "test".
    metrics = {f"{config.split}/{name.split('/', 1)[1]}": value for name, value in tested.items()}
    check_counted(metrics, datamodule)
    if not trainer.is_global_zero:
        return metrics
    write_json(directory / "metrics.json", metrics)
    write_skipped(directory, datamodule.skipped)
    confusion = model.confusion_matrix.numpy()
    accuracy = metrics[f"{config.split}/acc"]
    write_evaluation(directory, confusion, artifact.class_names, f"{config.split}: {accuracy:.1%} right")
    print(f"{int(confusion.sum()):,} pictures of {config.split} in {config.data.root}")
    if datamodule.skipped:
        print(describe_skipped(datamodule.skipped))
    print(" ".join(f"{name}={value:#.6g}" for name, value in metrics.items()))
    for pair in confused(confusion, artifact.breeds, limit=5):
        print(f"  {pair['true']} taken for {pair['predicted']}: {pair['pictures']}")
    shown = from_here(directory)
    print(f"wrote {shown}/: metrics.json, per_class.csv, confused.csv, confusion.png")
    print(f"look at {shown}/confusion.png, then ask it about a picture:")
    asked = ["--artifact", str(config.artifact), datamodule.readable(config.split)]
    print(f"  {shlex.join(['python', '-m', 'dogbreed.predict', *asked])}")
    return metrics
