import contextlib
import io
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from goodgrain.data.images import as_mode, fit_image, is_gray, look_at, open_image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height=12, width=10):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_lossless_image_comes_back_as_it_was():
    np.testing.assert_array_equal(np.asarray(open_image(encoded(noise()))), np.asarray(noise()))


def test_an_image_that_lies_on_its_side_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    data = encoded(noise(), exif=exif)
    np.testing.assert_array_equal(np.asarray(open_image(data)), np.rot90(np.asarray(noise()), -1))
    assert look_at(data) == (10, 12, False)


def test_16_bits_keep_the_upper_8():
    image = Image.fromarray(np.array([[0, 255, 256, 65535]], dtype=np.uint16))
    opened = open_image(encoded(image))
    assert is_gray(opened)
    assert np.asarray(as_mode(opened, 1)).tolist() == [[0, 0, 1, 255]]
    assert np.asarray(as_mode(opened, 3)).tolist() == [[[0] * 3, [0] * 3, [1] * 3, [255] * 3]]


@pytest.mark.parametrize(
    "values", [np.full((2, 2), 70000, np.int32), np.full((2, 2), -1, np.int32), np.ones((2, 2), np.float32)]
)
def test_pixels_without_a_known_range_are_refused(values):
    with pytest.raises(ValueError, match="save it with 8 or 16 bits"):
        as_mode(Image.fromarray(values), 3)


def test_resizing_averages():
    image = Image.fromarray(np.array([[0, 0, 200, 200], [0, 0, 200, 200]], dtype=np.uint8).repeat(4, 0).repeat(4, 1))
    small = fit_image(image, (1, 2, 1))
    assert small[0, 0, 0] < 40  # the triangle filter reaches a little over the edge in the middle
    assert small[0, 1, 0] > 160
    assert small[0, 0, 0] + small[0, 1, 0] == pytest.approx(200, abs=1)


def test_a_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for read in (open_image, look_at):
        with pytest.raises(ValueError, match="decompression bomb"):
            read(encoded(noise(11, 10)))
        with pytest.raises(ValueError, match="decompression bomb"):
            read(encoded(noise(21, 10)))


def test_an_empty_file_says_so(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match="the file is empty"):
        open_image(tmp_path / "a.png")


def test_a_header_that_promises_more_than_the_file_holds():
    data = encoded(noise(40, 40), "JPEG")
    assert look_at(data[:-200]) == (40, 40, False)
    with pytest.raises(OSError, match="truncated"):
        open_image(data[:-200])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"]), st.integers(0, 10**6), st.binary(max_size=8))
def test_damage_is_one_of_three_errors_and_no_warning(kind, place, junk):
    data = bytearray(encoded(noise(), kind))
    place %= len(data)
    data[place : place + len(junk)] = junk
    for read in (look_at, open_image):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with contextlib.suppress(OSError, ValueError, SyntaxError):
                read(bytes(data))


def test_a_png_whose_pixels_are_damaged_is_not_read():
    data = encoded(Image.new("L", (64, 64), 5))
    place = data.index(b"IDAT") + 4
    broken = zlib.compress(b"\x00" * 10)
    with pytest.raises((OSError, ValueError, SyntaxError)):
        open_image(data[:place] + broken + data[place + len(broken) :])
