"""The container's directory tree, laid out for a job: what SageMaker would have written below /opt/ml.

Source: "How Amazon SageMaker provides training information" in its developer guide. Unlike there, a channel is no copy
but a link to the folder itself: what a job writes into it, it writes into the data.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dogbreed.files import write_json, writing
from launch.errors import LaunchError

_CONTAINER = re.compile(r"/opt/ml(?![\w.-])")
_FOLDERS = ("input/config", "input/data", "model", "output/data", "checkpoints", "code")
#: Sections of the request that the container finds as files, and where their data lies unless they say it.
_SECTIONS = {
    "DebugHookConfig": ("debughookconfig", "/opt/ml/output/tensors"),
    "ProfilerConfig": ("profilerconfig", None),
    "CheckpointConfig": ("checkpointconfig", "/opt/ml/checkpoints"),
    "TensorBoardOutputConfig": ("tensorboardoutputconfig", "/opt/ml/output/tensorboard"),
}
_INTERFACE = "lo"  # the hosts are all on this machine
_GROUP = "homogeneousCluster"

_Content = TypeVar("_Content")


def host_names(count: int) -> list[str]:
    """The hosts of a job: algo-1 as at AWS; of several, which look each other up, addresses of this machine.

    >>> host_names(1), host_names(2)
    (['algo-1'], ['127.0.0.1', '127.0.0.2'])
    """
    return ["algo-1"] if count == 1 else [f"127.0.0.{number}" for number in range(1, count + 1)]


def rebased(content: _Content, base: Path) -> _Content:
    """The same content with `base` in the place of /opt/ml, in texts at any depth.

    >>> rebased({"LocalPath": "/opt/ml/checkpoints", "Other": ["/opt/mlx"]}, Path("/base"))
    {'LocalPath': '/base/checkpoints', 'Other': ['/opt/mlx']}
    """
    if isinstance(content, str):
        return _CONTAINER.sub(lambda _: str(base), content)  # type: ignore[return-value]
    if isinstance(content, dict):
        return {key: rebased(entry, base) for key, entry in content.items()}  # type: ignore[return-value]
    if isinstance(content, list):
        return [rebased(entry, base) for entry in content]  # type: ignore[return-value]
    return content


def lay_out(
    base: Path, request: Mapping[str, Any], hosts: Sequence[str], host: str, place_of: Callable[[str], Path]
) -> None:
    """Make the tree of `host` at `base`, in the place of an earlier one.

    Args:
        base: what is /opt/ml in the container.
        request: a CreateTrainingJob request.
        hosts: of the job.
        host: one of them.
        place_of: the place of what a URI names.

    Raises:
        LaunchError: a channel's URI names nothing.
        OutputError: the tree cannot be written.
    """
    with writing(base):
        if base.exists():
            shutil.rmtree(base)
        for name in _FOLDERS:
            (base / name).mkdir(parents=True)
    for name, content in _files(request, hosts, host).items():
        write_json(base / f"input/config/{name}.json", rebased(content, base))
    for channel in request.get("InputDataConfig", []):
        _link(base / "input/data" / channel["ChannelName"], channel, place_of)


def local_path(request: Mapping[str, Any], section: str, base: Path) -> Path:
    """Where a job has the data of `section`, such as "CheckpointConfig"."""
    return Path(rebased(str(request[section].get("LocalPath") or _SECTIONS[section][1]), base))


def _files(request: Mapping[str, Any], hosts: Sequence[str], host: str) -> dict[str, Any]:
    """Name -> content of input/config/NAME.json."""
    instance = request["ResourceConfig"].get("InstanceType", "")
    group = {"instance_group_name": _GROUP, "instance_type": instance, "hosts": list(hosts)}
    mode = request["AlgorithmSpecification"]["TrainingInputMode"]
    files: dict[str, Any] = {
        "hyperparameters": request.get("HyperParameters", {}),
        "resourceconfig": {
            "current_host": host,
            "current_instance_type": instance,
            "current_group_name": _GROUP,
            "hosts": list(hosts),
            "instance_groups": [group],
            "network_interface_name": _INTERFACE,
        },
        "inputdataconfig": {
            channel["ChannelName"]: {
                "TrainingInputMode": channel.get("InputMode", mode),
                "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                    "S3DataDistributionType", "FullyReplicated"
                ),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
            for channel in request.get("InputDataConfig", [])
        },
    }
    for section, (name, place) in _SECTIONS.items():
        if section in request:
            files[name] = ({"LocalPath": place} if place else {}) | dict(request[section])
    return files


def _link(target: Path, channel: Mapping[str, Any], place_of: Callable[[str], Path]) -> None:
    uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
    place = place_of(uri)
    with writing(target):
        if place.is_dir():
            target.symlink_to(place, target_is_directory=True)
        elif place.is_file():  # a prefix that is a whole key: the channel holds this one file
            target.mkdir()
            (target / place.name).symlink_to(place)
        else:
            raise LaunchError(
                f"the channel {channel['ChannelName']} has no files: {uri}",
                "a prefix with files",
                "python -m launch.upload",
            )
