"""Results as figures and pages, from rows and records alone (no JAX)."""
