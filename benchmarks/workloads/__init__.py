"""Twenty programs that other people's libraries make: what an allocator under NumPy has to be good at.

Each workload is a function named after what it does.  Calling it imports the library and builds a
deterministic input (not measured); it returns a second function without arguments, which does the library
calls (measured) and returns their results, from which `benchmarks.digest` takes a bit-exact digest.

The list was fixed before any rival was measured on it, and nothing was taken out afterwards: some rows are
bound by BLAS, some by Python, some use memory that is not NumPy's, and there no allocator for NumPy can gain.
"""

from collections.abc import Callable
from importlib import import_module

Work = Callable[[], object]

#: name -> the module of this package that holds it
HOME: dict[str, str] = {
    "sklearn_gaussian_mixture": "learning",
    "sklearn_pca": "learning",
    "sklearn_kmeans": "learning",
    "sklearn_pipeline": "learning",
    "pandas_groupby_transform": "tables",
    "pandas_rolling_resample": "tables",
    "pandas_merge_sort_pivot": "tables",
    "pandas_read_csv": "tables",
    "polars_groupby_join": "tables",
    "scipy_spectrogram": "signals",
    "scipy_sparse": "signals",
    "pywavelets_wavedec2": "signals",
    "scipy_ndimage": "images",
    "skimage_features": "images",
    "skimage_denoise_tv": "images",
    "xarray_groupby_rolling": "science",
    "statsmodels_regression": "science",
    "astropy_coordinates": "science",
    "colour_delta_e": "science",
    "numpy_sort_histogram": "science",
}


def prepare(name: str) -> Work:
    """Import what workload ``name`` needs, build its input, and return the function to measure."""
    module = import_module(f"{__name__}.{HOME[name]}")
    work: Work = getattr(module, name)()
    return work
