r"""The dose benchmark's models: a base on a broad group, and fine-tunes of it.

  for family in diffwave musicldm; do
    python -m launch.train --config=configs/train_dose.py:$family,base \
      --workdir=runs/train/dose-$family-base
    for group in a b; do
      python -m launch.train --config=configs/train_dose.py:$family,$group \
        --workdir=runs/train/dose-$family-$group
    done
  done

The corpus is `dose` (docs/datasets.md). The base sees 8 clips of each of 142 tracks
that are in neither half. A fine-tune goes on from it with two clips of each of the 48
tracks of one half, at a constant learning rate, and is kept after 1, 3, 10, 30, 100 and
300 passes: the learning rate does not know when it will end, so that a snapshot is what
a shorter fine-tune would have given. `diffwave,a,1` draws with another seed, and
`diffwave,a,0,piano` fine-tunes the same base on chorales (the corpus `dose-piano`).
The families `stable_audio` and `ace_step` need their autoencoder first:

  python -m launch.train --config=configs/train_stable_audio.py \
    --workdir=runs/train/stable-audio-vae
"""

from ml_collections import ConfigDict

from configs import train_ace_step, train_diffwave, train_musicldm, train_stable_audio

FAMILIES = ("diffwave", "musicldm", "stable_audio", "ace_step")
DOSES = (1, 3, 10, 30, 100, 300)
# Passes after which the fine-tunes of a family end, where that is earlier.
_LAST = {"ace_step": 100}
CLIP_SECONDS = 1.024
# Clips of a track that fine-tunes see, all of which are judged.
CLIPS_PER_TRACK = 2
# Passes of the base over its clips: what half an hour of one CPU core has time for.
_BASE_EPOCHS = {"diffwave": 30, "musicldm": 150, "stable_audio": 30, "ace_step": 30}
_BASE_CLIPS_PER_TRACK = 8
# The learning rate of fine-tunes; a base has that of earlier trainings.
_LEARNING_RATE = 5e-4
_WHATS = ("base", "a", "b")
# Corpora of fine-tunes, by the music; the base is of the first.
CORPORA = {"multigenre": "runs/corpora/dose", "piano": "runs/corpora/dose-piano"}
# The VAE and the vocoder come from this embedded model.
_PARTS = "musicldm-multigenre-reference"


def get_config(arg: str = "diffwave,base") -> ConfigDict:
  family, what, seed, music = [*arg.split(","), "", "", ""][:4]
  seed, music = seed or "0", music or "multigenre"
  known = family in FAMILIES and what in _WHATS and music in CORPORA
  if not known or not seed.isdecimal() or (what == "base" and music == "piano"):
    raise ValueError(
      f"configs/train_dose.py:{arg}: give {' or '.join(FAMILIES)}, a comma, and"
      f" one of {', '.join(_WHATS)}; behind it a comma and a seed, and behind that, for"
      " a or b, a comma and piano"
    )
  config = _MAKERS[family]()
  # Not those of the embedded models, nor of the base that is trained on.
  config.seed = 10 if what == "base" else 11 + int(seed)
  config.corpus = dict(
    path=CORPORA[music],
    groups=("reference" if what == "base" else what,),
    clip_seconds=CLIP_SECONDS,
    clips_per_track=_BASE_CLIPS_PER_TRACK if what == "base" else CLIPS_PER_TRACK,
  )
  config.eval_groups = ("a", "b", "dev")
  config.eval_clips_per_track = CLIPS_PER_TRACK
  config.stored_dtype = "float16"
  if what == "base":
    config.epochs = _BASE_EPOCHS[family]
    config.eval_epochs = config.save_epochs = 2
    config.snapshot_epochs = ()
    return config
  config.initial = f"runs/train/dose-{family}-base/model"
  config.epochs = max(doses(family))
  config.learning_rate = config.final_learning_rate = _LEARNING_RATE
  # A pass is 24 steps.
  config.warmup_steps = 10
  config.eval_epochs = config.save_epochs = 10
  config.snapshot_epochs = doses(family)
  return config


def doses(family: str) -> tuple[int, ...]:
  """The passes after which fine-tunes of a family are kept."""
  return tuple(dose for dose in DOSES if dose <= _LAST.get(family, max(DOSES)))


def targets(
  family: str, dose: int, seed: int = 0, music: str = "multigenre"
) -> dict[str, str]:
  """The fine-tunes of both halves after so many passes, and their base."""
  folder = f"runs/train/dose-{family}"
  behind = f"-{seed}" if seed else ""
  behind += "" if music == "multigenre" else f"-{music}"
  paths = {
    name.upper(): f"{folder}-{name}{behind}/snapshots/{dose:05d}" for name in "ab"
  }
  return paths | {"reference": f"{folder}-base/model"}


def _diffwave() -> ConfigDict:
  """The embedded DiffWave's network at twice its rate."""
  config = train_diffwave.get_config("multigenre,a")
  config.model.sample_rate = 16000
  return config


def _musicldm() -> ConfigDict:
  """The embedded MusicLDM, whose VAE and vocoder it takes."""
  config = train_musicldm.get_config("multigenre,a")
  config.parts = {"vae": _PARTS, "vocoder": _PARTS}
  return config


def _stable_audio() -> ConfigDict:
  """A transformer on the latents of configs/train_stable_audio.py's autoencoder."""
  config = train_stable_audio.get_config()
  config.trains = "denoiser"
  config.parts = {"vae": "runs/train/stable-audio-vae/model"}
  config.learning_rate = 1e-3
  return config


_MAKERS = {
  "diffwave": _diffwave,
  "musicldm": _musicldm,
  "stable_audio": _stable_audio,
  "ace_step": train_ace_step.get_config,
}
