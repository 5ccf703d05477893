"""SciPy's signals and sparse matrices, PyWavelets."""

import numpy as np

from benchmarks.workloads import Work


def scipy_spectrogram() -> Work:
    from scipy import signal

    rng = np.random.default_rng(21)
    samples = signal.chirp(np.linspace(0, 60, 2_400_000), 50, 60, 8_000) + 0.1 * rng.standard_normal(2_400_000)
    kernel = signal.windows.hann(20_001)

    def work() -> object:
        _, _, power = signal.spectrogram(samples, nperseg=2048, noverlap=1536)
        smooth = signal.fftconvolve(samples, kernel, mode="same")
        envelope = np.abs(signal.hilbert(samples))
        filtered = signal.sosfiltfilt(signal.butter(4, 0.2, output="sos"), samples)
        decibels = 10 * np.log10(power + 1e-12)
        return decibels, smooth, envelope, signal.resample_poly(filtered, 3, 4)

    return work


def scipy_sparse() -> Work:
    from scipy import sparse
    from scipy.sparse import linalg

    size = 500
    line = sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(size, size))
    eye = sparse.eye_array(size)
    laplacian = (sparse.kron(line, eye) + sparse.kron(eye, line)).tocsr()
    load = np.random.default_rng(22).standard_normal(size * size)

    def work() -> object:
        solution, _ = linalg.cg(laplacian, load, rtol=0.0, maxiter=120)
        squared = laplacian @ laplacian
        shifted = (squared + 0.5 * laplacian.T).tocsc()
        return (
            solution,
            shifted.data,
            shifted.indices,
            linalg.spsolve(laplacian[:20_000, :20_000].tocsc(), load[:20_000]),
        )

    return work


def pywavelets_wavedec2() -> Work:
    import pywt

    image = np.random.default_rng(23).standard_normal((1536, 1536)).cumsum(axis=0).cumsum(axis=1)

    def work() -> object:
        restored = []
        for wavelet in ("db4", "sym8", "bior4.4"):
            coefficients = pywt.wavedec2(image, wavelet, level=5)
            kept, where = pywt.coeffs_to_array(coefficients)
            threshold = np.quantile(np.abs(kept), 0.95)
            sparse = pywt.array_to_coeffs(pywt.threshold(kept, threshold), where, output_format="wavedec2")
            restored.append(pywt.waverec2(sparse, wavelet))
        return restored

    return work
