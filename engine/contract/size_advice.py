"""At which size images are best prepared for a backbone, said with its reason.

As many pixels as the originals have, up to the size that the backbone was made for: fewer lose
detail, more add none, and the time of a training grows with their number. Tiny pictures are the
exception: enlarged to half of the usual size they were measured to be classified no worse; below
that, nothing was measured, and a size that shows what they have stays. More
pixels than that are somebody's choice and stay; fewer are advised only for want of time, which
``engine.contract.recommendation`` judges.
"""

from __future__ import annotations

from typing import Final

from engine.contract.backbones import BackboneCard, nearest_sizes

SMALL_IMAGE_PX: Final = 64
"""Images of at most this side gain nothing from being enlarged to the usual size."""
SIZE_OF_SMALL_PX: Final = 112


def size_advice(card: BackboneCard, *, size_px: int, image_px: int) -> tuple[int, str]:
    """Return the side to prepare images at, and a sentence that says why.

    Args:
        card: Of the backbone that will see them.
        size_px: Side that they are prepared at now.
        image_px: Median shorter side of the originals; 0 where it isn't known.
    """
    is_small = 0 < image_px <= SMALL_IMAGE_PX
    least = min(image_px, card.input_px) // card.size_step_px * card.size_step_px
    if is_small and (size_px > SIZE_OF_SMALL_PX or size_px < least):
        return nearest_sizes(card, SIZE_OF_SMALL_PX)[-1], (
            f"The images have only {image_px} px: enlarged to {SIZE_OF_SMALL_PX} px they train "
            "several times as fast, and measured no worse."
        )
    if size_px < least:
        made_for = f"{card.title} was made for {card.input_px} px, and the"
        whose = made_for if image_px >= card.input_px else "The"
        return least, f"{whose} originals have {image_px} px: with fewer, detail is lost."
    sizes = nearest_sizes(card, size_px)
    if size_px not in sizes:
        return sizes[-1], (
            f"{card.title} cuts images into patches of {card.size_step_px} px, and {size_px} px "
            "don't divide into whole ones."
        )
    return size_px, _why_kept(card, size_px, image_px, is_small=is_small)


def _why_kept(card: BackboneCard, size_px: int, image_px: int, *, is_small: bool) -> str:
    if is_small and size_px < SIZE_OF_SMALL_PX:
        shown = "all of it" if size_px >= image_px else "nearly all of it"
        return (
            f"The images have only {image_px} px, and {size_px} px show {shown}. What enlarging "
            f"them to {SIZE_OF_SMALL_PX} px brings wasn't measured, and it takes longer."
        )
    if is_small:
        return (
            f"The images have only {image_px} px, and more than {SIZE_OF_SMALL_PX} px measured no "
            "better."
        )
    if size_px == card.input_px:
        return f"{card.title} was made for images of {card.input_px} px."
    if size_px > card.input_px:
        return (
            f"The images were prepared at more than the {card.input_px} px that {card.title} was "
            "made for, which takes longer and can show finer detail."
        )
    if image_px:
        return f"The originals have {image_px} px, and more would add nothing."
    return f"The images of this project were prepared at {size_px} px."
