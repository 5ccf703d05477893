"""scipy.ndimage and scikit-image."""

import numpy as np

from benchmarks.workloads import Work


def scipy_ndimage() -> Work:
    from scipy import ndimage

    volume = np.random.default_rng(31).random((96, 192, 192))

    def work() -> object:
        smooth = ndimage.gaussian_filter(volume, 2.0)
        edges = ndimage.gaussian_gradient_magnitude(volume, 1.5)
        labels, count = ndimage.label(smooth > np.quantile(smooth, 0.6))
        sizes = ndimage.sum_labels(np.ones_like(volume), labels, np.arange(count + 1))
        distance = ndimage.distance_transform_edt(labels == 0)
        moved = ndimage.zoom(edges, 0.75, order=1)
        return edges, labels, sizes, distance, moved

    return work


def skimage_features() -> Work:
    from skimage import color, data, feature, filters, measure, morphology, transform

    photo = transform.resize(data.astronaut(), (640, 640))

    def work() -> object:
        lab = color.rgb2lab(photo)
        grey = color.rgb2gray(photo)
        edges = feature.canny(grey, sigma=2.0)
        ridges = filters.sato(grey, sigmas=(1, 2, 3))
        binary = morphology.opening(grey > filters.threshold_local(grey, 51), morphology.disk(2))
        regions = measure.label(binary)
        areas = [region.area for region in measure.regionprops(regions)]
        corners = feature.corner_peaks(feature.corner_harris(grey), min_distance=5)
        return lab, edges, ridges, regions, np.array(areas), corners

    return work


def skimage_denoise_tv() -> Work:
    from skimage import data, restoration, transform

    rng = np.random.default_rng(33)
    photo = transform.resize(data.chelsea(), (600, 900))
    noisy = photo + 0.1 * rng.standard_normal(photo.shape)

    def work() -> object:
        smooth = restoration.denoise_tv_chambolle(noisy, weight=0.1, max_num_iter=25, channel_axis=-1)
        kernel = np.ones((7, 7)) / 49
        sharp = restoration.richardson_lucy(noisy[..., 0].clip(0.01, 1), kernel, num_iter=6)
        return smooth, sharp, restoration.estimate_sigma(noisy, channel_axis=-1)

    return work
