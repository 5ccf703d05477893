"""What is watched: probe -> records -> aggregation -> report."""
