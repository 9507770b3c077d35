r"""Models of the paper's size on a group of one of its datasets.

  for group in a b reference; do
    python -m launch.train --config=configs/paper_train.py:diffwave,maestro,$group \
      --workdir=runs/train/diffwave-maestro-$group
  done

`diffwave` or `musicldm`; `maestro` or `fma`, built by `launch.corpus`; `a`, `b` or
`reference`. What comes out is what configs/paper_diffwave.py and paper_musicldm.py
evaluate. An accelerator is meant, and nothing of this was ever trained here.

The paper gives neither sizes nor lengths of its trainings. DiffWave has LMNT's size,
MusicLDM its published UNet's without the condition, between the published VAE and
vocoder: `launch.convert` puts them in models/musicldm. Epochs make about a million
steps; `--dry_run` says how long they take.
"""

import json
import pathlib

from ml_collections import ConfigDict

from configs import paper_diffwave, train_diffwave
from lsaprobe_jax.models.musicldm import porting

_GROUPS = ("a", "b", "reference")
_EPOCHS = {"maestro": 200, "fma": 50}
_PUBLISHED = pathlib.Path(porting.__file__).with_name("published.json")
_SCHEDULE = dict(name="linear", num_train_timesteps=200, beta_start=1e-4, beta_end=0.02)


def _diffwave():
  return dict(
    family="diffwave",
    network=dict(channels=64, layers=30, dilation_cycle=10, embedding_width=512),
    schedule=_SCHEDULE,
    sample_rate=22050,
    # At the corpus's loudness: about unit variance.
    scale=4.0,
  )


def _musicldm():
  parts = json.loads(_PUBLISHED.read_text())["musicldm"]
  condition = ("class_embed_type", "projection_class_embeddings_input_dim")
  for key in (*condition, "class_embeddings_concat"):
    del parts["unet"][key]
  return porting.model_config(parts)


_MODELS = {"diffwave": _diffwave, "musicldm": _musicldm}


def get_config(arg: str = "diffwave,maestro,a") -> ConfigDict:
  model, corpus, group = (*arg.split(","), "", "")[:3]
  if model not in _MODELS or corpus not in _EPOCHS or group not in _GROUPS:
    raise ValueError(
      f"configs/paper_train.py:{arg}: give {' or '.join(_MODELS)}, a comma,"
      f" {' or '.join(_EPOCHS)}, a comma, and a group: {', '.join(_GROUPS)}"
    )
  config = train_diffwave.get_config()
  epochs = _EPOCHS[corpus]
  config.update(
    batch_size=16,
    eval_clips_per_track=4,
    epochs=epochs,
    learning_rate=2e-4,
    warmup_steps=1000,
    ema_decay=0.9999,
    eval_epochs=10,
    save_epochs=1,
    snapshot_epochs=(epochs // 4, epochs // 2, epochs),
  )
  config.corpus.update(
    path=paper_diffwave.dataset(corpus, model),
    groups=(group,),
    clip_seconds=paper_diffwave.CLIP_SECONDS,
  )
  with config.unlocked():
    config.corpus.clips_per_track = None  # all of it
    config.model = ConfigDict(_MODELS[model]())
    if model == "musicldm":
      config.parts = {name: "models/musicldm" for name in ("vae", "vocoder")}
  return config
