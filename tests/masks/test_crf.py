import numpy as np
import pytest
from scipy import ndimage

from raypipe.masks.crf import Energy, grid_size, mean_field


def brute_force(unary, image, energy):
    """Mean field over all pairs of pixels, float64, written without any of the product's tricks."""
    classes, height, width = unary.shape
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(np.float64)
    colour = image.reshape(-1, 3).astype(np.float64)
    apart = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    shade = ((colour[:, None] - colour[None]) ** 2).sum(2)
    total = np.zeros((y.size, y.size))
    for weight, exponent in (
        (energy.bilateral, apart / energy.position**2 + shade / energy.colour**2),
        (energy.smoothness, apart / energy.radius**2),
    ):
        kernel = np.exp(-exponent / 2)
        norm = np.sqrt(kernel.sum(1))
        total += weight * kernel / norm[:, None] / norm[None, :]
    energies = unary.reshape(classes, -1).astype(np.float64)
    logits = -energies
    for step in range(energy.iterations + 1):
        q = np.exp(logits - logits.max(0))
        q /= q.sum(0)
        if step < energy.iterations:
            logits = -energies + q @ total
    return q.reshape(unary.shape)


def drawn(seed, height, width, classes, *, textured):
    """A random problem: an image of patches, smooth or noisy, and noisy unaries."""
    rng = np.random.default_rng(seed)
    base = ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (3, 3, 0))
    image = 128 + base / np.abs(base).max() * 90
    if textured:
        image += rng.normal(size=image.shape) * 30
        image[:, width // 2 :] += 40
    scores = ndimage.gaussian_filter(rng.normal(size=(classes, height, width)), (0, 1.5, 1.5))
    scores = 4 * scores / np.abs(scores).max()
    chances = np.exp(scores) / np.exp(scores).sum(0)
    return (-np.log(chances)).astype(np.float32), image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("textured", [False, True])
@pytest.mark.parametrize(
    ("seed", "height", "width", "classes"), [(0, 16, 16, 2), (1, 24, 18, 3), (2, 20, 24, 4)]
)
@pytest.mark.parametrize(
    "energy", [Energy(), Energy(bilateral=4, position=7, colour=25, smoothness=1, radius=2)]
)
def test_as_brute_force_over_all_pairs(seed, height, width, classes, textured, energy):
    unary, image = drawn(seed, height, width, classes, textured=textured)
    found = mean_field(unary, image, energy)
    expected = brute_force(unary, image, energy)
    assert np.abs(found - expected).max() < 1e-3
    # The pairwise terms matter here: the test would see their loss.
    assert np.abs(brute_force(unary, image, Energy(0, 1, 1, 0, 1)) - expected).max() > 0.05


def test_the_coarser_grid_loses_little_and_less_the_finer_it_is():
    unary, image = drawn(3, 64, 64, 3, textured=False)
    exact = mean_field(unary, image, Energy(max_pixels=4096))
    errors = [
        np.abs(mean_field(unary, image, Energy(max_pixels=cells)) - exact).mean()
        for cells in (256, 1024, 2304)
    ]
    assert errors[0] > errors[2]
    assert errors[1] < 0.02


def test_a_grid_keeps_the_shape_and_the_bound():
    assert grid_size(213, 320, 100_000) == (213, 320)
    for height, width in [(213, 320), (4000, 3), (1, 9000), (500, 500)]:
        rows, columns = grid_size(height, width, 1000)
        assert rows * columns <= 1000
        assert 1 <= rows <= height
        assert 1 <= columns <= width
    assert grid_size(200, 400, 5000) == (50, 100)


def test_a_clear_edge_moves_the_mask_to_it():
    image = np.zeros((24, 24, 3), np.uint8)
    image[:, 12:] = 200
    chance = np.full((24, 24), 0.2, np.float32)
    chance[:, 15:] = 0.8  # three pixels short of the edge
    unary = -np.log(np.stack([1 - chance, chance]))
    found = mean_field(unary, image, Energy()).argmax(0)
    assert (found == (image[..., 0] > 0)).all()
