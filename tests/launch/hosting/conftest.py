"""What the tests of launch/hosting share: two artifacts, SageMaker's front door, and what is left behind it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dogbreed.models.backbones import make_backbone
from dogbreed.models.heads import LinearHead
from dogbreed.serving.artifact import save_artifact
from launch.aws.session import make_session
from launch.files.model_package import Package, build_package
from launch.hosting.planning import Plan, plan_deployment
from launch.hosting.reading import conf_values
from launch.hosting.resources import Hosting
from launch.hosting.settings import EndpointSettings
from launch.settings import make_settings
from launch.standin.door import opened
from tests.conftest import BACKBONE
from tests.launch.conftest import Aws
from tests.launch.hosting.door import Door

ROLE = "arn:aws:iam::123456789012:role/dogs"
NAMES = ("001.Affenpinscher", "002.Afghan_hound", "003.Airedale_terrier")
_NUMBERS = itertools.count()

MakePlan = Callable[..., Plan]


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two small artifacts, of which only the head differs; not to be changed."""
    folder = tmp_path_factory.mktemp("artifacts")
    made = []
    for seed in (0, 1):
        torch.manual_seed(0)
        backbone = make_backbone(**BACKBONE)  # type: ignore[arg-type]
        torch.manual_seed(seed)
        made.append(save_artifact(folder / str(seed), backbone, LinearHead(backbone.num_features, 3), NAMES))
    return made[0], made[1]


@pytest.fixture(scope="session")
def packages(artifacts: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Package, Package]:
    """Their archives."""
    folder = tmp_path_factory.mktemp("packages")
    first, second = (build_package(artifact, folder / f"{artifact.name}.tar.gz") for artifact in artifacts)
    return first, second


@pytest.fixture(scope="session")
def open_front(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with opened(Door(aws, tmp_path_factory.mktemp("standin"))) as server:
        yield server


@pytest.fixture
def door(open_front: Door, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """SageMaker's front door, which every client finds by the environment; nothing has been asked yet."""
    open_front.forget()
    monkeypatch.setenv("AWS_ENDPOINT_URL", open_front.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    yield open_front
    open_front.forget()


@pytest.fixture(scope="session")
def patient_hosting(open_front: Door, aws: Aws) -> Hosting:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", open_front.url)
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        return Hosting(make_session(aws.region))


@pytest.fixture
def hosting(patient_hosting: Hosting, door: Door) -> Hosting:
    """What a deployment talks to; it tries nothing twice."""
    return patient_hosting


@pytest.fixture(scope="session")
def behind(aws: Aws) -> dict[str, Any]:
    """Clients that ask behind the door, by the names of the services; to make one takes half a second."""
    services = ("sagemaker", "application-autoscaling")
    return {service: aws.session().client(service, endpoint_url=aws.endpoint) for service in services}


@pytest.fixture
def name(behind: dict[str, Any]) -> Iterator[str]:
    """Of an endpoint that no other test has; what is left of it is taken away."""
    name = f"spaniel-{next(_NUMBERS)}"
    yield name
    client = behind["sagemaker"]
    for call, key in (("model", "ModelName"), ("endpoint_config", "EndpointConfigName"), ("endpoint", "EndpointName")):
        pages = getattr(client, f"list_{call}s")(NameContains=name)
        for entry in pages[f"{key.removesuffix('Name')}s"]:
            getattr(client, f"delete_{call}")(**{key: entry[key]})


@pytest.fixture
def bucket(aws: Aws) -> str:
    """A new, empty bucket."""
    return aws.new_bucket()


@pytest.fixture
def make_plan(bucket: str, name: str, packages: tuple[Package, Package]) -> MakePlan:
    """Makes the plan of an endpoint: make_plan(kind, **settings)."""

    def make(kind: str = "realtime", **settings: Any) -> Plan:
        given = {"bucket": bucket, "role": ROLE, "image": "mine:1", "poll_s": 0.01, "owner": "rex"}
        wanted = make_settings(EndpointSettings, conf_values(kind) | given | settings, "sagemaker")
        return plan_deployment(name, packages[0].model, wanted)

    return make


@pytest.fixture
def left(behind: dict[str, Any], aws: Aws, name: str, bucket: str) -> Callable[[], list[str]]:
    """What is there at AWS of an endpoint of this name, asked behind the door."""
    sagemaker, scaling = behind["sagemaker"], behind["application-autoscaling"]

    def look() -> list[str]:
        found = [f"model {each['ModelName']}" for each in sagemaker.list_models()["Models"]]
        found += [
            f"config {each['EndpointConfigName']}" for each in sagemaker.list_endpoint_configs()["EndpointConfigs"]
        ]
        found += [f"endpoint {each['EndpointName']}" for each in sagemaker.list_endpoints()["Endpoints"]]
        targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        found += [f"target {each['ResourceId']}" for each in targets]
        found = [line for line in found if f"{name}-" in f"{line}-".replace("/", "-")]
        return found + [each["Key"] for each in aws.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]

    return look
