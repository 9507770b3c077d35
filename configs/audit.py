"""What launch.audit does where it is not told otherwise.

  python -m launch.audit --model=DIR --suspects=FOLDER --reference=FOLDER --workdir=DIR

The search, t, the distance, eta_ref and the baselines' settings are those of
configs/mini.py, chosen on tune tracks for the small embedded DiffWaves; so are the
methods: the three baselines that were best there, at equal weights with the probe. For
a model of another kind they are untuned, which costs power and not validity.
"""

from ml_collections import ConfigDict

from configs import mini

METHODS = ("loss", "rediffuse", "gradient_norm", "lsa_probe")


def get_config() -> ConfigDict:
  config = mini.get_config()
  for name in ("sweep", "max_degradation", "part", "bootstrap_resamples"):
    del config[name]
  config.targets = ConfigDict(dict(model=""))
  config.corpus = ConfigDict(
    dict(
      # Seconds; 0 for those of the clips that the model was trained on, where its
      # folder says so, and else 4.
      clip_seconds=0.0,
      # Of every track, fewer if one has fewer: all tracks must have the same number.
      clips_per_track=4,
    )
  )
  config.methods = METHODS
  # Of the verdicts; the reference must be the larger, the smaller it is.
  config.alpha = 0.05
  config.permutations = 9_999
  # `known`: whole albums are exchanged where tags, packages or folders tell them;
  # `tracks`: tracks are taken for independent in any case, and the verdict says so.
  config.albums = "known"
  return config
