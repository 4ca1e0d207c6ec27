"""Class names as people write them."""

from __future__ import annotations

import pytest

from dogbreed.serving.names import readable


@pytest.mark.parametrize(
    ("class_name", "breed"),
    [
        ("001.Affenpinscher", "Affenpinscher"),
        ("124.Poodle_(standard)", "Poodle (standard)"),
        ("n02085620-Chihuahua", "Chihuahua"),
        ("n02107574-Greater_Swiss_Mountain_dog", "Greater Swiss Mountain dog"),
        ("n02093859-Kerry_blue_terrier", "Kerry blue terrier"),
        ("12-Beagle", "Beagle"),
        ("beagle", "beagle"),
        ("Nova_Scotia", "Nova Scotia"),
    ],
)
def test_readable__leaves_the_breed(class_name: str, breed: str) -> None:
    assert readable(class_name) == breed


@pytest.mark.parametrize("class_name", ["7", "001.", "_", "n02085620-", "2024"])
def test_readable__is_never_empty(class_name: str) -> None:
    assert readable(class_name).strip()
