"""smdebug, the hook of SageMaker Debugger, as a callback."""

from __future__ import annotations

import atexit
import importlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dogbreed.errors import OutputError
from dogbreed.files import writing
from dogbreed.health.smdebug.config import Collection, from_job, from_settings, job_file
from dogbreed.health.smdebug.limits import refuse
from dogbreed.health.smdebug.parts import layers_of, overwriting, parts_of, type_of
from dogbreed.health.smdebug.trial import holds_trial
from dogbreed.health.smdebug.writing import make_hook

_NOTHING = "(?!)"  # a regular expression that matches nothing: smdebug refuses a collection without one


class SmdebugHook(pl.Callback):
    """Saves the tensors of `network` and of the losses as smdebug does, for its readers and AWS's rules.

    Modes follow Lightning's stages: TRAIN, and EVAL in the validations of a fit. The sanity check, and the
    evaluations before and after a fit (validate, test, predict), are left out: nothing is registered then.
    A step is a batch. In a SageMaker job its own debughookconfig.json stands in for all the arguments.
    Weights and biases of frozen parameters are saved only where a regular expression asks for them.
    Gradients under automatic mixed precision are saved unscaled.

    Args:
        out_dir: see `dogbreed.health.smdebug.config.from_settings`, as all others.
        save_interval: see there.
        save_steps: see there.
        save_all: see there.
        collections: see there.

    Raises:
        ConfigError: the settings, or the job's file, make no sense.
    """

    def __init__(
        self,
        *,
        out_dir: str,
        save_interval: Mapping[str, int | None],
        save_steps: Mapping[str, Sequence[int]],
        save_all: bool,
        collections: Mapping[str, Mapping[str, Any] | None],
    ) -> None:
        file = job_file()
        self.config = (
            from_job(file)
            if file is not None
            else from_settings(str(out_dir), save_interval, save_steps, save_all, collections)
        )
        self._types = {
            each.name: tuple(type_of(path, each.name) for path in each.modules) for each in self.config.collections
        }
        self._hook: Any = None  # smdebug has no types
        self._handles: list[RemovableHandle] = []
        self._named: list[nn.Module] = []
        self._inplace: list[nn.Module] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse, before anything is trained, what smdebug cannot do.

        Raises:
            ConfigError: it cannot be hooked on such a run.
            OutputError: there is a trial in out_dir already, or it cannot be written.
        """
        if stage != "fit":
            return
        refuse(trainer, pl_module)
        parts_of(pl_module)
        if trainer.is_global_zero and holds_trial(self.config.out_dir):
            raise OutputError(
                f"{self.config.out_dir} holds a trial already, and smdebug cannot add to one",
                "a folder without one",
                "set hook.out_dir to another, or remove that one",
            )
        if "://" not in self.config.out_dir:
            with writing(Path(self.config.out_dir)):
                os.makedirs(self.config.out_dir, exist_ok=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Register smdebug: the sanity check is over."""
        network, losses = parts_of(pl_module)
        self._hook = make_hook(self.config)
        _narrow(self._hook, network)
        for collection in self.config.collections:
            self._fill(collection, network)
        regexes = [regex for group in self._hook.get_collections().values() for regex in group.include_regex]
        self._inplace = list(overwriting(regexes, network))
        self._register(network, losses, getattr(trainer.precision_plugin, "scaler", None))
        self._set_mode("TRAIN")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count to EVAL."""
        self._set_mode("EVAL")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count to TRAIN again."""
        self._set_mode("TRAIN")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the files."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the files, also after SIGTERM, which comes as an exception."""
        self._close()

    def _set_mode(self, mode: str) -> None:
        if self._hook is not None:
            self._hook.set_mode(importlib.import_module("smdebug").modes[mode])

    def _fill(self, collection: Collection, network: nn.Module) -> None:
        """Add the names of the layers that a collection takes by their type."""
        target = self._hook.get_collection(collection.name)
        found = layers_of(collection, self._types[collection.name], network)
        target.include([f"^{re.escape(name)}_{end}_\\d+$" for name, end in found])
        if not target.include_regex and not target.tensor_names:
            target.include(_NOTHING)

    def _register(self, network: nn.Module, losses: Sequence[nn.Module], scaler: Any) -> None:
        """What smdebug's register_module and register_loss do, keeping the handles, which those throw away."""
        hook, model = self._hook, type(network).__name__
        for name, module in (*network.named_modules(), *((type(loss).__name__, loss) for loss in losses)):
            module._module_name = name or model
            self._named.append(module)
            self._handles.append(module.register_forward_hook(hook.forward_hook))
        self._handles.append(network.register_forward_pre_hook(hook.forward_pre_hook))
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                save = hook.backward_hook(f"{model}_{name}")
                self._handles.append(parameter.register_hook(save if scaler is None else _unscaled(hook, save, scaler)))
        for layer in self._inplace:  # it would overwrite its input before that is saved
            layer.inplace = False  # type: ignore[assignment]

    def _close(self) -> None:
        hook, self._hook = self._hook, None
        if hook is None:
            return
        for handle in self._handles:
            handle.remove()
        for layer in self._inplace:
            layer.inplace = True  # type: ignore[assignment]
        for module in self._named:
            del module._module_name
        self._handles, self._inplace, self._named = [], [], []
        hook.exported_collections = False  # the first export, at the first step, lacked the names of the later tensors
        try:
            with writing(Path(self.config.out_dir)):
                hook.close()
        finally:
            for left in (hook._cleanup, hook.profiler_config_parser.stop_post_hook_close_python_profiling):
                atexit.unregister(left)  # it would write into out_dir once more when the process ends
            importlib.import_module("smdebug.pytorch").del_hook()


def _narrow(hook: Any, network: nn.Module) -> None:
    """Take the frozen parameters out of smdebug's own collections; expressions of the user's stay in."""
    model = type(network).__name__
    for collection, ending in (("weights", "weight"), ("biases", "bias")):
        target = hook.get_collection(collection)
        target.include_regex.remove(f"^(?!gradient).*{ending}")
        for name, parameter in network.named_parameters():
            if parameter.requires_grad and ending in name:
                target.add_tensor_name(f"{model}_{name}")


def _unscaled(hook: Any, save: Callable[[Tensor], None], scaler: Any) -> Callable[[Tensor], None]:
    def back(gradient: Tensor) -> None:
        if hook.writer is not None:  # get_scale waits for the device, so only where something is saved
            save(gradient / scaler.get_scale())

    return back
