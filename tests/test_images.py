"""Reading and writing one image: every mode, every way a file can be wrong."""

import re
import struct
from dataclasses import replace

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from train.data import deep
from train.data.images import Header, Picture, decode, inspect, load_image, load_picture
from train.data.listing import EXTENSIONS
from train.data.pixels import ends_at, resize, to_uint8
from train.data.saving import save_image, save_picture
from train.errors import UserError

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


@pytest.mark.parametrize("extension", sorted(EXTENSIONS - {".npy"}))
def test_every_extension_is_read_and_written(tmp_path, extension):
    Image.new("RGB", (9, 6), (200, 100, 50)).save(tmp_path / f"a{extension}")
    x = load_image(tmp_path / f"a{extension}")
    assert x.shape == (6, 9, 3)
    np.testing.assert_allclose(to_uint8(x)[3, 4], (200, 100, 50), atol=4)
    save_image(tmp_path / f"b{extension}", x)
    np.testing.assert_allclose(load_image(tmp_path / f"b{extension}"), x, atol=4 / 127)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, extension):
    values = np.array([[0, 255, 256], [32768, 65534, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{extension}")
    for channels in (1, 3):
        x = load_image(tmp_path / f"a.{extension}", channels)
        assert x.shape == (2, 3, channels)
        np.testing.assert_allclose(x[..., -1], values / 65535.0 * 2 - 1, atol=1e-6)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bit_colour_is_read_whole_as_pillow_reads_it_in_8(tmp_path, extension, monkeypatch):
    """Colour, and gray beside alpha, as every number of channels."""
    for bands in (2, 3, 4):
        values = RNG.integers(0, 65536, (7, 5, bands)).astype(np.uint16)
        path = tmp_path / f"{bands}.{extension}"
        path.write_bytes(deep.encode(values, path.suffix))
        for channels in (1, 2, 3, 4):
            whole = load_picture(path, channels)
            with monkeypatch.context() as without:
                without.setattr(deep, "available", lambda: False)
                coarse = load_picture(path, channels)
            assert whole.bits == coarse.bits == 16 and (whole.alpha is None) == (coarse.alpha is None)
            assert whole.pixels.dtype == coarse.pixels.dtype == np.float32
            assert 0 < abs(whole.pixels - coarse.pixels).max() < 6 / 255
    np.testing.assert_array_equal(np.rint((whole.pixels + 1) / 2 * 65535), values)
    half = tmp_path / f"half.{extension}"
    half.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=rf"half\.{extension}: cannot be (decoded|read)"):
        load_picture(half)


def test_16_bit_colour_is_turned_upright(tmp_path):
    values = RNG.integers(0, 65536, (4, 6, 3)).astype(np.uint16)
    image = pyvips.Image.new_from_array(values, interpretation="rgb16").copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    (tmp_path / "a.tif").write_bytes(image.write_to_buffer(".tif"))
    header = inspect(tmp_path / "a.tif")
    x = load_image(tmp_path / "a.tif")
    assert x.shape == (6, 4, 3) and (header.width, header.height) == (4, 6)
    np.testing.assert_array_equal(np.rint((x + 1) / 2 * 65535), np.rot90(values, -1))


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


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P"])
def test_a_tiff_is_turned_upright_once(tmp_path, mode):
    """Uncompressed ones too, which Pillow maps into memory, and then leaves as they lie, where it is given their path."""
    values = RNG.integers(0, 256, (4, 6), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).convert("RGB").convert(mode).save(tmp_path / "a.tif", exif=exif)
    header = inspect(tmp_path / "a.tif")
    x = load_image(tmp_path / "a.tif")
    assert (header.width, header.height) == (4, 6) and x.shape == (6, 4, 3)
    if mode != "P":
        np.testing.assert_array_equal(to_uint8(x)[..., 0], np.rot90(values, -1))


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
        ("moving.webp", "several frames"),
        ("pages.tif", "several frames"),
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


def test_alpha_can_be_a_channel_like_any_other(tmp_path):
    Image.new("RGBA", (4, 5), (255, 0, 51, 0)).save(tmp_path / "a.png")
    np.testing.assert_allclose(load_image(tmp_path / "a.png", 4)[2, 2], [1, -1, -0.6, -1], atol=1e-6)
    with pytest.raises(UserError, match=r"5 were asked for; that many need \.npy"):
        load_image(tmp_path / "a.png", 5)


def test_arrays_of_any_channels_are_read(tmp_path):
    floats = RNG.uniform(-1, 1, (3, 4, 5)).astype(np.float32)
    whole = RNG.integers(0, 65536, (3, 4), dtype=np.uint16)
    np.save(tmp_path / "f.npy", floats)
    np.save(tmp_path / "u.npy", whole)
    assert inspect(tmp_path / "f.npy") == Header(4, 3, "array of 5 channels", 5, 32)
    assert load_picture(tmp_path / "f.npy", 5).bits == 32
    np.testing.assert_array_equal(load_image(tmp_path / "f.npy", 5), floats)
    np.testing.assert_allclose(load_image(tmp_path / "u.npy", 3)[..., 1], whole / 65535 * 2 - 1, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 4, 2), np.uint8), "has 2 channels, 3 were asked for$"),
        (
            np.zeros((3, 8, 9), np.uint8),
            r"has 9 channels, 3 were asked for; it looks like \[C,H,W\] .* wanted \[H,W,C\]",
        ),
        (np.zeros((1, 8, 9), np.uint8), r"it looks like \[C,H,W\] with C = 1"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"\(2, 4, 4, 3\); wanted one image"),
        (np.full((4, 4, 3), 255.0), r"255 to 255; wanted floats in \[-1, 1\]"),
        (np.full((4, 4, 3), np.nan), "wanted floats"),
        (np.zeros((4, 4, 3), np.int32), "holds int32"),
        (np.array([{}]), "cannot be read as an array"),
    ],
)
def test_arrays_that_are_no_pictures_are_named(tmp_path, array, said):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(UserError, match=r"x\.npy: .*" + said):
        load_image(tmp_path / "x.npy")


def tiff(path, values, photometric=2, extra=(), kind=None):
    """A TIFF of values [H,W,C] as geographic programs write it: `extra` says what the further samples are."""
    height, width, samples = values.shape
    bits = 8 * values.dtype.itemsize
    kind = 3 if values.dtype.kind == "f" else 1
    tags = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [1]), (262, 3, [photometric]), (273, 4, [8]),
            (277, 3, [samples]), (278, 4, [height]), (279, 4, [values.nbytes]), (339, 3, [kind] * samples)]  # fmt: skip
    tags = sorted([*tags, *([(338, 3, list(extra))] if extra else [])])
    start = 8 + values.nbytes
    more, entries = b"", b""
    for tag, size, numbers in tags:
        data = struct.pack(f"<{len(numbers)}{'H' if size == 3 else 'I'}", *numbers)
        if len(data) > 4:
            place = start + 6 + 12 * len(tags) + len(more)
            more, data = more + data, struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, size, len(numbers)) + data.ljust(4, b"\0")
    head = struct.pack("<2sHI", b"II", 42, start)
    path.write_bytes(head + values.tobytes() + struct.pack("<H", len(tags)) + entries + bytes(4) + more)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("photometric", "extra", "samples"),
    [(2, (0,), 4), (2, (0, 0), 5), (1, (0, 0, 0), 4), (1, (), 7), (1, (0,), 2), (2, (2, 2), 5)],
)
def test_all_bands_of_a_satellite_are_the_files(tmp_path, dtype, photometric, extra, samples):
    """Near infrared beside RGB, which Pillow drops, and bands that it cannot open; and written again, as data."""
    values = RNG.integers(0, np.iinfo(dtype).max + 1, (6, 9, samples)).astype(dtype)
    tiff(tmp_path / "a.tif", values, photometric, extra)
    header = inspect(tmp_path / "a.tif")
    assert (header.width, header.height, header.channels, header.bits) == (9, 6, samples, 8 * values.dtype.itemsize)
    picture = load_picture(tmp_path / "a.tif", samples)
    np.testing.assert_allclose(picture.pixels, values / np.iinfo(dtype).max * 2 - 1, atol=1e-6)
    decode(tmp_path / "a.tif")
    other = 4 if samples == 5 else 5
    for read in (inspect, load_image):
        with pytest.raises(UserError, match=rf"a\.tif: has {samples} bands, {other} were asked for; .*\.npy"):
            read(tmp_path / "a.tif", channels=other)
    if samples > 3:
        save_picture(tmp_path / "b.tif", picture)
        again = load_picture(tmp_path / "b.tif", samples)
        np.testing.assert_array_equal(again.pixels, picture.pixels)
        assert again.bands and again.bits == picture.bits


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_colours_beside_a_band_of_data_can_be_had_alone(tmp_path, dtype):
    """And transparency beside one too; the band itself is neither."""
    values = RNG.integers(0, np.iinfo(dtype).max + 1, (6, 9, 5)).astype(dtype)
    tiff(tmp_path / "nir.tif", values[..., :4], 2, (0,))
    tiff(tmp_path / "both.tif", values, 2, (2, 0))
    colours = values[..., :3] / np.iinfo(dtype).max * 2 - 1
    np.testing.assert_allclose(load_image(tmp_path / "nir.tif"), colours, atol=2 / 255)
    np.testing.assert_allclose(
        load_image(tmp_path / "nir.tif", 1)[..., 0], colours @ np.array([0.299, 0.587, 0.114]), atol=4 / 255
    )
    if dtype == np.uint8:
        np.testing.assert_allclose(load_image(tmp_path / "both.tif", 4), values[..., :4] / 127.5 - 1, atol=1e-6)


def test_bands_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    values = RNG.integers(0, 256, (6, 9, 4), dtype=np.uint8)
    tiff(tmp_path / "floats.tif", values.astype(np.float32), 1, (0, 0, 0))
    with pytest.raises(UserError, match=r"floats\.tif: .*4 bands of floats; wanted 8 or 16 bits, or \.npy"):
        inspect(tmp_path / "floats.tif")
    tiff(tmp_path / "a.tif", values, 1, (0, 0, 0))
    (tmp_path / "cut.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:40])
    with pytest.raises(UserError, match=r"cut\.tif: cannot be read"):
        inspect(tmp_path / "cut.tif")
    small = load_picture("upload", 4, (tmp_path / "a.tif").read_bytes(), side=3).pixels
    np.testing.assert_allclose(small[0, 0], values[:3, :3].mean((0, 1)) / 127.5 - 1, atol=2 / 127.5)  # rounded twice
    with monkeypatch.context() as patched:
        patched.setattr(Image, "MAX_IMAGE_PIXELS", 50)
        with pytest.raises(UserError, match=r"a\.tif: too large"):
            inspect(tmp_path / "a.tif")
        tiff(tmp_path / "many.tif", np.repeat(values, 2, axis=2), 1, (0,) * 7)
        patched.setattr(Image, "MAX_IMAGE_PIXELS", 60)  # it has 54, but as many values as 108 of four
        assert inspect(tmp_path / "a.tif").channels == 4
        with pytest.raises(UserError, match=r"many\.tif: too large"):
            inspect(tmp_path / "many.tif")
    monkeypatch.setattr(deep, "available", lambda: False)
    with pytest.raises(UserError, match=r'a\.tif: has 4 bands; pip install -e "\.\[deep\]" reads them all, or .*\.npy'):
        load_image(tmp_path / "a.tif", 4)


def test_twelve_bits_in_sixteen_fill_the_range_with_their_own_white(tmp_path):
    """In every file of 16 bits, and written again as they were; what is brighter is white."""
    gray = RNG.integers(0, 4096, (6, 5), dtype=np.uint16)
    gray[0, :2] = 4095, 60000
    colour = np.repeat(gray[..., None], 3, axis=2)
    Image.fromarray(gray).save(tmp_path / "g.png")
    Image.fromarray(gray).save(tmp_path / "g.tif")
    np.save(tmp_path / "g.npy", gray)
    for suffix in (".png", ".tif"):
        (tmp_path / f"c{suffix}").write_bytes(deep.encode(colour, suffix))
    tiff(tmp_path / "bands.tif", np.repeat(gray[..., None], 4, axis=2), 2, (0,))
    wanted = np.minimum(gray / 4095, 1) * 2 - 1
    for name, channels in (("g.png", 1), ("g.tif", 3), ("g.npy", 1), ("c.png", 3), ("c.tif", 3), ("bands.tif", 4)):
        picture = load_picture(tmp_path / name, channels, white=4095)
        np.testing.assert_allclose(picture.pixels[..., -1], wanted, atol=1e-6)
        save_picture(tmp_path / f"again_{name}", picture)
        np.testing.assert_array_equal(load_image(tmp_path / f"again_{name}", channels, white=4095), picture.pixels)
        assert load_image(tmp_path / f"again_{name}", channels).max() < -0.87  # 4095 of 65535, as they came
        assert inspect(tmp_path / name).bits == 16
    eight = np.full((4, 4), 200, np.uint8)
    Image.fromarray(eight).save(tmp_path / "8.png")
    np.testing.assert_allclose(load_image(tmp_path / "8.png", 1, white=4095), 200 / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize(
    ("brightest", "white", "said"),
    [
        (4080, 65535, "values end at 4080 of 65535: networks see nothing above -0.88, where white is 1; --white_level 4095 .*12 bits"),
        (32767, 65535, "--white_level 32767 .*15 bits"),
        (32768, 65535, "^$"),
        (40000, 65535, "^$"),
        (0, 65535, "^$"),
        (4095, 4095, "^$"),
        (65535, 4095, "values reach 65535, beyond --white_level 4095"),
    ],
)  # fmt: skip
def test_where_values_end_is_told(brightest, white, said):
    assert re.search(said, ends_at(brightest, white))


def test_a_profile_stays_only_where_it_speaks_of_the_channels_that_are_written(tmp_path):
    """A gray picture with a gray profile through an RGB generator, and the other way round."""
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    gray = rgb[:16] + b"GRAY" + rgb[20:]
    for icc, mode, read in ((gray, "L", 3), (rgb, "RGB", 1), (gray, "L", 1), (rgb, "RGB", 3), (rgb, "RGBA", 4)):
        Image.new(mode, (8, 6)).save(tmp_path / "in.png", icc_profile=icc)
        for bits in (8, 16):
            picture = replace(load_picture(tmp_path / "in.png", read), bits=bits)
            for suffix in (".png", ".tif", ".jpg")[: 2 if read == 4 else 3]:
                save_picture(tmp_path / f"out{suffix}", picture)
                with Image.open(tmp_path / f"out{suffix}") as image:
                    kept = image.info.get("icc_profile")
                assert kept == (icc if len(mode) == read else None), (mode, read, bits, suffix)


@pytest.mark.parametrize("read", [1, 3, 4])
def test_a_photo_of_a_telephone_is_read_upright(tmp_path, read):
    import pillow_heif

    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, :32] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left side comes to the top
    made = pillow_heif.from_bytes("RGB", (64, 32), pixels.tobytes())
    made.save(tmp_path / "a.heic", quality=90, exif=exif.tobytes())
    (tmp_path / "named.jpg").write_bytes((tmp_path / "a.heic").read_bytes())
    for name in ("a.heic", "named.jpg"):
        header, x = inspect(tmp_path / name), load_image(tmp_path / name, read)
        assert (header.width, header.height) == (32, 64) and x.shape == (64, 32, read)
        assert x[4, :, 0].mean() > 0.9 and x[60, :, 0].mean() < -0.9
    (tmp_path / "cut.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:200])
    with pytest.raises(UserError, match=r"cut\.heic: cannot be"):
        load_image(tmp_path / "cut.heic")


def test_what_belongs_to_a_picture_comes_back(tmp_path):
    """Written in each format and read again: values, bits, alpha, profile."""
    x = RNG.uniform(-1, 1, (6, 5, 3)).astype(np.float32)
    gray, alpha = x[..., :1], RNG.integers(0, 256, (6, 5), dtype=np.uint8)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    def again(name, picture):
        save_picture(tmp_path / name, picture)
        return load_picture(tmp_path / name, picture.pixels.shape[2])

    for name in ("a.png", "a.tif", "a.npy"):
        back = again(name, Picture(gray, bits=16))
        assert back.bits == 16 and abs(back.pixels - gray).max() < 2 / 65535
    for name in ("a.png", "a.tif"):
        back = again(name, Picture(x, 8, None, icc))
        assert back.icc == icc and abs(back.pixels - x).max() <= 1.01 / 255
    for name in ("b.png", "b.tif", "b.webp"):
        np.testing.assert_array_equal(again(name, Picture(x, 8, alpha)).alpha, alpha)
    np.testing.assert_array_equal(again("c.png", Picture(gray, 8, alpha)).alpha, alpha)
    for name in ("d.png", "d.tiff"):
        back = again(name, Picture(x, 16, alpha, icc))
        on_white = 1 - alpha[..., None] / 255 * (1 - x)
        assert back.bits == 16 and back.icc == icc and abs(back.pixels - on_white).max() < 4 / 65535
        np.testing.assert_array_equal(back.alpha, alpha.astype(np.uint16) * 257)
    assert again("a.jpg", Picture(gray, 16, alpha, icc)).bits == 8
    five = RNG.uniform(-1, 1, (6, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(again("d.npy", Picture(five, 32)).pixels, five)
    with pytest.raises(UserError, match=r"e\.png: no image format holds 5"):
        save_picture(tmp_path / "e.png", Picture(five))
    with pytest.raises(UserError, match=r"e\.gif2: unknown format"):
        save_picture(tmp_path / "e.gif2", Picture(x))
    with pytest.raises(UserError, match=r"e\.webp: cannot be written"):
        save_picture(tmp_path / "e.webp", Picture(np.zeros((1, 17000, 3), np.float32)))
