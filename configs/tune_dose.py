r"""What is tried for the dose benchmark, on its tune tracks, after 30 and 300 passes.

  for family in diffwave musicldm; do
    python -m launch.tune --config=configs/tune_dose.py:$family \
      --workdir=runs/tune-dose-$family
  done
  python -m benchmarks.choose --tried=runs/tune-dose-diffwave,runs/tune-dose-musicldm \
    --families=diffwave,musicldm --output=configs/dose_settings.json

The models are those of configs/train_dose.py. Every method is tried at two to four
times, random directions at four budgets and times, and each form of the probe at eight:
two times and four eta_ref, which are read off the same curves. The costliest baselines
are tried on MusicLDM alone, whose network is the cheaper one. `benchmarks.choose`
takes the setting of each method whose AUC is the highest on average over both doses and
all four calibrations, and writes all of them with their hash, before a test track is
scored.
"""

from ml_collections import ConfigDict

from configs import mini, train_dose

DOSES = (30, 300)
# Settings of the other families are taken over by log-SNR (configs/sweep_dose.py).
FAMILIES = ("diffwave", "musicldm")
_TIMES = {
  "loss": (0.05, 0.1, 0.2, 0.4),
  "rediffuse": (0.05, 0.1, 0.2),
  "path_error": (0.2, 0.4),
  "trajectory": (0.1, 0.2, 0.4),
  "pia": (0.1, 0.2, 0.4),
  "pian": (0.1, 0.2, 0.4, 0.6),
  "sima": (0.05, 0.1, 0.2),
  "secmi": (0.1, 0.2, 0.4, 0.6),
}
# Tried on MusicLDM alone.
COSTLY = {
  "pfami": (0.1, 0.2, 0.4),
  "gradient_norm": (0.1, 0.2, 0.6),
  "second_order": (0.1, 0.2),
  "noise_optimisation": (0.1, 0.2),
}
_RANDOM_ETAS, _RANDOM_TIMES = (0.2, 0.8), (0.1, 0.2)
_PROBE_TIMES = (0.1, 0.2)
_ETA_REFS = (0.05, 0.11, 0.24, 0.4)
# The one twin that carries signal in both families.
_TWINS = ("reversal",)
# One gradient at each of eight budgets and two of warming up, where configs/mini.py has
# 34 gradients: a study scores some 7,000 clips under each form of the probe.
_SEARCH = dict(rungs=8, steps=1)
_DISTANCES = {"diffwave": "waveform"}


def common(family: str) -> dict:
  """What all evaluations of a family share, whatever is chosen."""
  return dict(
    corpus=dict(
      path="runs/corpora/dose",
      clip_seconds=train_dose.CLIP_SECONDS,
      clips_per_track=train_dose.CLIPS_PER_TRACK,
      dev_clips_per_track=1,
    ),
    distance=_DISTANCES.get(family, "mr_stft"),
    twins=dict(names=_TWINS),
    search=dict(continuation=_SEARCH),
  )


def get_config(family: str = "diffwave") -> ConfigDict:
  if family not in FAMILIES:
    known = ", ".join(FAMILIES)
    raise ValueError(f"configs/tune_dose.py:{family}: known: {known}")
  base = mini.get_config("multigenre")
  base.update(common(family))
  base.part = "tune"
  base.corpus.clips_per_track = 1
  base.targets = ConfigDict(train_dose.targets(family, DOSES[0]))
  grid = []
  for dose in DOSES:
    targets = train_dose.targets(family, dose)
    models = {f"targets.{name}": path for name, path in targets.items()}
    grid += [tried | models for tried in _tried(family)]
  return ConfigDict(dict(base=base, eta_refs=_ETA_REFS, grid=grid))


def _tried(family):
  """What is tried under the models of one dose."""
  costly = COSTLY if family == "musicldm" else {}
  for method, times in (_TIMES | costly).items():
    for t in times:
      yield {"methods": (method,), f"baselines.{method}.t_ratio": t}
  if family == "musicldm":
    # Against the clip as its autoencoder gives it back, as the anchored probe has it.
    for t in _TIMES["rediffuse"]:
      own = {"t_ratio": t, "decoded": True}
      own = {f"baselines.rediffuse.{name}": v for name, v in own.items()}
      yield {"methods": ("rediffuse",)} | own
  for t in _RANDOM_TIMES:
    for eta in _RANDOM_ETAS:
      own = {"t_ratio": t, "eta": eta}
      own = {f"baselines.random_stability.{name}": v for name, v in own.items()}
      yield {"methods": ("random_stability",)} | own
  for t in _PROBE_TIMES:
    yield {"methods": ("lsa_probe",), "t_ratio": t}
    yield {"methods": ("lsa_probe_anchored",), "anchored.t_ratio": t}
