"""What `python -m dogbreed.train` does: build, fit, test the best epoch once, and save it as an artifact."""

from __future__ import annotations

import logging
import math
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dogbreed.app import build, factory, parts
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.folder import SPLITS, describe_skipped
from dogbreed.data.loading import SplitLoaders
from dogbreed.errors import ConfigError, DataError, OutputError
from dogbreed.explain import SAMPLE_S, Watch, make_hook, run_started, used_gpus
from dogbreed.files import from_here, write_json
from dogbreed.health.machine import MachineSampler
from dogbreed.health.rules.base import Rule
from dogbreed.models.backbones import Backbone
from dogbreed.models.classifier import BreedClassifier, balanced_weights
from dogbreed.models.heads import Head, initialise
from dogbreed.prepare import Prepared, prepare, say
from dogbreed.reports.evaluation import write_evaluation
from dogbreed.reports.pictures import class_thumbnails
from dogbreed.runs import is_first_process, start_run, write_skipped
from dogbreed.seeding import derive_seed
from dogbreed.serving.artifact import save_artifact
from dogbreed.serving.own_head import ask_in_python, module_of_own_head
from dogbreed.stopping import Stopped, continuable
from dogbreed.streams import BOLD, YELLOW
from dogbreed.training.calibration import Calibrator
from dogbreed.training.epoch_line import BEST_EPOCH, epoch_line
from dogbreed.training.interruption import LAST, StopTogether, check_checkpoint
from dogbreed.training.restoring import Restored


def fit(config: DictConfig, rules: Sequence[Rule]) -> float:
    """Train a head on a frozen backbone, watched by rules; the best value of `config.monitor` on val."""
    _check_parts(config)
    checkpoint = _resume_from(config)
    first = is_first_process()
    overrides = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    hook = make_hook(config)  # a mistake in it is told before the feature pass
    with continuable(config, overrides), MachineSampler(SAMPLE_S, run_started(), used_gpus(config)) as sampler:
        directory = start_run(config, "dogbreed.train", overrides) if first else Path(config.paths.output_dir)
        pl.seed_everything(config.seed, workers=True, verbose=False)
        prepared = prepare(config)
        watch = Watch(config, prepared, directory, sampler, rules, hook)
        return _fit(config, prepared, watch, checkpoint)


def _check_parts(config: DictConfig) -> None:
    """Refuse before the feature pass what could not be made after it."""
    named = [f"{key}.{name}" for key in ("callbacks", "logger") for name in parts(config, key)]
    for key in ("head", "optimizer", "scheduler", "trainer", *named):
        factory(config, key)
    target = OmegaConf.select(config, "head._target_")
    if target is None:
        raise ConfigError(
            "no head._target_", "a class of heads, or what makes one", "choose one: head=linear, head=mlp"
        )
    head = get_object(target)
    if isinstance(head, type) and issubclass(head, Head):
        head.check_kind()


def _fit(config: DictConfig, prepared: Prepared, watch: Watch, checkpoint: str | None) -> float:
    directory, datamodule = Path(config.paths.output_dir), prepared.pictures
    model = make_model(config, datamodule, prepared.backbone)
    restored = Restored(checkpoint)
    trainer = make_trainer(config, *watch.callbacks, restored)
    if is_first_process():
        watch.write_data()
    failed = True
    try:
        with restored.telling():
            trainer.fit(model, prepared.batches, ckpt_path=checkpoint, weights_only=True)
        metrics = _test_best(trainer, model, prepared.batches)
        check_counted(metrics, datamodule)
        failed = False
    except SIGTERMException:
        failed = False
        raise Stopped(f" in epoch {trainer.current_epoch} after step {trainer.global_step}") from None
    finally:
        if is_first_process():
            write_skipped(directory, datamodule.skipped)
            found = watch.write_health()
            if failed:
                watch.write_failed()
    if trainer.is_global_zero:
        _save(config, directory, model, datamodule, metrics, watch.calibrator)
        say("\n".join(found[:-1]), YELLOW) if found[1:] else None
        say("\n".join(found[-1:]))
        watch.write_rest()
    return metrics[config.monitor]


def make_model(config: DictConfig, datamodule: BreedDataModule, backbone: Backbone) -> BreedClassifier:
    """The classifier that the config describes, for the data module's classes."""
    weights = None
    if config.class_weights == "balanced":
        weights = balanced_weights(datamodule.split("train").counts(datamodule.num_classes))
    elif config.class_weights is not None:
        raise ConfigError(f"class_weights={config.class_weights}", "balanced or null", "set class_weights")
    head = build(config, "head")(num_features=backbone.num_features, num_classes=datamodule.num_classes)
    initialise(head, derive_seed(config.seed, "head"))
    return BreedClassifier(
        backbone,
        head,
        datamodule.class_names,
        optimizer=build(config, "optimizer"),
        scheduler=build(config, "scheduler"),
        label_smoothing=config.label_smoothing,
        class_weights=weights,
        seed=config.seed,
    )


def make_trainer(config: DictConfig, *callbacks: pl.Callback) -> pl.Trainer:
    """The trainer with the callbacks and loggers that the config lists, if any, and these."""
    for name in ("pytorch_lightning", "lightning_fabric"):  # which set their own level when they are imported
        logging.getLogger(name).setLevel(logging.WARNING)
    settings: dict[str, Any] = {
        key: [_part(config, f"{key}.{name}") for name in parts(config, key)] for key in ("callbacks", "logger")
    }
    settings["callbacks"] += [*callbacks, StopTogether()]
    if config.trainer.enable_progress_bar is None:
        settings["enable_progress_bar"] = sys.stdout.isatty()
    if settings.get("enable_progress_bar", config.trainer.enable_progress_bar):
        settings["callbacks"].append(TQDMProgressBar())  # rich's would fold the epoch lines at the terminal's width
    trainer: pl.Trainer = build(config, "trainer", **settings)
    return trainer


def _part(config: DictConfig, key: str) -> Any:
    """The callback or logger of a section.

    Raises:
        ConfigError: it cannot be made, or names no class.
    """
    found = build(config, key)
    if found is None:
        raise ConfigError(f"{key} without a _target_", "the class that it is made of", f"set {key}._target_, or ~{key}")
    return found


def _resume_from(config: DictConfig) -> str | None:
    """The checkpoint to continue from, None for a fresh start."""
    last = Path(config.paths.checkpoints) / LAST
    if not last.exists():
        if config.resume:
            say(f"no checkpoint at {last}: starting anew")
        return None
    if not config.resume:
        raise OutputError(
            got=f"{config.paths.output_dir} holds a run already",
            allowed="a new directory, or the same one to continue that run",
            hint="add resume=true to continue it, or choose another hydra.run.dir",
        )
    check_checkpoint(last)
    say(f"continuing from {last}")
    return str(last)


def _test_best(trainer: pl.Trainer, model: BreedClassifier, batches: SplitLoaders) -> dict[str, float]:
    """val/* and test/* of the best epoch, loaded again from its checkpoint; test is read this once."""
    best = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    if not best:
        raise ConfigError("no epoch was finished", "one at least", "train for longer: trainer.max_epochs")
    check_checkpoint(Path(best))
    metrics: dict[str, float] = {}
    for evaluate in (trainer.validate, trainer.test):
        metrics |= evaluate(model, datamodule=batches, ckpt_path=best, weights_only=True, verbose=False)[0]
    return metrics


def check_counted(metrics: dict[str, float], datamodule: BreedDataModule) -> None:
    """Raises a DataError where a split had no picture that could be read, and so no loss."""
    for name, value in metrics.items():
        if name.endswith("/loss") and math.isnan(value) and datamodule.skipped:
            raise DataError(
                got=f"{name} counts no picture ({describe_skipped(datamodule.skipped)})",
                allowed="one readable picture at least",
                hint="look at skipped.csv, and at data.root",
            )


def _save(
    config: DictConfig,
    directory: Path,
    model: BreedClassifier,
    datamodule: BreedDataModule,
    metrics: dict[str, float],
    learned: Calibrator,
) -> None:
    write_json(directory / "metrics.json", metrics)
    confusion = model.confusion_matrix.numpy()
    write_evaluation(directory, confusion, model.class_names, f"test: {metrics['test/acc']:.1%} right")
    unreadable = Counter(entry.split for entry in datamodule.skipped if entry.reason.startswith("unreadable"))
    counts = {name: len(datamodule.split(name)) - unreadable[name] for name in SPLITS}
    train = datamodule.split("train")
    artifact, shown = Path(config.paths.artifact), from_here(directory)
    save_artifact(
        artifact,
        model.backbone,
        model.head,
        model.class_names,
        metrics=metrics,
        counts=counts,
        notes=list(config.notes),
        calibration=learned.calibration,
        look_alikes=learned.look_alikes,
        thumbnails=class_thumbnails(train.paths, train.targets) if config.thumbnails else None,
    )
    say(BEST_EPOCH + epoch_line(metrics), BOLD)
    say(learned.describe())
    for note in config.notes:
        say(note)
    say(f"wrote {shown}/: metrics.json, metrics.csv, per_class.csv, confused.csv, confusion.png, artifact/")
    if datamodule.skipped:
        say(f"{describe_skipped(datamodule.skipped)}; each is listed in {shown}/skipped.csv")
    say(f"look at {shown}/confusion.png, then try it on a picture:")
    own = module_of_own_head(type(model.head).__module__)
    say(_use(own, str(from_here(artifact)), datamodule.readable("test")))


def _use(own: str | None, artifact: str, picture: str) -> str:
    """The commands that ask the artifact, whose head is of a module of the user's own, or None."""
    if own:
        return f"  {ask_in_python(own, artifact, picture)}"
    predict, serve = (["python", "-m", f"dogbreed.{name}", "--artifact", artifact] for name in ("predict", "serve"))
    return f"  {shlex.join([*predict, picture])}\nor in a browser: {shlex.join(serve)}"
