"""Results as objects of other packages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import fiftyone
    import PIL.Image
    import supervision

    from clothseg._result import Result


def to_pil(result: Result, colors: Sequence[tuple[int, int, int]]) -> PIL.Image.Image:
    import PIL.Image

    image = PIL.Image.fromarray(result.labels)
    image.putpalette([value for color in colors for value in color])
    return image


def to_coco(photo: str | None, image_id: int, first_id: int) -> list[dict[str, Any]]:
    annotations = json.loads(photo)["annotations"] if photo else []
    return [
        {"id": first_id + place, "image_id": image_id, **annotation} for place, annotation in enumerate(annotations)
    ]


def to_labelme(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document


def to_supervision(result: Result) -> supervision.Detections:
    import supervision

    corners = np.empty((len(result), 4), np.float32)
    for row, region in zip(corners, result, strict=True):
        x, y, width, height = region.bbox
        # A box there ends on its last pixel.
        row[:] = (x, y, x + width - 1, y + height - 1)
    return supervision.Detections(
        xyxy=corners,
        mask=result.masks(),
        confidence=np.array([region.score for region in result], np.float32),
        class_id=np.array([region.class_id for region in result], np.int64),
        data={"class_name": np.array([region.label for region in result], dtype=object).astype(str)},
    )


def to_fiftyone(result: Result) -> fiftyone.Detections:
    import fiftyone

    detections = []
    for region, mask in zip(result, result.masks(), strict=True):
        x, y, width, height = region.bbox
        detections.append(
            fiftyone.Detection(
                label=region.label,
                confidence=region.score,
                # Shares of the photo, and the part of the mask in the box.
                bounding_box=[x / result.width, y / result.height, width / result.width, height / result.height],
                mask=np.ascontiguousarray(mask[y : y + height, x : x + width]),
            )
        )
    return fiftyone.Detections(detections=detections)
