r"""The paper's settings for DiffWave (Liu et al., ICASSP 2026), as far as it has them.

  pip install --no-deps cdpam==0.0.6  # the weights of its distance
  python -m launch.eval --config=configs/paper_diffwave.py --workdir=runs/paper

As it stands it runs the paper's search on the embedded benchmark: up to 660
differentiated reverse processes a clip, hours on two CPU cores (`--limit=3` for a
look). On the paper's data, built by `launch.corpus` (docs/datasets.md) below `data`,
with models that `configs/paper_train.py` trains on its halves:

  python -m launch.eval --config=configs/paper_diffwave.py:maestro --workdir=runs/dm
  python -m launch.eval --config=configs/paper_diffwave.py:fma --workdir=runs/df

On fresh ground, tracks and models of configs/sweep_extra.py, without a reference model:

  python -m launch.eval --config=configs/paper_diffwave.py:extra --workdir=runs/pe

For models and a corpus of your own, the same without a reference model:

  python -m launch.eval --config=configs/paper_diffwave.py:extra --workdir=runs/own \
    --config.corpus.path=FOLDER --config.corpus.clip_seconds=4.0 \
    --config.targets.A=MODEL_FOLDER --config.targets.B=OTHER_MODEL_FOLDER

The paper fixes t, eta_max, eta_ref, the quantile and the search. It does not fix the
scale of the norm (here: root mean square), the number of DDIM steps or the number of
clips a track. The times of the baselines are those of tune tracks of the embedded
benchmark (benchmarks/tune_mini.md).
"""

from ml_collections import ConfigDict

# Segments of 4 s at 22,050 Hz of whole tracks, as `launch.corpus` names the folders.
_FOLDERS = {
  "maestro": "data/maestro_v3/22050hz-4s-all/1.0.0",
  "fma": "data/fma/large-22050hz-4s-all/1.0.0",
}


def get_config(corpus: str = "multigenre") -> ConfigDict:
  config = ConfigDict()
  config.seed = 0
  if corpus in _FOLDERS:
    config.targets = {
      name: f"runs/train/diffwave-{corpus}-{name.lower()}/model"
      for name in ("A", "B", "reference")
    }
    config.corpus = dict(path=_FOLDERS[corpus], clip_seconds=4.0)
    # Nothing was tuned on these: every track is a test track.
    config.part = "all"
  elif corpus == "multigenre":
    config.targets = {
      "A": "diffwave-multigenre-a",
      "B": "diffwave-multigenre-b",
      "reference": "diffwave-multigenre-reference",
    }
    config.corpus = dict(path="multigenre", clip_seconds=0.512)
    config.part = "test"
  elif corpus == "extra":
    config.targets = {name: f"runs/train/extra-{name.lower()}/model" for name in "AB"}
    config.corpus = dict(path="runs/corpora/extra", clip_seconds=0.512)
    config.part = "all"
  else:
    known = ", ".join(("multigenre", "extra", *_FOLDERS))
    raise ValueError(f"configs/paper_diffwave.py:{corpus}: known: {known}")
  config.corpus.clips_per_track = 1
  config.corpus.dev_clips_per_track = 2 if corpus == "extra" else 3
  # Only the first seconds of each clip are scored; 0 scores all of it.
  config.corpus.scored_seconds = 0.0
  config.untrained = False

  # The probe, as the paper has it.
  config.t_ratio = 0.6
  config.num_inference_steps = 10
  config.distance = "cdpam"
  config.tau = dict(eta_ref=0.05, quantile=0.95)
  config.search = dict(
    name="bisection",
    eta_max=0.8,
    norm="rms",
    bisection=dict(
      halvings=10,
      ascent_steps=12,
      step_size=0.25,
      momentum=0.9,
      restarts=5,
      min_gain=0.01,
      patience=3,
      min_gradient=1e-6,
    ),
    # Affordable: --config.search.name=continuation takes 34 gradients a clip.
    continuation=dict(span=16.0, rungs=16, steps=2, warmup=2, momentum=0.8, restarts=1),
  )

  # The baselines of the paper's table, as they are and with the probe's NFE; and the
  # probe without its search.
  config.methods = (
    "loss",
    "trajectory",
    "secmi",
    "random_stability",
    "lsa_probe",
    "loss_nfe_matched",
    "trajectory_nfe_matched",
    "secmi_nfe_matched",
  )
  config.baselines = dict(
    loss=dict(t_ratio=0.4, draws=4),
    trajectory=dict(t_ratio=0.4, times=4),
    secmi=dict(t_ratio=0.6, steps=10),
    random_stability=dict(t_ratio=0.2, eta=0.8, draws=4),
  )

  config.precision = "float32"
  config.stop_at = "waveform"
  # As many clips at once as fit the device.
  config.batch_size = 0
  config.bootstrap_resamples = 10_000
  return config
