"""scikit-learn: mixture, decomposition, clustering, and a preprocessing pipeline."""

import numpy as np

from benchmarks.workloads import Work


def sklearn_gaussian_mixture() -> Work:
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(1)
    points = np.vstack([rng.normal(centre, 1.0, (15_000, 8)) for centre in range(8)])

    def work() -> object:
        model = GaussianMixture(8, max_iter=12, tol=0.0, init_params="random_from_data", random_state=0)
        labels = model.fit_predict(points)
        return labels, model.means_, model.score_samples(points)

    import warnings

    warnings.filterwarnings("ignore", message="Best performing initialization did not converge")
    return work


def sklearn_pca() -> Work:
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(2)
    table = rng.standard_normal((20_000, 300)) @ rng.standard_normal((300, 300))

    def work() -> object:
        model = PCA(40, svd_solver="covariance_eigh")
        reduced = model.fit_transform(table)
        restored = model.inverse_transform(reduced)
        randomized = PCA(20, svd_solver="randomized", random_state=0).fit_transform(table)
        return reduced, ((table - restored) ** 2).mean(axis=1), randomized

    return work


def sklearn_kmeans() -> Work:
    from sklearn.cluster import KMeans, MiniBatchKMeans

    rng = np.random.default_rng(3)
    points = rng.standard_normal((200_000, 16)) + rng.integers(0, 6, (200_000, 1))

    def work() -> object:
        full = KMeans(24, n_init=1, max_iter=40, random_state=0).fit(points)
        batch = MiniBatchKMeans(24, n_init=1, batch_size=4096, max_iter=10, random_state=0).fit(points)
        return full.labels_, full.cluster_centers_, batch.transform(points)

    return work


def sklearn_pipeline() -> Work:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    rng = np.random.default_rng(4)
    table = rng.standard_normal((30_000, 20))
    target = table[:, 0] * table[:, 1] + rng.standard_normal(30_000)

    def work() -> object:
        model = make_pipeline(StandardScaler(), PolynomialFeatures(2), StandardScaler(), Ridge(1.0))
        folds = np.array_split(np.arange(len(table)), 4)
        predictions = []
        for fold in folds:
            train = np.setdiff1d(np.arange(len(table)), fold)
            predictions.append(model.fit(table[train], target[train]).predict(table[fold]))
        return np.concatenate(predictions)

    return work
