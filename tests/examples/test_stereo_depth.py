"""The example measures depth: on a scene whose depth is known by construction it must find it."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("skimage", reason="the examples need heapwright[examples]")

EXAMPLE = Path(__file__).parents[2] / "examples" / "stereo_depth.py"
SHIFT_PX = 5


@pytest.fixture(scope="module")
def stereo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stereo_depth", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stereo_depth"] = module
    spec.loader.exec_module(module)
    return module


def test_finds_the_shift_of_a_flat_scene(stereo: ModuleType) -> None:
    scene = np.random.default_rng(0).random((60, 100 + SHIFT_PX, 3))
    left, right = scene[:, :-SHIFT_PX], scene[:, SHIFT_PX:]

    disparity = stereo.disparity_map(left, right, direction=+1, candidates=12)
    mirror = stereo.disparity_map(right, left, direction=-1, candidates=12)
    valid = stereo.agreeing(disparity, mirror)

    assert valid[:, SHIFT_PX:].mean() > 0.95
    assert np.all(disparity[:, 2 * SHIFT_PX : -2 * SHIFT_PX] == SHIFT_PX)
    assert np.all(stereo.filled(disparity, valid)[:, 2 * SHIFT_PX : -2 * SHIFT_PX] == SHIFT_PX)


def test_hidden_pixels_take_the_background(stereo: ModuleType) -> None:
    disparity = np.full((9, 40), 3.0)
    disparity[:, 20:] = 11.0
    valid = np.ones_like(disparity, dtype=bool)
    valid[:, 15:20] = False
    disparity[~valid] = 50.0

    assert np.all(stereo.filled(disparity, valid)[:, :20] == 3.0)


def test_nearer_things_shift_more(stereo: ModuleType) -> None:
    near, far = stereo.metres(np.array([50.0, 10.0]))
    assert 0 < near < far
