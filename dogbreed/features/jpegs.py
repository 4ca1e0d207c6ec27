"""JPEGs decoded by the GPU that computes their features, many in one call."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import simplejpeg
import torch
from torch import Tensor

from dogbreed.data.dataset import Unreadable
from dogbreed.data.images import decode_image
from dogbreed.errors import ConfigError, ImageError
from dogbreed.features.reading import Extracted, Pictures, Undecoded, stack

_AT_ONCE = 32


class JpegDecoder:
    """Decodes plain JPEGs on a device: on a GPU by nvJPEG, whose pixels are not quite those of `decode_image`.

    Args:
        device: "cuda", or "cpu", where the pixels are those of `decode_image`.

    Raises:
        ConfigError: TorchCodec is not installed, or cannot decode on this device.
    """

    def __init__(self, device: str = "cuda") -> None:
        self.device = device
        try:
            from torchcodec.decoders import decode_jpeg  # type: ignore[attr-defined]
        except (ImportError, RuntimeError, OSError) as error:  # a TorchCodec for another torch raises the latter two
            raise _refused(_reason(error), "pip install 'dogbreed[gpu]', or features.decoder=cpu") from error
        self._decode = partial(decode_jpeg, device=device)
        try:
            self._decode([_grey_jpeg()])
        except RuntimeError as error:
            raise _refused(_reason(error)) from error
        # Some GPUs have a part of their own for JPEGs, others compute them.
        chip = torch.cuda.get_device_name() if device == "cuda" else device
        self.identity = {"decoder": chip, "torchcodec": importlib.metadata.version("torchcodec")}

    def views(self, batches: Iterable[Undecoded], pictures: Pictures) -> Iterator[Extracted]:
        """The views of each batch on the device; of the next one already while this one is used.

        By another thread, and on a GPU in a stream of its own: TorchCodec waits for its stream before and after.

        Raises:
            ConfigError: the decoder refuses a file that the CPU decodes.
        """
        waiting = iter(batches)  # here: a loader's processes want to be started by the main thread
        stream = torch.cuda.Stream() if self.device == "cuda" else None

        def following() -> Extracted | None:
            batch = next(waiting, None)
            if batch is None:
                return None
            with torch.cuda.stream(stream):  # does nothing for None
                found = self._views(batch, pictures)
            if stream is not None:
                stream.synchronize()
            return found

        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(following)
            while (found := result.result()) is not None:
                result = pool.submit(following)
                if stream is not None and len(
                    found.done
                ):  # its memory may be used again only when this thread's stream is done with it
                    found.features.record_stream(torch.cuda.current_stream())
                yield found

    def _views(self, batch: Undecoded, pictures: Pictures) -> Extracted:
        done, unreadable = batch.views.done.tolist(), list(batch.views.unreadable)
        views = list(batch.views.features.to(self.device))
        files, waiting = batch.files, batch.waiting.tolist()
        for first in range(0, len(files), _AT_ONCE):
            places = range(first, min(first + _AT_ONCE, len(files)))
            some = [(task, place - first) for task, place in waiting if place in places]
            self._view(files[first : places.stop], some, pictures, done, views, unreadable)
        stacked = stack(views)
        return Extracted(torch.tensor(done, dtype=torch.int64), stacked, unreadable, pictures.pixels(done, stacked))

    def _view(
        self,
        files: Sequence[Tensor],
        waiting: Sequence[tuple[int, int]],
        pictures: Pictures,
        done: list[int],
        views: list[Tensor],
        unreadable: list[Unreadable],
    ) -> None:
        """Add what comes of these files, whose pictures then go."""
        images = self._images(files)
        for task, place in waiting:
            image = images[place]
            if isinstance(image, Tensor):
                views.append(pictures.view(task, image))
                done.append(task)
            else:
                unreadable.append(_why_not(pictures.path(task), files[place], image))

    def _images(self, files: Sequence[Tensor]) -> list[Tensor | str]:
        """The pictures, uint8 (3, H, W) on the device, or why one is refused."""
        try:
            return list(self._decode(list(files)))
        except RuntimeError as error:
            fault = isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError)
            if fault or "out of memory" in str(error).lower():  # no file's fault
                raise _refused(_reason(error), "a smaller features.batch_size, or features.decoder=cpu") from error
            if len(files) == 1:
                return [_reason(error)]
            return [image for file in files for image in self._images([file])]


def _why_not(path: str, file: Tensor, reason: str) -> Unreadable:
    """What the CPU says of a file that the decoder refuses."""
    try:
        decode_image(file.numpy().tobytes(), path)
    except ImageError as error:
        return Unreadable(path, error.got)
    raise _refused(f"{path}, which the CPU decodes: {reason}")  # decoded there it would differ from its neighbours


def _grey_jpeg() -> Tensor:
    pixels = torch.full((16, 16, 3), 128, dtype=torch.uint8).numpy()
    return torch.frombuffer(bytearray(simplejpeg.encode_jpeg(pixels)), dtype=torch.uint8)


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return re.sub(r"^.*\.(cpp|h):\d+, ", "", first) or type(error).__name__  # without the place in TorchCodec's source


def _refused(reason: str, hint: str = "features.decoder=cpu") -> ConfigError:
    return ConfigError(f"features.decoder=gpu: {reason}", "TorchCodec, made for this torch, and an NVIDIA GPU", hint)
