"""The sample grid shows the right pixels in the right places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train.errors import UserError
from train.report.samples import GUTTER, MARGIN, sample_grid, save_png


def flat(value: float, height: int = 64, width: int = 64, channels: int = 3) -> np.ndarray:
    return np.full((height, width, channels), value, np.float32)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def boxes(image: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of all that has this colour."""
    y, x = np.nonzero((pixels(image) == colour).all(axis=-1))
    return int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1


RED, GREEN, BLUE = (
    np.array(c, np.float32) * np.ones((64, 64, 3), np.float32) for c in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1))
)


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    ramp = np.linspace(-1, 1, 64 * 64 * 3, dtype=np.float32).reshape(64, 64, 3)
    grid = sample_grid([{"real A": ramp, "fake B": RED}])
    left, top, width, height = boxes(grid, (255, 0, 0))
    assert (width, height) == (128, 128) and left == MARGIN + 128 + GUTTER
    cell = pixels(grid)[top : top + 128, MARGIN : MARGIN + 128]
    want = np.rint((ramp + 1) * 127.5).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    assert (cell == want).all()


@pytest.mark.parametrize(("size", "shown"), [(256, 256), (128, 128), (100, 200), (17, 136), (500, 500)])
def test_cells_are_at_least_128_pixels(size: int, shown: int) -> None:
    grid = sample_grid([{"x": np.broadcast_to(RED[0, 0], (size, size, 3))}])
    assert boxes(grid, (255, 0, 0))[2:] == (shown, shown)


def test_rows_and_columns_are_in_order() -> None:
    grid = sample_grid([{"a": RED, "b": GREEN}, {"a": BLUE, "b": flat(0)}])
    red, green, blue = (boxes(grid, c) for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    assert red[1] == green[1] and green[0] == red[0] + 128 + GUTTER
    assert blue[0] == red[0] and blue[1] == red[1] + 128 + GUTTER  # one heading for both rows


def test_other_labels_begin_a_new_block_with_a_heading() -> None:
    one = sample_grid([{"real A": RED}, {"real A": BLUE}])
    two = sample_grid([{"real A": RED}, {"real B": BLUE}])
    assert two.height > one.height
    top, between = boxes(two, (255, 0, 0)), boxes(two, (0, 0, 255))
    heading = pixels(two)[top[1] + 128 : between[1], MARGIN : MARGIN + 128]
    assert (heading < 100).all(axis=-1).any()  # ink


def test_the_label_is_written() -> None:
    grids = [pixels(sample_grid([{label: flat(1)}])) for label in ("real A", "real B", "")]
    assert grids[0].shape == grids[1].shape and (grids[0] != grids[1]).any()
    assert (grids[2] == 255).all() and not (grids[0] == 255).all()


def test_a_long_label_stays_within_its_column() -> None:
    grid = pixels(sample_grid([{"a label that is far too long for it": flat(1), "b": flat(1)}]))
    assert (grid[:, MARGIN + 128 : MARGIN + 128 + GUTTER] == 255).all()
    assert (grid[:, : MARGIN - 1] == 255).all()


def test_a_title_stands_above() -> None:
    plain, titled = sample_grid([{"a": RED}]), sample_grid([{"a": RED}], title="step 100")
    assert titled.height > plain.height
    assert boxes(titled, (255, 0, 0))[1] - boxes(plain, (255, 0, 0))[1] == titled.height - plain.height


def test_gray_and_other_sizes_and_values_beyond() -> None:
    gray, wide = flat(-1, channels=1), np.broadcast_to(RED[0, 0] * 7, (40, 90, 3))  # 7: clipped, not wrapped
    grid = sample_grid([{"real A": gray, "fake B": wide}, {"real A": gray, "fake B": wide}])
    assert boxes(grid, (255, 0, 0))[2:] == (180, 128 + GUTTER + 80)
    assert (pixels(grid) == 0).all(axis=-1).sum() >= 2 * 128 * 128


def test_a_nan_is_black_not_noise() -> None:
    grid = sample_grid([{"": flat(np.nan)}])
    assert set(np.unique(pixels(grid))) == {0, 255}


def test_png_is_written_atomically(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "step_1.png"
    grid = sample_grid([{"a": RED}])
    save_png(path, grid)
    save_png(path, grid)
    with Image.open(path) as back:
        assert back.format == "PNG" and (pixels(back) == pixels(grid)).all()
    assert [p.name for p in path.parent.iterdir()] == ["step_1.png"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"step_1\.png: cannot be written"):
        save_png(tmp_path / "file" / "step_1.png", grid)
