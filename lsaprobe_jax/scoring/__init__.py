"""Scoring: settings of an experiment, rows as they come, evaluations and sweeps."""
