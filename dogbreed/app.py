"""The shell around what Hydra configures: composes, runs, and turns mistakes into one clear error."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from omegaconf.resolvers import oc

from dogbreed.arguments import check_no_secret, secret, secrets_of, tells_of_a_secret
from dogbreed.commands import explain
from dogbreed.directions import direction
from dogbreed.errors import ConfigError, DogbreedError, did_you_mean
from dogbreed.help import Help, help_of, wants_help
from dogbreed.kinds import check_arguments

CONFIG = "pkg://dogbreed.conf"


class _Failed(BaseException):
    """Carries what ended a run past Hydra, which would add words of its own to an Exception."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def run_app(about: Help, task: Callable[[DictConfig], Any]) -> None:
    """Run `task` on the composed config, or tell what the command is for, where help is asked for.

    Raises:
        DogbreedError: the user made a mistake.
    """
    if wants_help(sys.argv[1:]):
        print(help_of(about, sys.argv[1:]))
        return
    config_name = about.config
    prepare()
    composed = False

    def guarded(config: DictConfig) -> Any:
        nonlocal composed
        composed = True
        try:
            return task(config)
        except Exception as error:
            is_mistake = isinstance(error, MissingMandatoryValue | InterpolationResolutionError | ConfigAttributeError)
            mistake = _explain(error, config_name) if is_mistake else explain(error)
            # In a sweep the error goes to the sweeper; a single run ends here, without Hydra's own words.
            if HydraConfig.get().mode != RunMode.MULTIRUN:
                raise _Failed(error if mistake is None or isinstance(error, OSError) else mistake) from error
            if mistake is None or mistake is error:
                raise
            raise mistake from error

    guarded.__doc__ = task.__doc__
    previous = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra's documented way to let exceptions through to us
    try:
        check_no_secret(sys.argv[1:])  # first: what follows repeats the override that is wrong
        _check_grammar(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=CONFIG, config_name=config_name)(guarded)()
    except _Failed as failed:
        raise failed.error from failed.error.__cause__
    except (HydraException, OmegaConfBaseException, TypeError, ValueError) as error:
        if composed or (isinstance(error, OSError) and explain(error)):  # Hydra has some that are both
            raise  # a defect of ours, or of the disk's
        raise _explain(error, config_name) from error
    finally:
        if previous is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)


def compose(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """The config with these overrides, for a command that is not Hydra's own.

    Raises:
        ConfigError: an override that cannot be.
    """
    prepare()
    check_no_secret(overrides)
    _check_grammar(overrides)
    try:
        with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
            return hydra.compose(config_name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, TypeError, ValueError) as error:
        raise _explain(error, config_name) from error


def build(config: DictConfig, key: str, **arguments: Any) -> Any:
    """What the section `key` of the config describes, or None where it names no `_target_`.

    Raises:
        ConfigError: it cannot be made so.
    """
    make = factory(config, key)
    if make is None:
        return None
    return partial(make, **arguments) if OmegaConf.select(config, f"{key}._partial_") else make(**arguments)


def factory(config: DictConfig, key: str) -> Callable[..., Any] | None:
    """What makes the section `key` of the config, its settings checked; None where it names no `_target_`.

    Raises:
        ConfigError: a setting that its target does not take.
    """
    section = OmegaConf.select(config, key)
    if section is None:
        return None
    _check_section(key, section)
    if "_target_" not in section:
        return None
    for missing in sorted(OmegaConf.missing_keys(section)):
        raise _not_set(missing)
    call = partial(_call, key, section["_target_"])
    # Hydra would turn arguments of its own into parts of the config; so it makes a factory, and we call it.
    make = call(instantiate, section, _partial_=True, _convert_="all")
    check_arguments(key, make.keywords, make.func)
    return partial(call, make)


def parts(config: DictConfig, key: str) -> dict[str, DictConfig]:
    """The sections under `key`, by their names; without those left out, as by ~KEY.NAME or KEY.NAME=null.

    Raises:
        ConfigError: one of them is no section.
    """
    section = OmegaConf.select(config, key)
    if section is None:
        return {}
    _check_section(key, section)
    found = {str(name): part for name, part in section.items() if part is not None}
    for name, part in found.items():
        _check_section(f"{key}.{name}", part)
    return found


def _check_section(key: str, section: object) -> None:
    """Raises a ConfigError where a plain value has taken a section's place."""
    if not isinstance(section, DictConfig):
        raise ConfigError(
            f"{key}={section}", f"a section: {key}.NAME=VALUE, or null", f"set what is in {key}, or ~{key}"
        )


def _call(key: str, target: str, make: Callable[..., Any], /, *inputs: Any, **arguments: Any) -> Any:
    """What `make` makes; what its settings make it stumble over becomes an error that names their section."""
    try:
        return make(*inputs, **arguments)
    except Exception as error:
        # Lightning takes seconds to load, and where it is not loaded its error cannot be raised.
        lightning = sys.modules.get("lightning_fabric.utilities.exceptions")
        known = [InstantiationException, TypeError, ValueError]
        if not isinstance(error, (*known, *([lightning.MisconfigurationException] if lightning else []))):
            raise
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        if isinstance(cause, DogbreedError):
            raise cause from None
        raise ConfigError(
            got=f"{key} cannot be made: {cause}",
            allowed=f"settings that {target} takes",
            hint=f"look at the section: --cfg job --package {key}",
        ) from error


def _not_set(key: str) -> ConfigError:
    return ConfigError(f"{key} is not set", "a value for it", f"add {key}=VALUE")


def prepare() -> None:
    """Make conf/ composable, and leave out what Lightning says on every run and no user of ours needs."""
    OmegaConf.register_new_resolver("direction", direction, replace=True)
    OmegaConf.register_new_resolver("oc.env", _environment, replace=True)
    for message in (
        "Found .* module.s. in eval mode",  # the frozen backbone: that is the point
        ".*treespec, LeafSpec.* is deprecated",  # between Lightning and torch
        ".*does not have many workers",  # chosen for the machine, see default_workers
        "Checkpoint directory .* exists and is not empty",  # a resumed run
        "The number of training batches .* is smaller than the logging interval",  # small data sets
    ):
        warnings.filterwarnings("ignore", message)


def _check_grammar(arguments: Sequence[str]) -> None:
    """Parse the overrides before Hydra does, to say how an unusual value is quoted."""
    for argument in arguments:
        if argument.startswith("-") or "=" not in argument:
            continue
        try:
            OverridesParser.create().parse_override(argument)
        except HydraException as error:
            key, value = argument.split("=", 1)
            quoted = value.replace("'", "\\'")
            raise ConfigError(
                got=f"the override {argument}",
                allowed="key=value, with quotes around a value that holds = or other marks of Hydra's grammar",
                hint=f"""quote the value, and the whole for the shell: "{key}='{quoted}'" """.rstrip(),
            ) from error


def _environment(name: str, *default: Any) -> str | None:
    """OmegaConf's own oc.env, without the secrets: a run writes its config down."""
    value: str | None = None if tells_of_a_secret(name) else oc.env(name, *default)
    if tells_of_a_secret(name) or any(one in str(value) for _, one in secrets_of(os.environ)):  # a proxy's password
        raise secret(f"${{oc.env:{name}}} in a config")
    return value


def _explain(error: Exception, config_name: str) -> ConfigError:
    if isinstance(error.__cause__, ConfigError):  # raised by a resolver
        return error.__cause__
    text = str(error) or str(error.__cause__) or type(error).__name__
    missing = re.search(r"Could not (?:override|append to config|delete from config)[^']*'([^']+)'", text)
    option = re.search(
        r"(?:Could not find|Could not load) '([^']+?)'?\n+Available options in '([^']+)':\s+(.*)", text, re.S
    )
    if isinstance(error, MissingMandatoryValue):
        return _not_set(text.split(":")[-1].strip().splitlines()[0])
    if isinstance(error, OverrideParseException):
        return ConfigError(f"the override {error.override}", "key=value, +key=value, ~key", "correct the override")
    if option:
        wanted, group, listed = option.groups()
        names = listed.split("Config search path")[0].split()
        chosen = wanted.rsplit("/", 1)[-1]
        return ConfigError(
            f"{group}={chosen}, which does not exist{did_you_mean(chosen, names)}", " ".join(names), f"set {group}"
        )
    if missing:
        key = missing[1].split("@")[0]
        known = list(_known_keys(config_name))
        if key in known:  # a dictionary, given names that it does not have
            return ConfigError(f"new names in {key}", "those that it has", f"add each by itself: +{key}.NAME=VALUE")
        return ConfigError(
            f"there is no {key} in the config{_suggest(key, known)}",
            "the keys that --cfg job prints",
            f"correct the key, or add a new one: +{key}=VALUE",
        )
    return ConfigError(text.strip().splitlines()[0], "what --cfg job prints", "correct the override")


def _known_keys(config_name: str) -> Iterator[str]:
    """Every key of the config without overrides, and every group."""
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        config = hydra.compose(config_name)
    yield from _keys(OmegaConf.to_container(config, resolve=False), "")


def _keys(node: Any, prefix: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")


def _suggest(key: str, known: Sequence[str]) -> str:
    """Near names; failing those, the places where a key of this name exists, for someone who forgot the section."""
    leaf = key.rsplit(".", 1)[-1]
    elsewhere = [name for name in known if name.rsplit(".", 1)[-1] == leaf]
    return did_you_mean(key, known) or (f" (did you mean {', '.join(elsewhere[:3])}?)" if elsewhere else "")
