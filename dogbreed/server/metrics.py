"""What Prometheus is told."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counts of one server, apart from those of any other in the process."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("dogbreed_requests", "Answered requests", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "dogbreed_request_seconds", "From headers to answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self.refused = Counter(
            "dogbreed_refused", "Turned away: requests, connections, pictures", ["why"], registry=registry
        )
        self.pictures = Counter("dogbreed_pictures", "Pictures by outcome", ["outcome"], registry=registry)
        self.batches = Histogram("dogbreed_batch_pictures", "Pictures a batch", buckets=_SIZES, registry=registry)
        self.waiting = Gauge("dogbreed_waiting_pictures", "Pictures not answered yet", registry=registry)
        self.held = Gauge("dogbreed_body_bytes", "Bytes of the bodies in memory", registry=registry)

    def text(self) -> bytes:
        """All of them, in Prometheus' own format."""
        return generate_latest(self._registry)
