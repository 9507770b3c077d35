"""The configuration of a DiffWave that compiles in seconds, with a strong schedule."""

MODEL = {
  "family": "diffwave",
  "network": {"channels": 4, "layers": 2, "dilation_cycle": 2, "embedding_width": 8},
  "schedule": {
    "name": "linear",
    "num_train_timesteps": 20,
    "beta_start": 1e-3,
    "beta_end": 0.2,
  },
  "sample_rate": 8000,
  "scale": 4.0,
}
