"""The commands that a write-up names, to be pasted as they are: what a path holds, the shell and Hydra read back."""

from __future__ import annotations

import shlex
from pathlib import Path

from dogbreed.choices import CONFIG_DIR
from dogbreed.reports.contents import Run
from dogbreed.serving.own_head import ask_in_python, module_of_own_head
from dogbreed.sweeps.dimensions import override_line

#: Of a run's command: where it was, and how it was sent or went on.
_PLACES = ("hydra.", "hydra/", "resume", "features.root")
_SWEEP = ("hydra/sweeper=fleet", "search_space=lr_batch", "hydra.sweeper.n_trials=50", "hydra.sweep.dir=runs/sweep")
#: What that space sets.
_SPACE = ("optimizer.lr", "data.batch_size")


def overrides_of(run: Run, *without: str) -> list[str]:
    """What the run's command set, with its --config-dir, but for where it was and these keys; empty if not known."""
    words = shlex.split(run.about.get("command") or "")[3:]
    folder = words[:2] if words[:1] == [CONFIG_DIR] else []
    found = [word for word in words[len(folder) :] if "=" in word or word.startswith("~")]
    return [*folder, *(word for word in found if _key(word) not in without and not _key(word).startswith(_PLACES))]


def train(run: Run, *changed: str) -> str:
    """The run's command, with these overrides instead of its own of the same keys."""
    return python("dogbreed.train", *_changed(run, *changed))


def sweep(run: Run) -> str:
    """What searches around the run, and then tells of both."""
    search = python("dogbreed.train", "-m", *overrides_of(run, *_SPACE), *_SWEEP)
    return f"{search}\n{python('dogbreed.report', '--card', str(run.folder.path), 'runs/sweep')}"


def seeds(run: Run) -> str:
    """The run with other seeds."""
    return python("dogbreed.train", "-m", *_changed(run, "seed=0,1,2"))


def job(run: Run) -> str | None:
    """The run as a job: rehearsed, and then planned with its price; None of one that needs files no job has."""
    if own_head(run) or CONFIG_DIR in overrides_of(run):
        return None
    rehearsal = _changed(run, "sagemaker.backend=process")
    measured = _changed(run, override_line("sagemaker.measured_run", str(run.folder.path)))
    return f"{python('launch.train', *rehearsal, 'hydra.run.dir=runs/job')}\n{python('launch.plan', *measured)}"


def own_head(run: Run) -> str | None:
    """The module of the run's head, where that is the user's own; by the config, where no artifact tells."""
    by_config = str(run.setting("head._target_") or "").rpartition(".")[0]
    return module_of_own_head(run.artifact.get("head_module", by_config))


def predict(run: Run, artifact: Path, picture: str) -> str:
    """What asks the artifact about a picture."""
    module = own_head(run)
    if module:
        return ask_in_python(module, str(artifact), picture)
    return python("dogbreed.predict", "--artifact", str(artifact), picture)


def serve(artifact: Path, picture: str) -> str:
    """What serves the artifact on this machine, and asks it."""
    asked = ["curl", "-H", "Content-Type: image/jpeg", "--data-binary", f"@{picture}"]
    return "\n".join(
        [
            python("dogbreed.serve", "--artifact", str(artifact)),
            shlex.join([*asked, "http://127.0.0.1:8080/invocations?top_k=3"]),
        ]
    )


def deploy(artifact: Path, picture: str) -> str:
    """What makes an endpoint of the artifact, asks it, and takes it down."""
    place = override_line("artifact", str(artifact))
    return "\n".join(
        [
            python("launch.deploy", place, "name=breeds", "dry_run=true"),
            python("launch.deploy", place, "name=breeds"),
            python("launch.ask", "breeds", picture),
            python("launch.delete", "breeds"),
        ]
    )


def python(module: str, *words: str) -> str:
    """A command of this library, for the shell."""
    return shlex.join(["python", "-m", module, *words])


def _changed(run: Run, *changed: str) -> list[str]:
    return [*overrides_of(run, *map(_key, changed)), *changed]


def _key(line: str) -> str:
    return line.partition("=")[0].lstrip("+~")
