"""How far away is the motorcycle?  Dense depth from the two photographs of a stereo camera.

The data are real: the "Motorcycle" pair of the Middlebury 2014 stereo benchmark, which the scikit-image
wheel carries together with the distances that a structured-light scanner measured.  The program matches every
pixel of the left photograph with one in the right photograph, turns the shift (the *disparity*) into metres,
compares it with the scanner, and draws the scene.

The method is fast cost-volume filtering (Hosni, Rhemann, Bleyer, Rother, Gelautz, PAMI 2013): for each
candidate disparity, how badly the shifted photographs disagree, smoothed by a filter that respects the edges
of the picture (guided filter; He, Sun, Tang, PAMI 2013); then each pixel takes its cheapest candidate.  To an
allocator it is what most array programs are: one volume that lives long, and thousands of temporaries that do
not, each the size of the picture.

    heapwright run examples/stereo_depth.py
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, data

Image = NDArray[np.float64]

DISPARITIES_MAX = 64
WINDOW_PX = 19
SMOOTHNESS = 1e-4
COLOUR_CAP, GRADIENT_CAP, GRADIENT_WEIGHT = 0.028, 0.008, 0.89

# Calibration of the camera, from the notes of `skimage.data.stereo_motorcycle`.
FOCAL_LENGTH_PX = 994.978
BASELINE_M = 0.193001
PRINCIPAL_OFFSET_PX = 31.086

SHADES = "@%#*+=-:. "


class GuidedFilter:
    """A box filter that stops at the edges of a colour photograph: q = a . guide + b in every window."""

    def __init__(self, guide: Image) -> None:
        self.guide = guide
        self.mean = [box(guide[..., c]) for c in range(3)]
        covariance = np.empty((*guide.shape[:2], 3, 3))
        for i in range(3):
            for j in range(i, 3):
                c = box(guide[..., i] * guide[..., j]) - self.mean[i] * self.mean[j]
                covariance[..., i, j] = covariance[..., j, i] = c
        self.precision = np.linalg.inv(covariance + SMOOTHNESS * np.eye(3))

    def __call__(self, image: Image) -> Image:
        mean = box(image)
        cross = [box(self.guide[..., c] * image) - self.mean[c] * mean for c in range(3)]
        slope = [sum(self.precision[..., i, j] * cross[j] for j in range(3)) for i in range(3)]
        offset = mean - slope[0] * self.mean[0] - slope[1] * self.mean[1] - slope[2] * self.mean[2]
        smooth = box(offset)
        for c in range(3):
            smooth = smooth + box(slope[c]) * self.guide[..., c]
        return smooth


def box(image: Image) -> Image:
    return ndimage.uniform_filter(image, WINDOW_PX, mode="nearest")


def shifted(image: Image, columns: int) -> Image:
    """``image`` moved right by ``columns``; what enters at the edge repeats the border."""
    index = np.clip(np.arange(image.shape[1]) - columns, 0, image.shape[1] - 1)
    return image[:, index]


def disparity_map(near: Image, far: Image, direction: int, candidates: int = DISPARITIES_MAX) -> Image:
    """The cheapest shift of ``far`` onto ``near``, pixel by pixel; ``candidates`` shifts are tried."""
    smooth = GuidedFilter(near)
    near_slope = ndimage.sobel(color.rgb2gray(near), axis=1) / 8
    far_slope = ndimage.sobel(color.rgb2gray(far), axis=1) / 8
    costs = np.empty((candidates, *near.shape[:2]), dtype=np.float32)
    for d in range(candidates):
        colour = np.abs(near - shifted(far, direction * d)).mean(axis=2)
        slope = np.abs(near_slope - shifted(far_slope, direction * d))
        colour_cost = (1 - GRADIENT_WEIGHT) * np.minimum(colour, COLOUR_CAP)
        costs[d] = smooth(colour_cost + GRADIENT_WEIGHT * np.minimum(slope, GRADIENT_CAP))
    return np.argmin(costs, axis=0).astype(np.float64)


def agreeing(left: Image, right: Image) -> NDArray[np.bool_]:
    """Pixels whose match in the other photograph matches back: the others are hidden from one camera."""
    rows, columns = np.indices(left.shape)
    back = right[rows, np.clip(columns - left.astype(int), 0, left.shape[1] - 1)]
    return np.abs(left - back) <= 1


def filled(disparity: Image, valid: NDArray[np.bool_]) -> Image:
    """Give what one camera cannot see to the background: the lower disparity of the nearest valid pixels."""
    columns = np.arange(disparity.shape[1])
    known = np.where(valid, columns, -1)
    before = np.maximum.accumulate(known, axis=1)
    after = np.where(valid, columns, disparity.shape[1])
    after = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
    rows = np.arange(disparity.shape[0])[:, None]
    left = np.where(before >= 0, disparity[rows, np.maximum(before, 0)], np.inf)
    right = np.where(after < disparity.shape[1], disparity[rows, np.minimum(after, disparity.shape[1] - 1)], np.inf)
    nearest = np.minimum(left, right)
    return ndimage.median_filter(np.where(np.isfinite(nearest), nearest, 0.0), size=7)


def metres(disparity: Image) -> Image:
    return BASELINE_M * FOCAL_LENGTH_PX / (disparity + PRINCIPAL_OFFSET_PX)


def picture(distance: Image, rows: int, columns: int) -> str:
    """The scene in characters, near dark and far light."""
    row = np.linspace(0, distance.shape[0] - 1, rows).astype(int)
    column = np.linspace(0, distance.shape[1] - 1, columns).astype(int)
    small = ndimage.median_filter(distance, size=9)[np.ix_(row, column)]
    rank = np.searchsorted(np.quantile(small, np.linspace(0, 1, len(SHADES) + 1)[1:-1]), small)
    return "\n".join("".join(SHADES[r] for r in line) for line in rank)


def report(where: str, error_px: Image, share: float) -> None:
    median, wrong = np.median(error_px), (error_px > 2).mean()
    print(f"{where:20} {share:6.1%}  median error {median:.2f} px, {wrong:.1%} off by more than 2 px")


def main() -> None:
    left_photo, right_photo, truth = data.stereo_motorcycle()
    left, right = left_photo / 255.0, right_photo / 255.0

    disparity = disparity_map(left, right, direction=+1)
    mirror = disparity_map(right, left, direction=-1)
    valid = agreeing(disparity, mirror)
    disparity = filled(disparity, valid)

    measured = np.isfinite(truth)
    error = np.abs(disparity - truth)
    distance = metres(disparity)
    print(picture(distance, rows=26, columns=96))
    print()
    print(f"{left.shape[1]} x {left.shape[0]} pixels, {DISPARITIES_MAX} candidate disparities, both directions")
    report("seen by both cameras", error[measured & valid], valid.mean())
    report("everywhere", error[measured], 1.0)
    nearest, middle, farthest = np.quantile(distance, [0.01, 0.5, 0.99])
    print(f"distance: nearest {nearest:.2f} m, median {middle:.2f} m, farthest {farthest:.2f} m")


if __name__ == "__main__":
    main()
