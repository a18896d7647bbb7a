"""Views of an image, for test-time augmentation: the same image mirrored and cropped a little.

A view is a part of what the image is known by: who decodes `Images` gets pixels of the view, and
caches tell views apart. Nothing is random but what `views` draws with its seed.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from softfold.errors import InputError

LEAST_SIDE = 0.8
"""The smallest crop, as a part of the side of the whole: 0.64 of its area."""


@dataclass(frozen=True)
class View:
    """One way to look at an image: a part of it, perhaps mirrored.

    Attributes:
        side: of the part, as a fraction of the side of the whole: 1 is all of it.
        x, y: where the part is, from 0 (left, top) over 0.5 (the middle) to 1 (right, bottom).
        flip: whether left and right are mirrored.
    """

    side: float = 1.0
    x: float = 0.5
    y: float = 0.5
    flip: bool = False

    @property
    def mark(self) -> bytes:
        """What tells this view from others; nothing where it is the image as it is."""
        return b"" if self == WHOLE else repr(astuple(self)).encode()

    def box(self, width: float, height: float, square: bool) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the part of an image: of its largest square, or of all."""
        wide, high = (min(width, height),) * 2 if square else (width, height)
        wide, high = wide * self.side, high * self.side
        left, top = self.x * (width - wide), self.y * (height - high)
        return left, top, min(left + wide, width), min(top + high, height)


WHOLE = View()
"""An image as it is looked at where nobody asks for views."""


def views(tta: int, *, flip: bool = True, seed: int = 0) -> list[View]:
    """Some views to average predictions over, the same for every image.

    The first is the image as it is. Where `flip` is true every second one is mirrored, the second
    being the whole image; the others are crops of at least `LEAST_SIDE`, somewhere in the image.

    Args:
        tta: how many.
        flip: whether some are mirrored; not for letters and digits.
        seed: of the crops.

    >>> [v.flip for v in views(4)], [v.side for v in views(4)][:2]
    ([False, True, False, True], [1.0, 1.0])
    """
    if tta < 1:
        raise InputError(f"tta {tta}: at least one view is needed")
    rng = np.random.default_rng(seed)
    whole = 2 if flip else 1
    out = []
    for i in range(tta):
        side, x, y = (1.0, 0.5, 0.5) if i < whole else rng.uniform((LEAST_SIDE, 0, 0), 1).tolist()
        out.append(View(side, x, y, flip and i % 2 == 1))
    return out


def in_words(tta: int, *, flip: bool = True) -> str:
    """Which views `views` gives, for people.

    >>> in_words(2), in_words(8, flip=False)
    ('2 views of each image: as it is and mirrored', '8 views of each image: as it is and 7 crops')
    >>> in_words(4)
    '4 views of each image: as it is, mirrored and 2 crops, some of them mirrored'
    """
    crops = max(0, tta - (2 if flip else 1))
    parts = ["as it is"] + ["mirrored"] * (flip and tta > 1)
    if crops:
        words = "1 crop" if crops == 1 else f"{crops} crops"
        parts.append(words + (", some of them mirrored" if flip and crops > 1 else ""))
    listed = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
    return f"{tta} views of each image: {listed}"
