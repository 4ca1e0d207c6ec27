"""Class names as people write them."""

from __future__ import annotations

import re

from dogbreed.errors import legible


def readable(class_name: str) -> str:
    """The breed that a class folder is named after.

    >>> readable("001.Affenpinscher")
    'Affenpinscher'
    >>> readable("124.Poodle_(standard)"), readable("n02085620-Chihuahua")
    ('Poodle (standard)', 'Chihuahua')
    """
    name = re.sub(r"^(n\d{8}-|\d+[._-])", "", class_name).replace("_", " ").strip()
    return legible(name or class_name)
