"""Endpoints made step by step; whatever goes wrong at whichever step, nothing is left behind."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from dogbreed.errors import ConfigError, DogbreedError
from dogbreed.serving.predictor import Predictor
from launch.errors import LaunchError
from launch.files.model_package import Package
from launch.hosting.resources import Hosting
from launch.hosting.steps import Endpoint, make_endpoint, refuse_taken
from launch.hosting.undoing import Interrupted, Undo, undoing
from tests.launch.hosting.conftest import MakePlan
from tests.launch.hosting.door import Door, broken, lost, saying

Left = Callable[[], list[str]]
Packages = tuple[Package, Package]


def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def make(hosting: Hosting, plan: object, package: Package, lines: list[str] | None = None) -> Endpoint:
    said = [] if lines is None else lines
    with undoing(said.append) as undo:
        made = make_endpoint(hosting, plan, package, picture(), undo, said.append)  # type: ignore[arg-type]
        undo.keep()
    return made


@pytest.mark.parametrize("kind", ["realtime", "serverless", "asynchronous"])
def test_make__endpoint_of_each_kind_answers_as_the_artifact_does(
    kind: str, hosting: Hosting, make_plan: MakePlan, packages: Packages, artifacts: tuple, name: str
) -> None:
    lines: list[str] = []
    made = make(hosting, make_plan(kind), packages[0], lines)
    assert made.ask(picture(), top_k=2) == Predictor.load(artifacts[0])(picture(), top_k=2)
    assert [line for line in lines if line.startswith(f"{name}: ")] == [f"{name}: Creating", f"{name}: InService"]
    assert any(packages[0].model in line for line in lines)


def test_make__name_that_is_taken(
    hosting: Hosting, make_plan: MakePlan, packages: Packages, name: str, left: Left
) -> None:
    make(hosting, make_plan(), packages[0])
    before = left()
    with pytest.raises(ConfigError, match=r"launch\.update"):
        refuse_taken(hosting, name)
    with pytest.raises(LaunchError, match="already existing"):  # taken between the look and the making
        make(hosting, make_plan(), packages[0])
    assert left() == before


NO = saying("ResourceLimitExceeded", "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances")
STEPS = ["PutObject", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"]
STEPS += ["RegisterScalableTarget", "PutScalingPolicy", "InvokeEndpoint"]


FAULTS = {"broken": broken, "lost": lost, "quota": NO}
#: The quick ones: an answer that is lost, of which there is more than AWS says; and the last step.
QUICK = [("CreateEndpoint", "lost"), ("InvokeEndpoint", "broken")]
CASES = [
    pytest.param(step, fault, marks=() if (step, fault) in QUICK else pytest.mark.slow)
    for step in STEPS
    for fault in FAULTS
]


@pytest.mark.parametrize(("step", "fault"), CASES)
def test_make__fault_at_a_step_leaves_nothing(
    step: str, fault: str, hosting: Hosting, make_plan: MakePlan, packages: Packages, door: Door, left: Left
) -> None:
    door.spoil[step] = [FAULTS[fault]]
    lines: list[str] = []
    with pytest.raises(DogbreedError):
        make(hosting, make_plan(max_count=3), packages[0], lines)
    assert door.spoil[step] == []  # it has happened
    assert left() == []
    assert not any("still be there" in line for line in lines)


def test_make__asynchronous_question_that_fails_leaves_nothing(
    hosting: Hosting, make_plan: MakePlan, packages: Packages, door: Door, left: Left
) -> None:
    door.spoil["InvokeEndpointAsync"] = [broken]
    with pytest.raises(LaunchError):
        make(hosting, make_plan("asynchronous"), packages[0])
    assert left() == []


def test_make__container_that_does_not_start(
    hosting: Hosting, make_plan: MakePlan, packages: Packages, door: Door, left: Left
) -> None:
    door.endpoints.fate = "The primary container for production variant all did not pass the ping health check."
    with pytest.raises(LaunchError, match=r"did not pass the ping health check.*\n.*\n.*aws logs tail"):
        make(hosting, make_plan(), packages[0])
    assert left() == []


@pytest.mark.slow
def test_make__endpoint_that_takes_too_long(
    hosting: Hosting, make_plan: MakePlan, packages: Packages, door: Door, left: Left
) -> None:
    door.endpoints.looks = 100  # AWS deletes none that it is still making: it is waited for
    lines: list[str] = []
    with pytest.raises(LaunchError, match=r"sagemaker\.wait_s"):
        make(hosting, make_plan(wait_s=1, poll_s=0.02), packages[0], lines)
    assert left() == []


def test_make__another_artifact_answers(hosting: Hosting, make_plan: MakePlan, packages: Packages, left: Left) -> None:
    with pytest.raises(LaunchError, match=packages[1].model):
        make(hosting, make_plan(), packages[1])
    assert left() == []


def test_make__outage_while_it_is_waited_for_heals(
    hosting: Hosting, make_plan: MakePlan, packages: Packages, door: Door
) -> None:
    door.spoil["DescribeEndpoint"] = [broken, lost]
    lines: list[str] = []
    make(hosting, make_plan(), packages[0], lines)
    assert any("there is an answer again" in line for line in lines)


def test_undo__what_cannot_be_removed_is_listed_with_its_command(
    hosting: Hosting, make_plan: MakePlan, packages: Packages, door: Door, left: Left, name: str
) -> None:
    door.spoil = {"InvokeEndpoint": [broken], "DeleteModel": [saying("AccessDeniedException", "no")]}
    lines: list[str] = []
    with pytest.raises(LaunchError):
        make(hosting, make_plan(), packages[0], lines)
    (model,) = left()
    told = "\n".join(lines[lines.index("this may still be there, and cost:") :])
    assert model.startswith(f"model {name}-")
    assert f"aws sagemaker delete-model --model-name {model.removeprefix('model ')}" in told


def test_undo__goes_on_where_nobody_reads() -> None:
    def say(text: str) -> None:
        raise BrokenPipeError  # python -m launch.deploy | tee log, and Ctrl-C

    gone: list[str] = []
    undo = Undo(say, "taking back")
    undo.add("a part", lambda: gone.append("a part"), "rm a part")
    assert undo.run() == []
    assert gone == ["a part"]


def test_undo__after_a_terminal_is_closed() -> None:
    lines: list[str] = []

    def work() -> None:
        with undoing(lines.append, word="removing") as undo:
            undo.add("a part", lambda: None, "rm a part")
            signal.raise_signal(signal.SIGHUP)

    with pytest.raises(Interrupted):
        work()
    assert lines == ["removing a part"]


@pytest.mark.slow  # it asks AWS's SDK for the image
def test_plan__container_of_aws_takes_what_ours_takes(make_plan: MakePlan) -> None:
    container = make_plan(image=None).requests.model["PrimaryContainer"]
    assert container["Environment"]["TS_MAX_REQUEST_SIZE"] == str(25 * 2**20)


def test_plan__without_a_user_name_asks_for_an_owner(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nobody)
    with pytest.raises(ConfigError, match=r"sagemaker\.owner"):
        make_plan(owner=None)


def test_plan__says_that_a_gpu_is_not_used(make_plan: MakePlan) -> None:
    assert "DOGBREED_DEVICE=cuda" in "".join(make_plan(instance_type="ml.g4dn.xlarge").notes)
    told = make_plan(instance_type="ml.g4dn.xlarge", environment={"DOGBREED_DEVICE": "cuda"})
    assert told.notes == make_plan().notes == ()


@pytest.mark.parametrize(
    ("step", "code", "message", "told"),
    [
        ("CreateModel", "ValidationException", "Could not assume role arn:aws:iam::1:role/x.", "sagemaker.role"),
        ("CreateEndpoint", "ThrottlingException", "Rate exceeded", "wait a minute"),
        pytest.param(
            "CreateEndpoint",
            "ResourceLimitExceeded",
            "The limit 'ml.m5.large for endpoint usage' is 0",
            "Service Quotas",
            marks=pytest.mark.slow,
        ),
        ("PutObject", "AccessDenied", "Access Denied", "s3:PutObject"),
    ],
)
def test_make__refusal_of_aws_ends_in_one_clear_line(
    step: str, code: str, message: str, told: str, hosting: Hosting, make_plan: MakePlan, packages: Packages, door: Door
) -> None:
    def deny(handler: object, answer: object) -> tuple[int, dict[str, str], bytes]:
        return (
            403,
            {"Content-Type": "application/xml"},
            f"<Error><Code>{code}</Code><Message>x</Message></Error>".encode(),
        )

    door.spoil[step] = [deny if step == "PutObject" else saying(code, message)]
    with pytest.raises(LaunchError) as caught:
        make(hosting, make_plan(max_count=2), packages[0])
    assert len(str(caught.value).splitlines()) == 3
    assert code in caught.value.got
    assert told in str(caught.value)
