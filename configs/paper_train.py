r"""Models of the paper's size on a group of one of its datasets.

  for group in a b reference; do
    python -m launch.train --config=configs/paper_train.py:diffwave,maestro,$group \
      --workdir=runs/train/diffwave-maestro-$group
  done

The argument is `diffwave` or `musicldm`, then `maestro` or `fma` (which `launch.corpus`
builds), then `a`, `b` or `reference`. configs/paper_diffwave.py and
configs/paper_musicldm.py evaluate what comes out. This is meant for an accelerator, and
no model was ever trained by it here; `--dry_run` says how long one takes.

The paper gives neither sizes nor lengths of its trainings. DiffWave has LMNT's size.
MusicLDM has its published UNet without the condition, between the published VAE and
vocoder, which `launch.convert` puts into models/musicldm. Epochs make about a million
steps.
"""

import json
import pathlib

from ml_collections import ConfigDict

from lsaprobe_jax.models.musicldm import porting

_GROUPS = ("a", "b", "reference")
# Segments of 4 s of whole tracks, as `launch.corpus` names the folders; epochs.
_DATASETS = {
  "maestro": ("data/maestro_v3/{rate}hz-4s-all/1.0.0", 200),
  "fma": ("data/fma/large-{rate}hz-4s-all/1.0.0", 50),
}


def _diffwave() -> dict:
  return dict(
    family="diffwave",
    network=dict(channels=64, layers=30, dilation_cycle=10, embedding_width=512),
    schedule=dict(
      name="linear", num_train_timesteps=200, beta_start=1e-4, beta_end=0.02
    ),
    sample_rate=22050,
    # Music at the corpus's loudness gets about unit variance.
    scale=4.0,
  )


def _musicldm() -> dict:
  published = pathlib.Path(porting.__file__).with_name("published.json")
  parts = json.loads(published.read_text())["musicldm"]
  condition = ("class_embed_type", "projection_class_embeddings_input_dim")
  for key in (*condition, "class_embeddings_concat"):
    del parts["unet"][key]
  return porting.model_config(parts)


# The model's configuration, and networks that come from elsewhere.
_MODELS = {
  "diffwave": (_diffwave, {}),
  "musicldm": (_musicldm, {"vae": "models/musicldm", "vocoder": "models/musicldm"}),
}


def get_config(arg: str = "diffwave,maestro,a") -> ConfigDict:
  model, corpus, group = (*arg.split(","), "", "")[:3]
  if model not in _MODELS or corpus not in _DATASETS or group not in _GROUPS:
    raise ValueError(
      f"configs/paper_train.py:{arg}: give {' or '.join(_MODELS)}, a comma,"
      f" {' or '.join(_DATASETS)}, a comma, and a group: {', '.join(_GROUPS)}"
    )
  make_model, parts = _MODELS[model]
  path, epochs = _DATASETS[corpus]

  config = ConfigDict()
  config.seed = 0
  config.trains = "denoiser"
  config.model = make_model()
  config.parts = parts
  # A model folder to train on from; empty for random weights.
  config.initial = ""
  config.stored_dtype = "float32"

  config.corpus = dict(
    path=path.format(rate=config.model.sample_rate),
    groups=(group,),
    clip_seconds=4.0,
    clips_per_track=None,  # all of it
  )
  # Groups whose loss is followed, on so many clips of a track.
  config.eval_groups = ("a", "b")
  config.eval_clips_per_track = 4

  config.loss_power = 2
  config.batch_size = 16
  config.epochs = epochs
  config.learning_rate = 2e-4
  config.final_learning_rate = 2e-5
  config.warmup_steps = 1000
  config.max_grad_norm = 1.0
  config.ema_decay = 0.9999

  config.log_every = 50
  config.eval_epochs = 10
  config.save_epochs = 1
  config.snapshot_epochs = (epochs // 4, epochs // 2, epochs)
  return config
