"""Reading and writing one image: every mode, every way a file can be wrong."""

import numpy as np
import pytest
from PIL import Image

from train.errors import UserError
from train.images import EXTENSIONS, inspect, load_image, resize, save_image, to_uint8

RNG = np.random.default_rng(3)


def test_rgb_values_follow_the_formula(tmp_path):
    pixels = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    x = load_image(tmp_path / "a.png")
    assert x.dtype == np.float32 and x.shape == (5, 7, 3)
    np.testing.assert_allclose(x, pixels / 255.0 * 2 - 1, atol=1e-6)


def test_save_and_load_keep_every_level(tmp_path):
    levels = np.arange(256, dtype=np.float32).reshape(16, 16, 1) / 255 * 2 - 1
    for channels in (1, 3):
        x = np.repeat(levels, channels, axis=2)
        save_image(tmp_path / "x.png", x)
        assert inspect(tmp_path / "x.png").mode == ("L" if channels == 1 else "RGB")
        np.testing.assert_array_equal(load_image(tmp_path / "x.png", channels), x)


def test_to_uint8_rounds_and_clips():
    x = np.array([-1.5, -1.0, -1 + 2 * 0.6 / 255, 0.999, 1.0, 2.0])
    assert to_uint8(x).tolist() == [0, 0, 1, 255, 255, 255]


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_every_extension_is_read(tmp_path, extension):
    Image.new("RGB", (9, 6), (200, 100, 50)).save(tmp_path / f"a{extension}")
    x = load_image(tmp_path / f"a{extension}")
    assert x.shape == (6, 9, 3)
    np.testing.assert_allclose(to_uint8(x)[3, 4], (200, 100, 50), atol=4)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, extension):
    values = np.array([[0, 255, 256], [32768, 65534, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{extension}")
    for channels in (1, 3):
        x = load_image(tmp_path / f"a.{extension}", channels)
        assert x.shape == (2, 3, channels)
        np.testing.assert_allclose(x[..., -1], values / 65535.0 * 2 - 1, atol=1e-6)


def test_32_bit_values_out_of_range_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 70000, np.int32)).save(tmp_path / "deep.tif")
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(UserError, match=r"deep\.tif.*70000.*65535"):
        load_image(tmp_path / "deep.tif")
    with pytest.raises(UserError, match=r"float\.tif.*32-bit float"):
        load_image(tmp_path / "float.tif")


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [(200, 10, 0, 255), (9, 9, 9, 0), (0, 0, 0, 128)]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    pixels = to_uint8(load_image(tmp_path / "a.png"))[0]
    assert pixels[0].tolist() == [200, 10, 0] and pixels[1].tolist() == [255, 255, 255]
    assert np.all(abs(pixels[2].astype(int) - 127) <= 1)


def test_palette_cmyk_and_bilevel_become_rgb_or_gray(tmp_path):
    colour = Image.new("RGB", (4, 4), (255, 0, 0))
    colour.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    colour.convert("CMYK").save(tmp_path / "c.tif")
    Image.new("1", (4, 4), 1).save(tmp_path / "b.png")
    assert [inspect(tmp_path / n).mode for n in ("p.png", "c.tif", "b.png")] == ["P", "CMYK", "1"]
    for name, expected in (("p.png", (1, -1, -1)), ("c.tif", (1, -1, -1)), ("b.png", (1, 1, 1))):
        np.testing.assert_allclose(load_image(tmp_path / name)[0, 0], expected)
    np.testing.assert_allclose(load_image(tmp_path / "p.png", 1)[0, 0], 76 / 255 * 2 - 1, atol=1e-6)  # luma of red


def test_exif_orientation_is_honoured(tmp_path):
    image = Image.new("RGB", (8, 4), "black")
    image.paste("white", (0, 0, 4, 4))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left side comes to the top
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    header = inspect(tmp_path / "a.jpg")
    x = load_image(tmp_path / "a.jpg")
    assert (header.width, header.height) == (4, 8) and x.shape == (8, 4, 3)
    assert x[1].mean() > 0.9 and x[6].mean() < -0.9


def _truncated(path):
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.tif", "cut.webp", "cut.bmp"])
def test_truncated_files_are_named(tmp_path, name):
    _truncated(tmp_path / name)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_image(tmp_path / name)


@pytest.mark.parametrize("read", [inspect, load_image])
def test_what_is_not_a_still_image_is_named(tmp_path, read):
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:])
    for name, why in (
        ("text.jpg", "not an image"),
        ("empty.png", "empty"),
        ("moving.webp", "2 frames"),
        ("pages.tif", "2 frames"),
        ("gone.png", "no such file"),
    ):
        with pytest.raises(UserError, match=f"{name}.*{why}"):
            read(tmp_path / name)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [12, 20])  # Pillow warns above its limit, and raises above twice the limit
def test_decompression_bomb_limit_is_kept(tmp_path, monkeypatch, side):
    Image.new("RGB", (side, side)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for read in (inspect, load_image):
        with pytest.raises(UserError, match=r"bomb\.png: too large"):
            read(tmp_path / "bomb.png")


def test_resize_keeps_the_range_the_mean_and_the_same_size():
    x = np.where(RNG.random((40, 30, 3)) > 0.5, 1, -1).astype(np.float32)
    up = resize(x, 61, 80)
    assert up.shape == (80, 61, 3) and up.dtype == np.float32 and abs(up).max() <= 1
    assert resize(x, 30, 40) is x
    ramp = np.linspace(-0.8, 0.8, 64, dtype=np.float32)[None, :, None].repeat(8, 0)
    half = resize(ramp, 32, 8)
    np.testing.assert_allclose(half[4, 2:-2, 0], ramp[0, :, 0].reshape(32, 2).mean(1)[2:-2], atol=1e-5)


def test_channel_counts_other_than_1_and_3_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="4 were asked"):
        load_image(tmp_path / "a.png", 4)
