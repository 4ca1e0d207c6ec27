"""What a server is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from dogbreed.data.images import MAX_PIXELS
from dogbreed.errors import ConfigError


@dataclass(frozen=True)
class ServerSettings:
    """How much a server takes on, and for how long.

    Attributes:
        batch_size: most pictures that the model sees at once. A CPU is quickest with few, which fit its caches:
            MobileNetV2 takes 15 ms of a core for a picture in batches of 2 to 4, and 29 in batches of 32. A GPU
            wants 32 or more.
        batch_wait_ms: how long the model waits for more pictures than those that have come; 0 for not at all.
        threads: how many pictures are decoded at once.
        models: how many batches are computed at once, each by its share of the cores; None for what suits the
            engine. One core each is quickest, for none waits for another; 1 computes as the Predictor alone does,
            to the bit, of which the number of torch's threads moves the last.
        max_body: bytes of a request's body. SageMaker lets 25 MB through to a real-time endpoint.
        max_pixels: of a picture; a larger one is refused before it is decoded.
        max_waiting: pictures that may wait; with more, new requests are refused.
        timeout_s: a picture that has waited longer is refused instead of computed.
        s3_prefixes: pictures are fetched from below these alone: s3://bucket/prefix/.
    """

    batch_size: int = 4
    batch_wait_ms: float = 0.0
    threads: int = field(default_factory=lambda: os.cpu_count() or 2)
    models: int | None = None
    max_body: int = 25 * 1024 * 1024
    max_pixels: int = MAX_PIXELS
    max_waiting: int = 256
    timeout_s: float = 30.0
    s3_prefixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_pixels > MAX_PIXELS:
            raise ConfigError(f"--max-pixels {self.max_pixels:,}", f"at most {MAX_PIXELS:,}", "no larger are decoded")
        for name, value in (("max-body-mb", self.max_body), ("timeout-s", self.timeout_s)):
            if value <= 0:
                raise ConfigError(f"--{name} {value:g}", "more than 0", f"set --{name}")
