"""Settings of a training: what is trained, on which clips, how long and how fast."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from lsaprobe_jax.settings import (
  Rule,
  Settings,
  a_name,
  above,
  between,
  one_of,
  or_none,
  whole,
)

# Upper bounds are far beyond use; past them nothing would fit in memory or be float32.
_MOST_EPOCHS = 10_000_000
_MOST_CLIPS = 1_000_000
_MOST_IN_BATCH = 65_536
_MOST_SECONDS = 4 * 3600
_MOST_FLOAT = 1e38
_HIGHEST_RANK = 4096

DTYPES = ("float32", "float16", "bfloat16")

TRAIN_RULES: tuple[Rule, ...] = (
  # Seeds are int32 on the device.
  whole(0, 2**31 - 1_001, "seed"),
  between(0, _MOST_SECONDS, "corpus.clip_seconds"),
  or_none(whole(1, _MOST_CLIPS, "corpus.clips_per_track", "eval_clips_per_track")),
  a_name("corpus.groups", "eval_groups", "trains", "parts.*", "lora_layers"),
  # A batch is padded to its size, however few clips there are.
  whole(1, _MOST_IN_BATCH, "batch_size"),
  whole(1, _HIGHEST_RANK, "lora_rank"),
  whole(1, _MOST_EPOCHS, "epochs", "log_every", "eval_epochs", "save_epochs"),
  whole(1, _MOST_EPOCHS, "snapshot_epochs"),
  whole(0, _MOST_EPOCHS, "warmup_steps"),
  # A rate at which the loss grows without end is found out by the loss.
  between(0, _MOST_FLOAT, "learning_rate", "final_learning_rate"),
  above(0, _MOST_FLOAT, "max_grad_norm"),
  between(0, _MOST_FLOAT, "kl_weight", "mel_weight"),
  between(0, 1, "ema_decay"),
  one_of(DTYPES, "stored_dtype"),
  whole(1, 2, "loss_power"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainCorpus(Settings):
  """Which clips are trained on.

  Attributes:
    path: a corpus's name, or a folder.
    groups: the groups of its tracks that are trained on.
    clip_seconds: length of a clip.
    clips_per_track: at most so many clips of a track; None takes all.
  """

  path: str
  groups: tuple[str, ...]
  clip_seconds: float
  clips_per_track: int | None = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings(Settings):
  """All settings of a training.

  Attributes:
    corpus: the clips that are trained on.
    model: the model's configuration (`models.registry.build_model`).
    epochs: passes over the clips.
    trains: the network that is trained, one of `trainables.TRAINABLES`.
    parts: model folders by the name of a network that is taken from them as it is,
      such as the VAE and the vocoder around a UNet.
    initial: a model folder, or an embedded model's name, to train on from. It has the
      same configuration and brings its own parts. Empty for random weights.
    seed: of the initial weights, the order of clips, and the draws of t and noise.
    eval_groups: groups whose loss is followed.
    eval_clips_per_track: on so many clips of a track; None for all.
    stored_dtype: of the weights that are exported, which are computed in float32.
    lora_rank: of a LoRA's matrices (`training.low_rank`), where `trains` is `lora`.
    lora_layers: a regular expression for the names of the layers that have them.
    loss_power: of a denoiser's error, 1 (LMNT's loss) or 2 (DDPM's).
    kl_weight: of a VAE's KL divergence.
    mel_weight: of the log-mel in a vocoder's loss.
    batch_size: clips in a step.
    learning_rate: at the end of the warm-up.
    final_learning_rate: at the end of the cosine decay.
    warmup_steps: steps of the warm-up.
    max_grad_norm: gradients are clipped to this global norm.
    ema_decay: of the moving average of the weights, which is what is kept.
    log_every: steps between lines of the log.
    eval_epochs: epochs between losses on whole groups.
    save_epochs: epochs between checkpoints.
    snapshot_epochs: epochs after which the averaged weights are kept.
  """

  RULES: ClassVar[tuple[Rule, ...]] = TRAIN_RULES

  corpus: TrainCorpus
  model: Mapping[str, Any]
  epochs: int
  trains: str = "denoiser"
  parts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  initial: str = ""
  seed: int = 0
  eval_groups: tuple[str, ...] = ()
  eval_clips_per_track: int | None = 1
  stored_dtype: str = "float32"
  lora_rank: int = 8
  lora_layers: str = "to_[qkv]|to_out"
  loss_power: int = 2
  kl_weight: float = 1e-4
  mel_weight: float = 1.0
  batch_size: int = 4
  learning_rate: float = 1e-3
  final_learning_rate: float = 2e-5
  warmup_steps: int = 200
  max_grad_norm: float = 1.0
  ema_decay: float = 0.995
  log_every: int = 50
  eval_epochs: int = 50
  save_epochs: int = 50
  snapshot_epochs: tuple[int, ...] = ()
