"""Measures the real stages on real data, beside baselines from the same run."""
