"""The page at / in a real browser, on a real server: what it shows is what the Predictor says."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from dogbreed.data.images import decode_image
from dogbreed.models.backbones import Backbone, make_backbone
from dogbreed.models.heads import LinearHead
from dogbreed.serving.artifact import load_artifact, save_artifact
from dogbreed.serving.calibration import Calibration
from dogbreed.serving.predictor import Predictor
from tests.reports.conftest import CONTRASTS

pytestmark = pytest.mark.slow

CALIBRATION = Calibration(1.0, 0.1, 0.05, threshold=0.3, precision=0.9, coverage=0.8, pictures=16)

#: Drops files on the page, as [type, base64] each, one after the other.
DROP = """files => {
  for (const [type, content] of files) {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], "dropped", { type }));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}"""
PASTE = """content => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
  data.items.add(new File([bytes], "pasted.jpg", { type: "image/jpeg" }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
}"""
OUTLINE = "() => getComputedStyle(document.activeElement).outlineStyle"
TOO_WIDE = "() => document.documentElement.scrollWidth - innerWidth"


class Site(NamedTuple):
    """A server and the same predictor here."""

    url: str
    predictor: Predictor
    pictures: list[Path]


@contextmanager
def serving(artifact: Path, pictures: list[Path]) -> Iterator[Site]:
    command = [sys.executable, "-m", "dogbreed.serve", "--artifact", str(artifact), "--port", "0", "--max-body-mb", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = re.search(r"http://\S+/", server.stdout.readline())
        assert url, "it did not start"
        try:
            yield Site(url[0], Predictor.load(artifact), pictures)
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def site(trained_run: Path, shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Four drawn breeds with everything that an artifact may have."""
    trained = load_artifact(trained_run / "artifact")
    breeds = sorted((shared_folder / "test").iterdir())
    artifact = save_artifact(
        tmp_path_factory.mktemp("site") / "artifact",
        trained.backbone,
        trained.head,
        trained.class_names,
        calibration=CALIBRATION,
        look_alikes=tuple((((label + 1) % 4, 0.25),) for label in range(4)),
        thumbnails={label: sorted(breed.iterdir())[1].read_bytes() for label, breed in enumerate(breeds)},
    )
    with serving(artifact, [sorted(breed.iterdir())[0] for breed in breeds]) as site:
        yield site


Opened = Callable[..., Any]


@pytest.fixture
def opened(chromium: Any, site: Site) -> Iterator[Opened]:
    """Opens the page; afterwards nothing was asked of anyone else, and nothing went wrong in it."""
    contexts: list[Any] = []
    requests: list[tuple[str, str]] = []
    messages: list[str] = []

    def opening(url: str = site.url, width: int = 1280, scheme: str = "light", **settings: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("filechooser", lambda chooser: None)  # set up before one opens, which might be missed otherwise
        page.on("request", lambda request: requests.append((url, request.url)))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#breeds:visible")
        return page

    yield opening
    for context in contexts:
        context.close()
    assert [asked for url, asked in requests if not asked.startswith((url, "blob:", "data:"))] == []
    assert not [text for text in messages if not text.startswith("Failed to load resource")]  # a refusal is logged so


def as_text(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def drop(page: Any, *pictures: Path) -> None:
    page.evaluate(DROP, [["image/jpeg", as_text(picture)] for picture in pictures])


def percentage(shown: str) -> float:
    """A share as the page words it, in %: < 0.1 % and > 99 % are near enough to 0 and 100."""
    value = float(re.sub(r"[^\d.]", "", shown))
    return {"<": 0.0, ">": 100.0}.get(shown[0], value)


def test_page__shows_what_the_predictor_answers_to_a_dropped_picture(opened: Opened, site: Site) -> None:
    page = opened()
    for picture in site.pictures:
        expected = site.predictor(picture)

        drop(page, picture)

        page.get_by_role("heading", name=expected.breed, exact=True).wait_for()
        lines = [line.split("\n") for line in page.locator("#bars .line").all_inner_texts()]
        assert [breed for breed, _ in lines] == [candidate.breed for candidate in expected.top_k]
        for (_, shown), candidate in zip(lines, expected.top_k, strict=True):
            assert percentage(shown) == pytest.approx(100 * candidate.probability, abs=0.51)
        assert page.inner_text("#sure").startswith("Unsure." if expected.unsure else "Sure.")
        assert page.inner_text("#cards li") == f"{expected.look_alikes[0].breed}\n25\u00a0%"


def test_page__shows_a_thumbnail_of_each_look_alike(opened: Opened, site: Site) -> None:
    page = opened()

    drop(page, site.pictures[0])

    other = site.predictor(site.pictures[0]).look_alikes[0]
    page.get_by_role("img", name=f"A {other.breed}").wait_for()
    page.wait_for_function("() => document.querySelector('#cards img').naturalWidth === 40")


def test_page__answers_to_the_last_picture(opened: Opened, site: Site) -> None:
    page, last = opened(), site.pictures[3]

    drop(page, *site.pictures[:3], last)

    page.get_by_role("heading", name=site.predictor(last).breed, exact=True).wait_for()
    page.wait_for_load_state("networkidle")
    assert page.inner_text("#breed") == site.predictor(last).breed


def test_page__takes_a_pasted_picture(opened: Opened, site: Site) -> None:
    page = opened()

    page.evaluate(PASTE, as_text(site.pictures[1]))

    page.get_by_role("heading", name=site.predictor(site.pictures[1]).breed, exact=True).wait_for()


def test_page__by_keyboard_alone(opened: Opened, site: Site) -> None:
    page = opened()

    page.keyboard.press("Tab")
    assert page.evaluate(OUTLINE) == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(site.pictures[2])
    page.wait_for_selector("#named:visible")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(OUTLINE) == "solid"
    page.keyboard.press("Space")
    page.wait_for_selector("#heat:visible")

    assert page.get_by_role("button", name="What the model looked at", pressed=True).is_visible()
    page.keyboard.press("Space")
    page.wait_for_selector("#photo:visible")
    assert not page.is_visible("#heat")


def test_page__says_everything_to_a_screen_reader(opened: Opened, site: Site) -> None:
    page, expected = opened(), site.predictor(site.pictures[0])
    assert page.get_by_role("heading", level=1).is_visible()

    drop(page, site.pictures[0])
    page.wait_for_selector("#named:visible")

    breed, share, _ = re.split(r", |%\. ", page.get_by_role("status").inner_text(), maxsplit=2)
    assert breed == expected.breed
    assert percentage(share) == pytest.approx(100 * expected.probability, abs=0.51)
    assert page.get_by_role("list").first.get_by_role("listitem").count() == len(expected.top_k)
    page.click("#look")
    page.wait_for_selector("#heat:visible")
    assert all(image.get_attribute("alt") for image in page.locator("img:visible").all())


def test_page__heat_is_of_the_size_that_the_model_reads(opened: Opened, site: Site) -> None:
    page = opened()
    drop(page, site.pictures[0])
    page.click("#look")
    page.wait_for_selector("#heat:visible")

    side = site.predictor.artifact.backbone.transform.size
    assert page.evaluate("() => [heat.naturalWidth, heat.naturalHeight]") == [side, side]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page__on_a_phone(opened: Opened, site: Site, scheme: str) -> None:
    page = opened(width=390, scheme=scheme, has_touch=True, is_mobile=True, reduced_motion="reduce")
    assert page.get_by_role("button", name="Take a photo").is_visible()

    def check() -> None:
        assert page.evaluate(TOO_WIDE) <= 0
        assert page.evaluate(CONTRASTS)[0][0] >= 4.5
        assert all(button.bounding_box()["height"] >= 44 for button in page.locator("button:visible").all())

    check()
    page.click("summary")
    drop(page, site.pictures[0])
    page.wait_for_selector("#named:visible")
    page.tap("#look")
    page.wait_for_selector("#heat:visible")
    check()
    assert page.evaluate("() => getComputedStyle(document.querySelector('.fill')).transitionDuration") == "0s"
    page.evaluate(DROP, [["image/jpeg", "bm90aGluZw=="]])
    page.wait_for_selector("#wrong:visible")
    check()


def test_page__shows_the_servers_own_words_for_what_is_no_picture(opened: Opened, site: Site) -> None:
    page = opened()

    with page.expect_response("**/invocations") as answered:
        page.evaluate(DROP, [["text/plain", "bm90aGluZw=="]])

    reason = answered.value.json()
    page.wait_for_selector("#wrong:visible")
    assert page.text_content("#problem") == reason["error"]
    assert page.text_content("#allowed") == reason["allowed"]
    assert page.text_content("#hint") == reason["hint"]
    assert not page.is_visible("#named")
    drop(page, site.pictures[0])
    page.wait_for_selector("#named:visible")
    assert not page.is_visible("#wrong")


def test_page__says_the_limit_to_a_picture_that_is_too_large(opened: Opened) -> None:
    page = opened()

    page.set_input_files("#file", {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": bytes(1_200_000)})

    page.wait_for_selector("#wrong:visible")
    assert page.inner_text("#problem") == "The picture has 1.2 MB"
    assert page.inner_text("#allowed") == "At most 1.0 MB"


def test_page__says_so_where_no_file_is_dropped(opened: Opened) -> None:
    page = opened()

    page.evaluate("""() => document.body.dispatchEvent(
        new DragEvent("drop", { dataTransfer: new DataTransfer(), bubbles: true, cancelable: true }))""")

    page.wait_for_selector("#wrong:visible")
    assert page.inner_text("#problem") == "What was dropped is no file"


def test_page__asks_again_once_the_server_is_back(opened: Opened, site: Site) -> None:
    page = opened()
    page.context.set_offline(True)
    drop(page, site.pictures[0])
    page.wait_for_selector("#wrong:visible")
    assert page.inner_text("#problem") == "The server did not answer"

    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()

    page.get_by_role("heading", name=site.predictor(site.pictures[0]).breed, exact=True).wait_for()


def test_page__names_real_photographs(opened: Opened, real_data: Path, tmp_path: Path) -> None:
    weights = real_data / "weights" / "mobilenet_v2.torchvision.safetensors"
    if not weights.is_file():
        pytest.skip(f"there is no {weights}")
    backbone = make_backbone("torchvision", "mobilenet_v2", weights=str(weights))
    breeds = sorted((real_data / "originals").iterdir())
    head = nearest_mean(backbone, [sorted(breed.iterdir())[:6] for breed in breeds])
    artifact = save_artifact(tmp_path / "artifact", backbone, head, [breed.name for breed in breeds])

    with serving(artifact, [sorted(breed.iterdir())[7] for breed in breeds]) as real:
        page = opened(real.url, width=390)
        for breed, picture in zip(breeds, real.pictures, strict=True):
            drop(page, picture)
            page.get_by_role("heading", name=real.predictor(picture).breed, exact=True).wait_for()
            assert real.predictor(picture).class_name == breed.name
            page.click("#look")
            page.wait_for_selector("#heat:visible")


def nearest_mean(backbone: Backbone, photos: list[list[Path]]) -> LinearHead:
    """A head that answers with the class whose mean features are nearest."""
    views = torch.stack([backbone.transform.clean_view(decode_image(path)) for paths in photos for path in paths])
    means = torch.stack([features.mean(dim=0) for features in backbone(views).chunk(len(photos))])
    head = LinearHead(backbone.num_features, len(photos)).eval()
    head.load_state_dict({"linear.weight": means, "linear.bias": means.square().sum(dim=1) / -2})
    return head
