"""Makes the picture of docs/python.md: a photo, its overlay, its cut-out and its label map, side by side.

    python runtime/python/examples/picture.py samples/hopper.jpg docs/python.jpg
"""

import sys

import PIL.Image
import PIL.ImageDraw

import clothseg

GAP, SQUARE = 12, 16


def board(size: tuple[int, int]) -> PIL.Image.Image:
    """What one sees through transparent pixels."""
    image = PIL.Image.new("RGB", size, "white")
    draw = PIL.ImageDraw.Draw(image)
    for y in range(0, size[1], SQUARE):
        for x in range(y // SQUARE % 2 * SQUARE, size[0], 2 * SQUARE):
            draw.rectangle((x, y, x + SQUARE - 1, y + SQUARE - 1), fill=(225, 225, 225))
    return image


photo, picture = sys.argv[1:]
result = clothseg.Segmenter()(photo)
print(result)
cut = result.cutout()
beneath = board(cut.size)
beneath.paste(cut, mask=cut.getchannel("A"))
parts = [PIL.Image.open(photo).convert("RGB"), result.overlay(), beneath, result.to_pil().convert("RGB")]
together = PIL.Image.new("RGB", (4 * cut.width + 3 * GAP, cut.height), "white")
for place, part in enumerate(parts):
    together.paste(part, (place * (cut.width + GAP), 0))
together.thumbnail((1200, 1200))
together.save(picture, quality=88)
