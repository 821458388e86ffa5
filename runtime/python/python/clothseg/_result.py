"""What was found in a photo."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, final, overload

import numpy as np
from numpy.typing import NDArray

from clothseg import _clothseg, _convert
from clothseg._images import Source, decode

if TYPE_CHECKING:
    import fiftyone
    import PIL.Image
    import supervision

Alpha = Literal["smooth", "soft", "hard"]
Format = Literal[
    "masks", "soft", "cutout", "crop", "labels", "parse", "overlay", "svg", "labelme", "yolo", "json"
]


class Region(NamedTuple):
    """One class in a photo."""

    class_id: int
    """Its value in `Result.labels`."""
    label: str
    """Its name."""
    score: float
    """Mean probability of the class where it wins, 0 to 1."""
    area: int
    """Pixels."""
    share: float
    """Share of the photo, 0 to 1."""
    bbox: tuple[int, int, int, int]
    """x, y, width and height of the smallest box around it, in pixels."""


class Polygon(NamedTuple):
    """An outline with its holes, in photo pixels. Each ring is (n, 2): x, y; it is closed from the last point to the first."""

    exterior: NDArray[np.float32]
    holes: tuple[NDArray[np.float32], ...]


@final
class Result(Sequence[Region]):
    """What was found in a photo: a sequence of the classes that are there, without the background.

    Cut-outs, overlays and files with the photo's pixels read the photo again, from the path, bytes or array that were given.
    """

    __slots__ = ("_found", "_names", "_network", "_regions", "_source")

    def __init__(
        self, network: _clothseg.Network, found: _clothseg.Found, source: Source, names: Mapping[int, str]
    ) -> None:
        self._network, self._found, self._source, self._names = network, found, source, names
        self._regions = tuple(Region(*row) for row in found.regions)

    @overload
    def __getitem__(self, index: int) -> Region: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Region, ...]: ...
    def __getitem__(self, index: int | slice) -> Region | tuple[Region, ...]:
        return self._regions[index]

    def __len__(self) -> int:
        return len(self._regions)

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions)

    def __repr__(self) -> str:
        found = ", ".join(f"{one.label} {100 * one.share:.1f} %" for one in self) or "nothing"
        return f"<Result of {self.width} x {self.height} pixels: {found}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Result does not pickle: send what is needed of it, such as result.labels or list(result)")

    @property
    def path(self) -> Path | None:
        """The photo's path, where it was given as one."""
        return self._source if isinstance(self._source, Path) else None

    @property
    def width(self) -> int:
        """Width of the photo in pixels, upright."""
        return self._found.width

    @property
    def height(self) -> int:
        """Height of the photo in pixels, upright."""
        return self._found.height

    @property
    def names(self) -> Mapping[int, str]:
        """The names of all classes of the model by their index."""
        return self._names

    @property
    def timings(self) -> Mapping[str, float]:
        """Milliseconds of `decode`, `preprocess`, `inference` and `postprocess`."""
        stages = ("decode", "preprocess", "inference", "postprocess")
        return MappingProxyType(dict(zip(stages, self._found.timings_ms, strict=True)))

    @property
    def labels(self) -> NDArray[np.uint8]:
        """The class of every pixel: (H, W), read-only, not a copy; 0 is the background or a class that was not wanted."""
        return self._found.labels()

    @overload
    def mask(self, name: str, *, soft: Literal[False] = False) -> NDArray[np.bool_]: ...
    @overload
    def mask(self, name: str, *, soft: Literal[True]) -> NDArray[np.uint8]: ...
    def mask(self, name: str, *, soft: bool = False) -> NDArray[np.bool_] | NDArray[np.uint8]:
        """Where a class, an alias or a group is: (H, W). Soft: how likely it is there, 0 to 255 = surely."""
        classes = self._found.resolve(name)
        if soft:
            return self._found.soft_mask(classes)
        only: NDArray[np.bool_] = self._found.masks([classes])[0]
        return only

    def masks(self, classes: Iterable[str] | None = None) -> NDArray[np.bool_]:
        """A mask of each name: (n, H, W); without names of each class that is there, in the order of the result."""
        if classes is None:
            return self._found.masks([[one.class_id] for one in self])
        if isinstance(classes, str):
            raise TypeError("classes is one text; a list of names is needed, or mask(name)")
        return self._found.masks([self._found.resolve(name) for name in classes])

    def polygons(
        self, name: str, *, tolerance: float | None = None, smooth: bool = False, min_area: float | None = None
    ) -> list[Polygon]:
        """The outlines of a class, an alias or a group. Neighbouring classes share their borders.

        Args:
            name: what to outline; each class of a group for itself.
            tolerance: how far, in pixels, a polygon may leave its outline; 0.75 without it, and 0.25 for smooth ones.
            smooth: follows the network's borders between pixels instead of the edges of the mask.
            min_area: pieces of fewer pixels count as a part of their neighbour.
        """
        check_tolerance(tolerance)
        rings = self._found.polygons(self._found.resolve(name), smooth, tolerance, min_area)
        return [Polygon(exterior, tuple(holes)) for exterior, holes in rings]

    def cutout(
        self, name: str = "garment", *, alpha: Alpha = "smooth", crop: bool = False, margin: str = "2%"
    ) -> PIL.Image.Image:
        """What a class, an alias or a group leaves of the photo: RGBA, in the photo's colours and with its ICC profile.

        Args:
            name: what to cut out; all garments without it.
            alpha: the mask with smooth edges, the soft mask, or the mask itself (`hard`).
            crop: trims it to the box of the mask and the margin; one transparent pixel where nothing was found.
            margin: pixels (`12`) or per cent of the longer side (`5%`).
        """
        import PIL.Image

        photo = decode(self._network, self._source, full=True)
        cut = self._found.cutout(photo, self._found.resolve(name), alpha, margin if crop else None)
        if cut is None:
            return PIL.Image.new("RGBA", (1, 1))
        pixels, profile = cut
        image = PIL.Image.fromarray(pixels)
        if profile is not None:
            image.info["icc_profile"] = profile
        return image

    def overlay(self) -> PIL.Image.Image:
        """The photo with its garments tinted and outlined: RGB."""
        import PIL.Image

        return PIL.Image.fromarray(self._found.overlay(decode(self._network, self._source, full=True)))

    def to_pil(self) -> PIL.Image.Image:
        """The label map as an image of mode P with the colours of the classes."""
        return _convert.to_pil(self, [color for _, _, color, _ in self._network.classes])

    def to_coco(
        self, *, image_id: int = 1, first_id: int = 1, form: Literal["rle", "polygons", "counts"] = "rle"
    ) -> list[dict[str, Any]]:
        """Annotations for COCO's `annotations`, one a class; `category_id` is the class index.

        Args:
            image_id: the number of the photo in `images`.
            first_id: the number of the first annotation.
            form: compressed run lengths, polygons (run lengths where a class has holes), or run lengths as numbers.
        """
        return _convert.to_coco(self._found.coco(form, self._file_name(), False, None), image_id, first_id)

    def to_labelme(self) -> dict[str, Any]:
        """The content of a file of the annotation tool labelme; `imagePath` is the photo's file name."""
        return _convert.to_labelme(self._text("labelme"))

    def to_yolo(self) -> str:
        """Segmentation labels as Ultralytics reads them: a line a piece; its class is the index less 1."""
        return self._text("yolo")

    def to_svg(self) -> str:
        """The outlines as SVG, in photo pixels."""
        return self._text("svg")

    def to_supervision(self) -> supervision.Detections:
        """Detections of the package supervision, one a class, with masks."""
        return _convert.to_supervision(self)

    def to_fiftyone(self) -> fiftyone.Detections:
        """Detections of the package fiftyone, one a class, with masks. A label map is `fiftyone.Segmentation(mask=labels)`."""
        return _convert.to_fiftyone(self)

    def encode(
        self,
        formats: Iterable[Format] = ("masks", "labels", "overlay", "json"),
        *,
        alpha: Alpha = "smooth",
        margin: str = "2%",
        tolerance: float | None = None,
        smooth: bool = False,
        link: str | None = None,
    ) -> dict[str, bytes]:
        """The files that clothseg-run writes for a photo, as bytes: what follows the photo's name, such as `.labels.png`, and content.

        Args:
            formats: which files.
            alpha, margin: of the formats cutout and crop, as in `cutout`.
            tolerance, smooth: of polygons, as in `polygons`.
            link: the path from the files to the photo, for labelme; the photo's name without it.
        """
        if isinstance(formats, str):
            raise TypeError("formats is one text; a list of names is needed, such as ['masks', 'json']")
        check_tolerance(tolerance)
        wanted: list[str] = list(formats)
        photo = None
        if self._found.needs_pixels(wanted):
            photo = decode(self._network, self._source, full=True)
        name = self._file_name()
        return dict(
            self._found.export(
                photo,
                wanted,
                name=name,
                path=link if link is not None else name,
                smooth=smooth,
                tolerance=tolerance,
                alpha=alpha,
                crop_margin=margin,
            )
        )

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        formats: Iterable[Format] = ("masks", "labels", "overlay", "json"),
        name: str | None = None,
        alpha: Alpha = "smooth",
        margin: str = "2%",
        tolerance: float | None = None,
        smooth: bool = False,
    ) -> list[Path]:
        """Writes the files of `encode`, each whole or not at all, and returns their paths.

        Args:
            folder: where to; it is made where it does not exist.
            name: what the names of the files begin with; the photo's name without its suffix, or `photo`.
            formats, alpha, margin, tolerance, smooth: as in `encode`.
        """
        stem = name if name is not None else (self.path.stem if self.path else "photo")
        if not stem or stem != os.path.basename(stem) or stem in (".", ".."):
            raise ValueError(f"name={stem!r}: a name without folders is needed")
        folder = Path(folder)
        link = os.path.relpath(self.path, folder).replace(os.sep, "/") if self.path else None
        files = self.encode(formats, alpha=alpha, margin=margin, tolerance=tolerance, smooth=smooth, link=link)
        paths = []
        for suffix, content in files.items():
            path = folder / f"{stem}{suffix}"
            if self.path is not None and path.exists() and path.samefile(self.path):
                raise ValueError(f"{path} is the photo and would be written over; choose another folder or name")
            _clothseg.write_file(path, content)
            paths.append(path)
        return paths

    def _file_name(self) -> str:
        return self.path.name if self.path else "photo"

    def _text(self, form: Format) -> str:
        (content,) = self.encode([form]).values()
        return content.decode()


def check_tolerance(tolerance: float | None) -> None:
    """A tolerance is a number of pixels."""
    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance={tolerance}: a number of pixels, 0 or more, is needed")
