"""xarray, statsmodels, astropy, colour-science, and NumPy on its own."""

import numpy as np

from benchmarks.workloads import Work


def xarray_groupby_rolling() -> Work:
    import pandas as pd
    import xarray as xr

    rng = np.random.default_rng(41)
    days = pd.date_range("2021-01-01", periods=1_096)
    temperature = xr.DataArray(
        rng.standard_normal((len(days), 60, 90)),
        dims=("time", "latitude", "longitude"),
        coords={"time": days, "latitude": np.linspace(-60, 60, 60), "longitude": np.linspace(0, 360, 90)},
    )

    def work() -> object:
        climate = temperature.groupby("time.month").mean()
        anomaly = temperature.groupby("time.month") - climate
        smooth = anomaly.rolling(time=7, center=True).mean()
        weights = np.cos(np.deg2rad(temperature["latitude"]))
        series = smooth.weighted(weights).mean(("latitude", "longitude"))
        coarse = anomaly.coarsen(latitude=5, longitude=5).max()
        return climate.to_numpy(), series.to_numpy(), coarse.to_numpy(), smooth.std("time").to_numpy()

    return work


def statsmodels_regression() -> Work:
    import statsmodels.api as sm

    rng = np.random.default_rng(42)
    table = sm.add_constant(rng.standard_normal((60_000, 24)))
    rate = np.exp(0.1 * table[:, :6].sum(axis=1))
    counts = rng.poisson(rate)

    def work() -> object:
        poisson = sm.GLM(counts, table, family=sm.families.Poisson()).fit()
        least = sm.OLS(np.log1p(counts), table).fit(cov_type="HC3")
        robust = sm.RLM(np.log1p(counts), table).fit(maxiter=8)
        smooth = sm.nonparametric.lowess(counts[:4_000], table[:4_000, 1], frac=0.1)
        return poisson.params, poisson.resid_deviance, least.bse, robust.params, smooth

    return work


def astropy_coordinates() -> Work:
    from astropy import units
    from astropy.convolution import Gaussian2DKernel, convolve, convolve_fft
    from astropy.coordinates import SkyCoord
    from astropy.stats import sigma_clip

    rng = np.random.default_rng(43)
    sky = SkyCoord(rng.uniform(0, 360, 500_000) * units.deg, rng.uniform(-90, 90, 500_000) * units.deg)
    image = rng.standard_normal((1000, 1000))
    image[rng.random(image.shape) < 0.01] = np.nan
    frames = rng.standard_normal((40, 400, 400))

    def work() -> object:
        galactic = sky.galactic
        apart = sky[:-1].separation(sky[1:]).deg
        smooth = convolve(image, Gaussian2DKernel(2))
        wide = convolve_fft(image, Gaussian2DKernel(12))
        clipped = sigma_clip(frames, sigma=2.5, axis=0)
        return galactic.l.deg, galactic.b.deg, apart, smooth, wide, clipped.filled(0.0)

    return work


def colour_delta_e() -> Work:
    import warnings

    warnings.filterwarnings("ignore")
    import colour

    rng = np.random.default_rng(44)
    photo = rng.random((600, 800, 3))
    other = np.clip(photo + 0.02 * rng.standard_normal(photo.shape), 0, 1)

    def work() -> object:
        first, second = (colour.XYZ_to_Lab(colour.sRGB_to_XYZ(image)) for image in (photo, other))
        return (
            first,
            colour.delta_E(first, second, method="CIE 2000"),
            colour.XYZ_to_sRGB(colour.Lab_to_XYZ(second)),
        )

    return work


def numpy_sort_histogram() -> Work:
    rng = np.random.default_rng(45)
    samples = rng.standard_normal(2_000_000)

    def work() -> object:
        ordered = np.sort(samples)
        order = np.argsort(samples[:500_000], kind="stable")
        counts, edges = np.histogram(samples, bins=500)
        quantiles = np.quantile(samples, np.linspace(0, 1, 101))
        unique, inverse = np.unique(samples.round(3), return_inverse=True)
        moments = [((samples - samples.mean()) ** power).mean() for power in (2, 3, 4)]
        return ordered, order, counts, edges, quantiles, unique, inverse, np.array(moments)

    return work
