"""pandas and polars: grouping, windows, joins, reshaping, and reading text."""

import io

import numpy as np

from benchmarks.workloads import Work


def pandas_groupby_transform() -> Work:
    import pandas as pd

    rng = np.random.default_rng(11)
    rows = 1_200_000
    frame = pd.DataFrame(
        {
            "key": rng.integers(0, 2_000, rows),
            "kind": pd.Categorical.from_codes(rng.integers(0, 12, rows), list("abcdefghijkl")),
            "x": rng.standard_normal(rows),
            "y": rng.standard_normal(rows),
        }
    )

    def work() -> object:
        groups = frame.groupby("key")
        centred = frame[["x", "y"]] - groups[["x", "y"]].transform("mean")
        ranked = groups["x"].rank(pct=True)
        summary = frame.groupby(["kind", "key"], observed=True)[["x", "y"]].agg(["mean", "std", "max"])
        running = groups["y"].cumsum()
        return centred, ranked, summary, running

    return work


def pandas_rolling_resample() -> Work:
    import pandas as pd

    rng = np.random.default_rng(12)
    index = pd.date_range("2024-01-01", periods=1_000_000, freq="s")
    frame = pd.DataFrame(rng.standard_normal((len(index), 3)).cumsum(axis=0), index=index, columns=list("abc"))

    def work() -> object:
        rolling = frame.rolling(300).agg(["mean", "std"])
        smooth = frame.ewm(halflife=60).mean()
        hourly = frame.resample("1h").ohlc()
        change = (frame / smooth).pct_change().clip(-1, 1)
        return rolling, hourly, change

    return work


def pandas_merge_sort_pivot() -> Work:
    import pandas as pd

    rng = np.random.default_rng(13)
    rows = 900_000
    sales = pd.DataFrame(
        {
            "shop": rng.integers(0, 3_000, rows),
            "item": rng.integers(0, 400, rows),
            "day": rng.integers(0, 365, rows),
            "amount": rng.gamma(2.0, 10.0, rows),
        }
    )
    shops = pd.DataFrame({"shop": np.arange(3_000), "region": rng.integers(0, 40, 3_000)})

    def work() -> object:
        joined = sales.merge(shops, on="shop")
        ordered = joined.sort_values(["region", "day", "amount"])
        table = ordered.pivot_table(index="day", columns="region", values="amount", aggfunc="sum")
        unique = ordered.drop_duplicates(["shop", "item"])
        wide = unique.set_index(["shop", "item"])["amount"].unstack(fill_value=0.0)
        return ordered, table, wide

    return work


def pandas_read_csv() -> Work:
    import pandas as pd

    rng = np.random.default_rng(14)
    rows = 450_000
    text = io.StringIO()
    pd.DataFrame(
        {
            "time": pd.date_range("2020-01-01", periods=rows, freq="min").astype(str),
            "count": rng.integers(0, 10_000, rows),
            "name": rng.choice(["alpha", "beta", "gamma", "delta"], rows),
            "value": rng.standard_normal(rows).round(6),
            "other": rng.standard_normal(rows).round(6),
        }
    ).to_csv(text, index=False)
    csv = text.getvalue()

    def work() -> object:
        frame = pd.read_csv(io.StringIO(csv), parse_dates=["time"], dtype={"name": "category"})
        monthly = frame.groupby([frame["time"].dt.to_period("M"), "name"], observed=True)[["count", "value"]].mean()
        missing = frame.mask(frame["count"] < 500)
        return frame, monthly.to_numpy(), missing["other"].interpolate(), missing.describe().to_numpy()

    return work


def polars_groupby_join() -> Work:
    import polars as pl

    rng = np.random.default_rng(15)
    rows = 1_500_000
    frame = pl.DataFrame(
        {
            "key": rng.integers(0, 50_000, rows),
            "day": rng.integers(0, 365, rows),
            "x": rng.standard_normal(rows),
            "y": rng.standard_normal(rows),
        }
    )
    names = pl.DataFrame({"key": np.arange(50_000), "weight": rng.random(50_000)})

    def work() -> object:
        joined = frame.join(names, on="key").with_columns((pl.col("x") * pl.col("weight")).alias("z"))
        groups = joined.group_by("key").agg(pl.col("z").max(), pl.col("y").min(), pl.len()).sort("key")
        rolling = joined.sort("day", "key", "x").select(pl.col("z").rolling_mean(50), pl.col("y").rolling_max(50))
        return groups.to_numpy(), rolling.to_numpy()

    return work
