"""What is asked of an endpoint: fields and checks; the values live in conf/sagemaker/endpoint/. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dogbreed.errors import ConfigError
from launch.fields import one_of, positive, refuse, typed, whole, wrong

REALTIME, SERVERLESS, ASYNCHRONOUS = "realtime", "serverless", "asynchronous"
KINDS = (REALTIME, SERVERLESS, ASYNCHRONOUS)
_INSTANCES = ("instance_type", "instance_count", "min_count", "scaling_target", "startup_s")
#: The settings that a kind takes beside those of all: needed, and possible.
_NEEDED = {
    REALTIME: _INSTANCES,
    SERVERLESS: ("memory_mb", "max_concurrency"),
    ASYNCHRONOUS: (*_INSTANCES, "max_invocations"),
}
_POSSIBLE = {
    REALTIME: ("max_count", "capture_percent", "capture_to", "subnets", "security_groups"),
    # Developer guide of Amazon SageMaker, serverless inference, feature exclusions.
    SERVERLESS: (),
    ASYNCHRONOUS: ("max_count", "subnets", "security_groups", "answers", "failures"),
}
_OF_A_KIND = sorted({name for group in (_NEEDED, _POSSIBLE) for names in group.values() for name in names})
_LEAST = {"instance_count": 1, "min_count": 1, "max_count": 1, "startup_s": 60, "max_invocations": 1}
_LEAST |= {"max_concurrency": 1, "wait_s": 1, "capture_percent": 1}
_MOST = {"max_concurrency": 200, "startup_s": 3600, "capture_percent": 100, "max_invocations": 1000}
_LONGEST_H = 10 * 365 * 24
_MEMORY_MB = tuple(range(1024, 6145, 1024))


@dataclass(frozen=True)
class EndpointSettings:
    """How an endpoint is run; each field is described beside its value in conf/sagemaker/endpoint/realtime.yaml."""

    kind: str
    region: str | None
    role: str | None
    bucket: str | None
    prefix: str
    image: str | None
    pytorch_version: str
    environment: Mapping[str, str]
    instance_type: str | None
    instance_count: int | None
    min_count: int | None
    max_count: int | None
    scaling_target: float | None
    startup_s: int | None
    memory_mb: int | None
    max_concurrency: int | None
    answers: str | None
    failures: str | None
    max_invocations: int | None
    capture_percent: int | None
    capture_to: str | None
    kms_key: str | None
    subnets: Sequence[str]
    security_groups: Sequence[str]
    tags: Mapping[str, str]
    owner: str | None
    expires_in_h: float | None
    wait_s: int
    poll_s: float
    price_per_hour: float | None

    def __post_init__(self) -> None:
        refuse([one_of("kind", self.kind, KINDS)])
        refuse([*self._of_kind(), *self._numbers(), *typed(self)])
        refuse([*self._others()])

    def _of_kind(self) -> Iterator[ConfigError | None]:
        needed, possible = _NEEDED[self.kind], _POSSIBLE[self.kind]
        for name in _OF_A_KIND:
            value = getattr(self, name)
            given = value is not None and value != []
            if not given and name in needed:
                yield wrong(name, "null", f"a value: a {self.kind} endpoint needs it")
            elif given and name not in (*needed, *possible):
                yield wrong(name, value, f"null: a {self.kind} endpoint takes none")

    def _numbers(self) -> Iterator[ConfigError | None]:
        for name, least in _LEAST.items():
            value, most = getattr(self, name), _MOST.get(name)
            if value is not None:
                found = whole(name, value, least)
                yield found or (wrong(name, value, f"at most {most}") if most is not None and value > most else None)
        for name in ("scaling_target", "expires_in_h", "poll_s", "price_per_hour"):
            yield positive(name, getattr(self, name))
        if isinstance(self.expires_in_h, int | float) and self.expires_in_h > _LONGEST_H:
            yield wrong("expires_in_h", self.expires_in_h, f"at most {_LONGEST_H}, or null for never")
        if self.memory_mb is not None and self.memory_mb not in _MEMORY_MB:
            yield wrong("memory_mb", self.memory_mb, ", ".join(map(str, _MEMORY_MB)))

    def _others(self) -> Iterator[ConfigError | None]:
        for name in ("answers", "failures", "capture_to"):
            value = getattr(self, name)
            if value is not None and not re.fullmatch(r"s3://[^/]+(/.*)?", value):
                yield wrong(name, value, "s3://BUCKET/PREFIX")
        if bool(self.subnets) != bool(self.security_groups):
            yield wrong("subnets", list(self.subnets), "subnets and security_groups, both or neither")
        if not re.fullmatch(r"[A-Za-z0-9/._-]*", self.prefix):
            yield wrong("prefix", self.prefix, "letters, digits, / . _ and -")
        yield self._counts()

    def _counts(self) -> ConfigError | None:
        counts = [self.min_count, self.instance_count, self.max_count]
        numbers = [count for count in counts if isinstance(count, int)]
        if self.max_count is None or numbers == sorted(numbers):
            return None
        told = " <= ".join(map(str, counts))
        return wrong("max_count", self.max_count, f"min_count <= instance_count <= max_count, not {told}")
