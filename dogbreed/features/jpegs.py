"""JPEGs decoded by the GPU that computes their features, many in one call."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import partial

import simplejpeg
import torch
from torch import Tensor

from dogbreed.data.dataset import Unreadable
from dogbreed.data.images import decode_image
from dogbreed.errors import ConfigError, ImageError
from dogbreed.features.reading import Extracted, Pictures, Undecoded, stack

_AT_ONCE = 32  # of 12 megapixels, 1.2 GB


class JpegDecoder:
    """Decodes upright colour JPEGs on a device: on a GPU by nvJPEG, whose pixels differ a little from the CPU's.

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
            raise _refused(error, "pip install 'dogbreed[gpu]', or features.decoder=cpu") from error
        self._decode = partial(decode_jpeg, device=device)
        self.identity = {"decoder": device, "torchcodec": importlib.metadata.version("torchcodec")}
        try:
            self._decode([_grey_jpeg()])
        except RuntimeError as error:
            raise _refused(error, "features.decoder=cpu") from error

    def views(self, batch: Undecoded, pictures: Pictures) -> Extracted:
        """All views of a batch on the device, what waited decoded."""
        files, images = batch.files, list[Tensor | None]()
        for first in range(0, len(files), _AT_ONCE):
            images += self._decoded(files[first : first + _AT_ONCE])
        done, views, unreadable = batch.views.done.tolist(), [], list(batch.views.unreadable)
        for task, place in batch.waiting.tolist():
            try:
                if (image := images[place]) is None:
                    content = files[place].numpy().tobytes()
                    images[place] = image = decode_image(content, pictures.path(task)).to(self.device)
                views.append(pictures.view(task, image))
                done.append(task)
            except ImageError as error:
                unreadable.append(Unreadable(pictures.path(task), error.got))
        views = [*batch.views.features.to(self.device), *views]
        return Extracted(torch.tensor(done, dtype=torch.int64), stack(views), unreadable)

    def _decoded(self, files: Sequence[Tensor]) -> list[Tensor | None]:
        """The pictures, uint8 (3, H, W); None for those that the decoder refuses, in whose place the CPU decides."""
        try:
            return list(self._decode(list(files)))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            if len(files) == 1:
                return [None]
            return [image for file in files for image in self._decoded([file])]


def _grey_jpeg() -> Tensor:
    pixels = torch.full((16, 16, 3), 128, dtype=torch.uint8).numpy()
    return torch.frombuffer(bytearray(simplejpeg.encode_jpeg(pixels)), dtype=torch.uint8)


def _refused(error: Exception, hint: str) -> ConfigError:
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ConfigError(f"features.decoder=gpu: {reason}", "TorchCodec, made for this torch, and an NVIDIA GPU", hint)
