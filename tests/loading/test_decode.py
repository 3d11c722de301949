"""Every kind of image becomes RGB of one size; everything else becomes a reject."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from raypipe.loading.decode import RejectedError, decode

MANY = 10**6
WIDTH, HEIGHT = 40, 20
ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def halves(mode: str, left, right) -> Image.Image:
    """Return an image whose left half has one colour and whose right half another."""
    image = Image.new(mode, (WIDTH, HEIGHT), left)
    image.paste(right, (WIDTH // 2, 0, WIDTH, HEIGHT))
    return image


def deep(left: int, right: int) -> Image.Image:
    """Return a 16-bit image of two halves."""
    return Image.fromarray(np.repeat([[left, right]], HEIGHT, 0).repeat(20, 1).astype(np.uint16))


def palette() -> Image.Image:
    image = halves("P", 0, 1)
    image.putpalette([200, 100, 50, 10, 20, 30])
    return image


@pytest.mark.parametrize(
    ("content", "left", "right"),
    [
        (encoded(halves("RGB", (200, 100, 50), (10, 20, 30))), (200, 100, 50), (10, 20, 30)),
        (encoded(halves("L", 200, 10)), (200,) * 3, (10,) * 3),
        (encoded(halves("1", 1, 0)), (255,) * 3, (0,) * 3),
        (encoded(halves("LA", (200, 255), (10, 255))), (200,) * 3, (10,) * 3),
        (encoded(palette()), (200, 100, 50), (10, 20, 30)),
        (encoded(palette(), "GIF"), (200, 100, 50), (10, 20, 30)),
        (encoded(halves("RGBA", (200, 100, 50, 255), (10, 20, 30, 255))),
         (200, 100, 50), (10, 20, 30)),
        (encoded(deep(200 * 256, 10 * 256)), (200,) * 3, (10,) * 3),
        (encoded(deep(200 * 256, 10 * 256), "TIFF"), (200,) * 3, (10,) * 3),
        (encoded(halves("CMYK", (0, 255, 255, 0), (255, 0, 255, 0)), "JPEG", quality=95),
         (255, 0, 0), (0, 255, 0)),
        (encoded(halves("RGB", (200, 100, 50), (10, 20, 30)), "WEBP", lossless=True),
         (200, 100, 50), (10, 20, 30)),
        (encoded(halves("RGB", (200, 100, 50), (10, 20, 30)), "BMP"), (200, 100, 50), (10, 20, 30)),
    ],
    ids=["rgb", "grey", "bits", "grey-alpha", "palette", "gif", "rgba", "16-bit", "16-bit-tiff",
         "cmyk", "webp", "bmp"],
)  # fmt: skip
def test_every_mode_becomes_rgb(content, left, right) -> None:
    pixels, width, height = decode(content, 16, MANY)
    assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
    assert (width, height) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(pixels[8, 2], left, atol=4)
    np.testing.assert_allclose(pixels[8, 13], right, atol=4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    # where the stored image's bright top left corner is seen (EXIF 2.3, 4.6.4)
    [(1, "top left"), (2, "top right"), (3, "bottom right"), (4, "bottom left"), (5, "top left"),
     (6, "top right"), (7, "bottom right"), (8, "bottom left")],
)  # fmt: skip
def test_rotation_is_applied_to_pixels_and_size(kind, orientation, corner) -> None:
    image = Image.new("RGB", (WIDTH, HEIGHT))
    image.paste((255, 255, 255), (0, 0, WIDTH // 2, HEIGHT // 2))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels, width, height = decode(encoded(image, kind, exif=exif, **options), 8, MANY)
    assert (width, height) == ((WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
    bright = {"top left": (0, 0), "top right": (0, 7), "bottom left": (7, 0),
              "bottom right": (7, 7)}  # fmt: skip
    for name, (row, col) in bright.items():
        assert (pixels[row, col].mean() > 128) == (name == corner), name


def test_rotation_of_a_grey_16_bit_image_is_kept() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = encoded(deep(200 * 256, 0), "PNG", exif=exif)
    pixels, width, height = decode(content, 8, MANY)
    assert (width, height) == (HEIGHT, WIDTH)
    assert pixels[0].mean() > 128 > pixels[7].mean()


def test_the_aspect_ratio_is_not_kept() -> None:
    image = Image.new("RGB", (100, 10))
    image.paste((255, 0, 0), (90, 0, 100, 10))
    pixels, _, _ = decode(encoded(image), 20, MANY)
    np.testing.assert_array_equal(pixels[:, :, 0].argmax(axis=1), np.full(20, 19))


JPEG = encoded(
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), "JPEG"
)


@pytest.mark.parametrize(
    ("content", "limit", "reason"),
    [
        (b"just some text\n" * 50, MANY, "undecodable"),
        (JPEG[: len(JPEG) // 2], MANY, "undecodable"),
        (JPEG[:4], MANY, "undecodable"),
        (encoded(palette())[:60], MANY, "undecodable"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, MANY, "undecodable"),
        (encoded(Image.new("RGB", (WIDTH, HEIGHT))), WIDTH * HEIGHT - 1, "too_large"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", MANY, "undecodable"),
    ],
    ids=["text", "truncated", "header only", "truncated png", "zeros", "large", "svg"],
)
def test_what_is_no_image_is_rejected_with_a_reason(content, limit, reason) -> None:
    with pytest.raises(RejectedError) as caught:
        decode(content, 16, limit)
    assert caught.value.reason == reason
    assert caught.value.detail
    assert "\n" not in caught.value.detail


def test_the_limit_itself_is_allowed() -> None:
    decode(encoded(Image.new("RGB", (WIDTH, HEIGHT))), 16, WIDTH * HEIGHT)


def bomb() -> bytes:
    """Return a PNG header that promises 20,000 x 20,000 pixels."""
    content = bytearray(encoded(Image.new("L", (1, 1))))
    content[16:24] = (20_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize("limit", [MANY, 10**12])
def test_a_decompression_bomb_is_rejected_without_a_warning(limit) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RejectedError) as caught:
            decode(bomb(), 16, limit)
    assert caught.value.reason == "too_large"


def test_no_damage_of_bytes_does_more_than_reject() -> None:
    """Pillow's plug-ins raise `struct.error`, `TypeError` and more on damaged metadata."""
    generator = np.random.default_rng(13)
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010E] = 6, "a description"
    image = Image.fromarray(generator.integers(0, 255, (24, 31, 3), np.uint8))
    kinds = {"JPEG": {"exif": exif}, "PNG": {"exif": exif}, "WEBP": {"exif": exif}, "GIF": {},
             "TIFF": {"compression": "raw"}}  # fmt: skip
    rejected = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind, options in kinds.items():
            whole = np.frombuffer(encoded(image, kind, **options), np.uint8)
            for _ in range(200):
                content = whole.copy()
                at = generator.integers(0, min(200, len(content)), 3)
                content[at] = generator.integers(0, 256, 3)
                try:
                    decode(content.tobytes(), 16, MANY)
                except RejectedError:
                    rejected += 1
    assert rejected > 50


@pytest.mark.parametrize(("at", "value"), [(19, 7), (19, 12), (6, 0)])
def test_damaged_metadata_does_not_cost_an_image(at, value) -> None:
    """Such files exist; Pillow raises `struct.error` or `SyntaxError` when it reads their EXIF."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x0100] = 6, 7
    content = bytearray(encoded(Image.new("RGB", (WIDTH, HEIGHT), (200, 0, 0)), "JPEG", exif=exif))
    content[content.index(b"Exif") + at] = value
    pixels, width, height = decode(bytes(content), 16, MANY)
    assert {width, height} == {WIDTH, HEIGHT}
    assert pixels[8, 8, 0] > 190
