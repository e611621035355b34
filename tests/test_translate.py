"""`python -m train.translate`: pictures of every kind go through unharmed, and mistakes are told before anything is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from autograd import Tensor, no_grad
from nn import PatchDiscriminator, ResnetGenerator, UnetGenerator
from tests import torch_field
from train import augmented_cyclegan, stochastic_cyclegan
from train.data import deep
from train.data.images import load_image
from train.data.pixels import to_uint8
from train.data.saving import save_image
from train.evaluation.subject import from_run
from train.files import checkpoint
from train.inference import translator
from train.inference.server import both_ways
from train.inference.translator import padded, run
from train.translate import main, translate_images
from train.weights import formats as weights

RNG = np.random.default_rng(0)
NETWORKS = {
    "gen_ab": ResnetGenerator(ngf=2, n_blocks=1, seed=1),
    "gen_ba": ResnetGenerator(ngf=2, n_blocks=1, seed=2),
    "disc_b": PatchDiscriminator(ndf=2, n_layers=2),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder that holds weights."""
    monkeypatch.chdir(tmp_path)
    weights.save(Path("w.npz"), NETWORKS)


def photo(path: str, height: int, width: int, **how: object) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).save(path, **how)
    return Path(path)


def expected(network: ResnetGenerator, x: np.ndarray) -> np.ndarray:
    """The network on a picture whose sides are multiples of 4, as [H,W,C]."""
    with no_grad():
        return network(Tensor(x[None])).numpy()[0]


def command(line: str) -> int:
    return main(f"--weights w.npz --device cpu {line}".split())


def test_phone_photos_go_through_unharmed():
    """Portrait, turned by EXIF, in sub-folders; every one, under its name, in its format, with its profile."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo("photos/portrait.JPG", 44, 31, icc_profile=icc)
    photo("photos/2024/turned.jpg", 32, 48, exif=exif, quality=95)
    for i in range(60):  # more than the reference implementation's silent 50
        photo(f"photos/many/{i:02}.png", 9, 10)
    assert command("--input photos --output out") == 0
    made = {p.relative_to("out").as_posix(): p for p in Path("out").rglob("*.*")}
    assert len(made) == 62 and {"portrait.JPG", "2024/turned.jpg", "many/59.png"} <= made.keys()
    with Image.open(made["portrait.JPG"]) as image:
        assert image.size == (31, 44) and image.format == "JPEG" and image.info["icc_profile"] == icc
    with Image.open(made["2024/turned.jpg"]) as image:
        assert image.size == (32, 48) and image.getexif().get(0x0112, 1) == 1  # upright pixels, and no orientation left
    x = load_image("photos/2024/turned.jpg")
    close = abs(load_image(made["2024/turned.jpg"]) - expected(NETWORKS["gen_ab"], x)).mean()
    assert close < 0.1 < abs(load_image(made["2024/turned.jpg"]) - expected(NETWORKS["gen_ab"], x[::-1])).mean()


def test_what_the_weights_do_not_tell_is_said_and_can_be_told(capsys):
    """As PyTorch-GAN has it: how the generator resizes is in no file."""
    photo("in/a.png", 16, 20)
    Path("G").mkdir()
    torch.manual_seed(0)
    torch.save(torch_field.generator(up="zeros", name="block").state_dict(), "G/G_AB_7.pth")
    made = {}
    for said, upsample in ((True, ""), (False, "nearest"), (False, "bilinear")):
        options = ["--upsample", upsample] if upsample else []
        assert main(["--weights", "G", "--input", "in", "--output", f"out{upsample}", *options]) == 0
        assert ("note: it resizes" in capsys.readouterr().out) == said
        made[upsample] = load_image(f"out{upsample}/a.png")
    assert np.array_equal(made[""], made["nearest"]) and not np.array_equal(made[""], made["bilinear"])


def test_16_bit_grayscale_stays_16_bit_grayscale():
    gray = ResnetGenerator(1, 1, ngf=2, n_blocks=1)
    weights.save(Path("gray.npz"), {"generator": gray})
    values = (np.add.outer(np.arange(20), np.arange(24)) * 1500 % 65536).astype(np.uint16)
    for i in range(3):
        Path("scans").mkdir(exist_ok=True)
        Image.fromarray(values + i).save(f"scans/{i}.tif")
    assert main(["--weights", "gray.npz", "--input", "scans", "--output", "out"]) == 0
    for i in range(3):
        with Image.open(f"out/{i}.tif") as image:
            made = np.asarray(image)
        wanted = (expected(gray, (values + i)[..., None].astype(np.float32) / 65535 * 2 - 1)[..., 0] + 1) / 2 * 65535
        assert made.dtype == np.uint16 and abs(made - wanted).max() <= 1


def test_16_bits_of_colour_come_through():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = RNG.integers(0, 65536, (12, 16, 4)).astype(np.uint16)
    Path("deep.tif").write_bytes(deep.encode(values, ".tif", profile))
    assert command("--input deep.tif --output out") == 0
    made, icc = deep.decode(Path("out/deep.tif").read_bytes(), "TIFF")
    alpha = values[..., 3:] / np.float32(65535)
    seen = 1 - alpha * (1 - values[..., :3] / np.float32(65535))  # on white
    wanted = (expected(NETWORKS["gen_ab"], seen * 2 - 1) + 1) / 2 * 65535
    assert icc == profile and abs(made[..., :3] - wanted).max() <= 1 and np.any(made[..., :3] % 257)
    np.testing.assert_array_equal(made[..., 3], values[..., 3])


def test_16_bits_that_become_8_are_reported(capsys, monkeypatch):
    monkeypatch.setattr(deep, "available", lambda: False)
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 999).save("deep.png")
    assert command("--input deep.png --output out") == 0
    assert "1 of them have 8 bits" in capsys.readouterr().out
    assert command("--input deep.png --output npy --format npy") == 0
    assert np.load("npy/deep.npy").dtype == np.uint16


def run_with(program="train.cyclegan", **config):
    """w.npz as a run's checkpoint that says with what it was trained."""
    state = {**checkpoint.load("w.npz"), "program": program, "config": {"name": "w", "crop_size": 32, **config}}
    checkpoint.save("w.npz", state)


def test_twelve_bits_are_read_as_the_run_was_trained_and_written_as_they_came(capsys):
    generator = ResnetGenerator(1, 1, ngf=2, n_blocks=1, seed=3)
    weights.save(Path("w.npz"), {"gen_ab": generator})
    values = RNG.integers(0, 4096, (16, 16), dtype=np.uint16)
    Path("in").mkdir()
    Image.fromarray(values).save("in/a.png")
    assert command("--input in --output blind") == 0
    said = capsys.readouterr().out
    assert "1 inputs have 16 bits, and in in/a.png values end at 4" in said and "--white_level 4095" in said
    wanted = expected(generator, load_image("in/a.png", 1, white=4095))
    assert command("--input in --output told --white_level 4095") == 0
    run_with(white_level=4095)
    assert command("--input in --output own") == 0
    assert "16 bits" not in capsys.readouterr().out
    for folder in ("told", "own"):
        with Image.open(f"{folder}/a.png") as image:
            np.testing.assert_allclose(np.asarray(image), (wanted[..., 0] + 1) / 2 * 4095, atol=1)
    run_with(white_level="evil")
    assert command("--input in --output evil") == 0


def test_halves_side_by_side_are_noticed_and_can_be_had_alone(capsys):
    photo("in/pair.png", 32, 64)
    photo("in/other.png", 32, 48)
    run_with(program="train.pix2pix")
    assert command("--input in --output whole") == 0
    said = capsys.readouterr().out
    assert (
        "1 inputs, such as in/pair.png, are twice as wide" in said and "--half left translates that half alone" in said
    )
    for half, part in (("left", np.s_[:, :32]), ("right", np.s_[:, 32:])):
        assert command(f"--input in/pair.png --output {half} --half {half}") == 0
        wanted = expected(NETWORKS["gen_ab"], np.ascontiguousarray(load_image("in/pair.png")[part]))
        np.testing.assert_array_equal(load_image(f"{half}/pair.png"), load_image_of(wanted))
    run_with(program="train.pix2pix", direction="BtoA")
    assert command("--input in --output back") == 0 and "--half right" in capsys.readouterr().out
    photo("in/odd.png", 9, 21)
    assert (
        command("--input in/odd.png --output odd --half left") == 1
        and "wanted an even width" in capsys.readouterr().err
    )
    for config in ({}, {"program": "train.pix2pix", "crop_size": "evil"}):  # no run of pairs; a stranger's file
        run_with(**config)
        assert command("--input in/pair.png --output quiet --existing replace") == 0
        assert "half" not in capsys.readouterr().out


def load_image_of(x):
    """What comes back of x [H,W,C] from a file of 8 bits."""
    return to_uint8(x).astype(np.float32) / 255.0 * 2.0 - 1.0


def test_lab_becomes_gray_too():
    lab = ImageCms.createProfile("LAB")
    Path("in").mkdir()
    made = ImageCms.profileToProfile(
        Image.new("RGB", (8, 8), (10, 200, 30)), ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
    )
    made.save("in/a.tif")
    gray = load_image("in/a.tif", 1)
    np.testing.assert_allclose(gray, np.full((8, 8, 1), (0.299 * 10 + 0.587 * 200 + 0.114 * 30) / 127.5 - 1), atol=0.03)


def test_alpha_is_kept_and_lies_on_white_for_the_generator():
    rgba = RNG.integers(0, 256, (12, 16, 4), np.uint8)
    Image.fromarray(rgba).save("a.png")
    command("--input a.png --output out")
    made = np.asarray(Image.open("out/a.png"))
    np.testing.assert_array_equal(made[..., 3], rgba[..., 3])
    np.testing.assert_array_equal(made[..., :3], to_uint8(expected(NETWORKS["gen_ab"], load_image("a.png"))))


def test_arrays_of_any_channels_become_arrays():
    many = ResnetGenerator(5, 7, ngf=2, n_blocks=1)
    weights.save(Path("many.npz"), {"generator": many})
    x = RNG.uniform(-1, 1, (9, 13, 5)).astype(np.float32)
    np.save("x.npy", x)
    assert main(["--weights", "many.npz", "--input", "x.npy", "--output", "out"]) == 0
    made = np.load("out/x.npy")
    assert made.shape == (9, 13, 7) and made.dtype == np.float32
    np.testing.assert_array_equal(made, expected(many, padded(x, 4))[:9, :13])


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 50), (33, 47), (64, 32)])
@pytest.mark.parametrize("network", [NETWORKS["gen_ab"], UnetGenerator(num_downs=5, ngf=1)], ids=["resnet", "unet"])
def test_any_size_comes_back_as_it_was(network, size):
    x = RNG.uniform(-1, 1, (*size, 3)).astype(np.float32)
    y = run(network, x)
    assert y.shape == x.shape and np.isfinite(y).all()


def test_large_pictures_go_in_strips_with_the_same_result(monkeypatch):
    x = RNG.uniform(-1, 1, (50, 66, 3)).astype(np.float32)
    whole = run(NETWORKS["gen_ab"], x)
    monkeypatch.setattr(translator, "LARGE", 100)
    calls: list[object] = []
    monkeypatch.setattr(
        translator, "run_in_strips", lambda *a: calls.append(a) or translator.whole(a[0], a[1][0])[None]
    )
    np.testing.assert_array_equal(run(NETWORKS["gen_ab"], x), whole)
    assert calls


def test_directions_and_lone_generators(capsys):
    save_image("x.png", RNG.uniform(-1, 1, (8, 12, 3)).astype(np.float32))
    x = load_image("x.png")
    for name, direction in (("gen_ab", "AtoB"), ("gen_ba", "BtoA")):
        translate_images("w.npz", "x.png", f"{direction}.png", direction)
        np.testing.assert_array_equal(
            to_uint8(load_image(f"{direction}.png")), to_uint8(expected(NETWORKS[name], x)), err_msg=direction
        )
        weights.save(Path(f"{name}.pth"), {name: NETWORKS[name]})
        translate_images(f"{name}.pth", "x.png", f"{name}.png")  # the only one there is
        np.testing.assert_array_equal(load_image(f"{name}.png"), load_image(f"{direction}.png"))
    assert main(["--weights", "gen_ab.pth", "--input", "x.png", "--output", "y.png", "--direction", "BtoA"]) == 2
    assert "the other direction only" in capsys.readouterr().err
    Path("config.json").write_text('{"direction": "BtoA"}')  # of a run that was trained so
    assert main(["--weights", "gen_ab.pth", "--input", "x.png", "--output", "z.png"]) == 0
    assert "its AtoB, the default, takes pictures of folder B" in capsys.readouterr().out
    weights.save(Path("g.npz"), {"generator": NETWORKS["gen_ab"]})
    assert main(["--weights", "g.npz", "--input", "x.png", "--output", "y.png", "--direction", "BtoA"]) == 2
    assert "leave out --direction" in capsys.readouterr().err


def test_bad_files_do_not_stop_the_others(capsys):
    photo("in/a.png", 8, 8)
    photo("in/z.png", 8, 8)
    Path("in/empty.jpg").write_bytes(b"")
    Path("in/cut.png").write_bytes(Path("in/a.png").read_bytes()[:60])
    Path("in/notes.txt").write_text("x")
    Path("in/IMG_1.CR2").write_bytes(b"x")
    assert command("--input in --output out") == 1
    said = capsys.readouterr()
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.png", "z.png"] and "2 translated" in said.out
    assert "empty.jpg: cannot be read as an image (the file is empty)" in said.err and "cut.png" in said.err
    assert "1 x .cr2, 1 x .txt" in said.err
    assert command("--input in --output out --existing skip") == 1
    assert "0 translated into out, 2 were there" in capsys.readouterr().out


def test_memory_that_runs_out_costs_one_picture(monkeypatch, capsys):
    photo("in/a.png", 8, 8)
    photo("in/b.png", 8, 16)

    def run(self: object, x: np.ndarray, code: int) -> np.ndarray:
        if x.shape[1] == 16:
            raise MemoryError
        return x

    monkeypatch.setattr(translator.Translator, "__call__", run)
    assert command("--input in --output out") == 1
    assert "b.png: out of memory; --max_side" in capsys.readouterr().err and Path("out/a.png").exists()


def test_max_side_shrinks_picture_and_alpha():
    Image.fromarray(RNG.integers(0, 256, (40, 80, 4), np.uint8)).save("a.png")
    assert command("--input a.png --output out --max_side 20") == 0
    assert Image.open("out/a.png").size == (20, 10) and Image.open("out/a.png").mode == "RGBA"


def test_patterns_and_several_inputs_keep_their_folders():
    for name in ("p/a/1.png", "p/b/1.png", "p/b/2.jpg", "q.png"):
        photo(name, 8, 8)
    command("--input p/*/*.png --output o1")  # as a quoted pattern
    command("--input p/a/1.png p/b/1.png --output o2")  # as the shell spells it out
    command("--input p/b q.png --output o3 --format webp")
    made = [sorted(f.relative_to(o).as_posix() for f in Path(o).rglob("*.*")) for o in ("o1", "o2", "o3")]
    assert made == [["a/1.png", "b/1.png"], ["a/1.png", "b/1.png"], ["p/b/1.webp", "p/b/2.webp", "q.webp"]]


def test_outputs_among_the_inputs_are_not_translated_again():
    photo("p/a.png", 8, 8)
    assert command("--input p --output p/out") == 0
    assert command("--input p --output p/out --existing replace") == 0
    assert [f.as_posix() for f in Path("p").rglob("*.png")] == ["p/a.png", "p/out/a.png"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--output out", "--input is missing"),
        ("--input in", "--output is missing"),
        ("--input nowhere --output out", "nowhere: there is no such file"),
        ("--input in/*.gif --output out", "holds no pictures"),
        ("--input notes --output out", "holds no pictures .*seen: 1 x .txt"),
        ("--input in --output in", "would overwrite an input"),
        ("--input in/a.png --output in/a.png --existing replace", "would overwrite an input"),
        ("--input in --output o.png", "is one file, but there are 2 inputs"),
        ("--input in --output notes/x.txt", "x.txt: .txt is a kind of file"),
        ("--input in --output out.zip", "out.zip: .zip is a kind of file; wanted a folder"),
        (
            "--input in/a.png --output out.heic",
            "out.heic: .heic is a kind of file; .* of one input a file: .bmp .*[.]jpeg",
        ),
        ("--input in --output out --format gif", "--format gif: unknown"),
        ("--input in --output out --format png", "would both become"),
        ("--input in --output done", "1 of 2 outputs exist already"),
        ("--input in --output out --max_side -1", "--max_side is -1"),
        ("--input in --output out --weights nope.npz", "nope.npz: there is no such file"),
        ("--input in --output out --weights notes/x.txt", "unknown kind of weights"),
        ("--input in --output out --weights d.npz", "holds no generator.*seen disc_b"),
        ("--input in --output out --device cuda", "'cuda' cannot be used"),
    ],
)
def test_mistakes_are_told_and_write_nothing(line, said, capsys):
    photo("in/a.png", 8, 8)
    photo("in/a.jpg", 8, 8)
    photo("done/a.png", 8, 8)
    Path("notes").mkdir()
    Path("notes/x.txt").write_text("x")
    weights.save(Path("d.npz"), {"disc_b": NETWORKS["disc_b"]})
    before = {p: p.stat().st_mtime_ns for p in Path.cwd().rglob("*")}
    assert command(line) == 2
    assert pytest.RaisesExc(ValueError, match="(?s)error: .*" + said).matches(ValueError(capsys.readouterr().err))
    assert {p: p.stat().st_mtime_ns for p in Path.cwd().rglob("*")} == before


CODED = (
    "--name codes --device cpu --num_threads 0 --ngf 4 --ndf 2 --ndf_A 2 --load_size 16 --crop_size 16 --n_down 2 --n_blocks 1 "
    "--nlatent 2 --batch_size 2 --max_dataset_size 2 --n_epochs 1 --n_epochs_decay 0 --init_gain 1"
)


@pytest.mark.slow
@pytest.mark.parametrize("system", [augmented_cyclegan, stochastic_cyclegan])
def test_a_run_with_codes_gives_several_translations_the_same_codes_for_all(system, capsys):
    assert system.main([*CODED.split(), *(["--nef", "2"] if system is augmented_cyclegan else [])]) == 0
    for name, height, width in (("x", 17, 21), ("y", 16, 30)):  # odd sides, which the generators do not take
        pixels = RNG.integers(0, 256, (height, width), np.uint8)
        Path("gray").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(f"gray/{name}.png")
    line = ["--weights", "checkpoints/codes", "--device", "cpu", "--input", "gray", "--output"]
    assert main([*line, "out", "--codes", "3", "--format", "npy"]) == 0
    assert "6 translated" in capsys.readouterr().out
    assert sorted(p.name for p in Path("out").iterdir()) == [f"{n}_{i}.npy" for n in "xy" for i in (1, 2, 3)]
    model = from_run("codes", Path("checkpoints"), "latest", {}).model
    a = load_image("gray/y.png", 1)[None]
    for i, z in enumerate(model.codes(4)[:3]):  # those of the samples
        made = to_uint8(model.translate(a, "AtoB", z[None])[0])
        assert np.array_equal(np.load(f"out/y_{i + 1}.npy"), made)
    assert abs(np.load("out/y_1.npy").astype(int) - np.load("out/y_2.npy")).mean() > 1
    odd = padded(load_image("gray/x.png", 1), 2)[None]  # mirrored to even sides, then cut
    assert np.array_equal(
        np.load("out/x_2.npy"), to_uint8(model.translate(odd, "AtoB", model.codes(2)[1:])[0, :17, :21])
    )
    assert main([*line, "one"]) == 0 and {p.name for p in Path("one").iterdir()} == {"x.png", "y.png"}
    assert main([*line, "out", "--codes", "2", "--format", "npy"]) == 2
    assert "4 of 4 outputs exist already, such as out/x_1.npy" in capsys.readouterr().err
    photo("colour/b.png", 16, 18)
    back = [*line[:4], "--input", "colour", "--output", "back", "--direction", "BtoA"]
    assert main([*back, "--codes", "2"]) == 2 and not Path("back").exists()
    assert "--codes 2: this generator takes no code, and has one translation" in capsys.readouterr().err
    assert main(back) == 0
    with Image.open("back/b.png") as image:
        assert image.size == (18, 16) and image.mode == "L"
    page = both_ways("checkpoints/codes", "", "cpu")
    assert list(page) == ["AtoB", "BtoA"] and page["BtoA"].reconstruct(a[0]) is None  # it would want a code
    assert np.array_equal(
        page["AtoB"].reconstruct(load_image("colour/b.png")), page["BtoA"](load_image("colour/b.png"))
    )


@pytest.mark.slow
def test_two_sided_codes_lead_both_ways():
    assert augmented_cyclegan.main([*CODED.split(), "--nef", "2", "--two_sided"]) == 0
    photo("in/b.png", 16, 16)
    line = "--weights checkpoints/codes --device cpu --input in --output out --direction BtoA --codes 2"
    assert main(line.split()) == 0
    assert not np.array_equal(load_image("out/b_1.png"), load_image("out/b_2.png"))


def test_a_generator_without_codes_has_one_translation(capsys):
    photo("in/a.png", 8, 8)
    assert command("--input in --output out --codes 2") == 2 and not Path("out").exists()
    assert "takes no code" in capsys.readouterr().err
    assert command("--input in --output out --codes 0") == 2
    assert "--codes is 0; wanted at least 1" in capsys.readouterr().err
