"""What is wrong is said by type and text."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import clothseg


def test_an_unknown_class_names_the_nearest(segment: clothseg.Segmenter, result: clothseg.Result, astronaut: Path) -> None:
    for ask in (lambda: segment(astronaut, classes=["pantz"]), lambda: result.mask("pantz"), lambda: result.polygons("pantz")):
        with pytest.raises(KeyError) as caught:
            ask()
        error = caught.value
        assert isinstance(error, clothseg.UnknownClassError)
        assert error.name == "pantz" and error.nearest == "pants" and "pants" in error.known
        assert str(error).startswith("unknown class 'pantz' (did you mean 'pants'?)"), "not quoted as a KeyError is"


def test_errors_pickle(segment: clothseg.Segmenter) -> None:
    errors = []
    for image in ("absent.jpg", b"no photo"):
        with pytest.raises(clothseg.ClothsegError) as caught:
            segment(image)
        errors.append(caught.value)
    with pytest.raises(clothseg.UnknownClassError) as unknown:
        segment(b"", classes=["pantz"])
    for error in (*errors, unknown.value):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)


def test_the_types_are_those_that_python_has_for_it() -> None:
    for error, base in (
        (clothseg.DecodeError, ValueError),
        (clothseg.TooLargeError, ValueError),
        (clothseg.UnknownClassError, KeyError),
        (clothseg.ModelError, ValueError),
        (clothseg.EngineError, RuntimeError),
        (clothseg.ReadError, OSError),
        (clothseg.WriteError, OSError),
    ):
        assert issubclass(error, clothseg.ClothsegError) and issubclass(error, base)


def test_models_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    with pytest.raises(clothseg.ReadError, match="absent.onnx"):
        clothseg.Segmenter(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(clothseg.ModelError, match="text.onnx: not an ONNX model"):
        clothseg.Segmenter(tmp_path / "text.onnx")
    with pytest.raises(ValueError, match="u2net-cloth"):
        clothseg.Segmenter(tmp_path / "text.onnx", spec="nonsense")


@pytest.mark.parametrize(
    "arguments",
    [
        *({"provider": "gpu"}, {"quality": "nice"}, {"threads": 0}, {"sessions": 0}, {"max_megapixels": 0}, {"device": -1}),
        *({name: 2**70} for name in ("device", "threads", "sessions", "max_megapixels")),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        clothseg.Segmenter(**arguments)  # type: ignore[arg-type]


def test_a_provider_that_is_not_there_is_named_with_what_to_do() -> None:
    with pytest.raises(clothseg.EngineError, match=r"clothseg\[gpu\]"):
        clothseg.Segmenter(provider="cuda")
    with pytest.raises(clothseg.EngineError, match="absent.so"):
        clothseg.Segmenter(library="/absent.so")


def test_classes_are_a_list_and_stream_takes_many(segment: clothseg.Segmenter, hopper: Path) -> None:
    with pytest.raises(TypeError, match="list of names"):
        segment(hopper, classes="pants")
    for one in (str(hopper), hopper, b"bytes", PIL.Image.open(hopper)):
        with pytest.raises(TypeError, match="several images"):
            segment.stream(one)  # type: ignore[call-overload]
    for shape in ((8, 8, 3), (8, 8), (8, 8, 4), (8,)):
        with pytest.raises(TypeError, match=re.escape(f"list(array), where this one of shape {shape} holds several")):
            segment.stream(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="workers"):
        segment.stream([hopper], workers=0)
    with pytest.raises(ValueError, match="on_error"):
        segment.stream([hopper], on_error="ignore")  # type: ignore[call-overload]
    with pytest.raises(clothseg.UnknownClassError):
        segment.stream([hopper], classes=["pantz"])
