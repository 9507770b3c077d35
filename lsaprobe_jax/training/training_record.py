"""What a model folder says of its training: settings, clips, losses."""

from collections.abc import Mapping
from typing import Any

from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.training.settings import TrainSettings
from lsaprobe_jax.training.starting_weights import StartingWeights
from lsaprobe_jax.training.trainables import Trainable


def training_record(
  settings: TrainSettings,
  corpus: Corpus,
  start: StartingWeights,
  trainable: Trainable,
  *,
  epochs: int,
  eval_loss: Mapping[str, list[float]],
) -> dict[str, Any]:
  """The record that goes into a model folder.

  Args:
    settings: of the training.
    corpus: the clips that were trained on.
    start: the weights it started from. The clips of a model that was trained on from
      count as seen too.
    trainable: the network that was trained.
    epochs: how many were done.
    eval_loss: by group, at the times of `eval_t_ratios`.
  """
  groups = set(settings.corpus.groups)
  clips = {clip.id: clip.sha256 for clip in corpus.clips}
  if start.initial:
    groups |= _seen(start.initial)[0]
    clips |= _seen(start.initial)[1]
  whose = trainable.is_diffusion and len(groups) == 1
  return {
    "config": settings.to_dict(),
    "corpus": settings.corpus.path,
    # The group whose clips are members. There is none where they are several groups',
    # or where the diffusion itself was not trained.
    "group": min(groups) if whose else None,
    "epochs": epochs,
    "initial": start.initial and start.initial["weights_sha256"],
    "clips": [{"id": name, "sha256": sha256} for name, sha256 in clips.items()],
    "eval_t_ratios": trainable.eval_t_ratios,
    "eval_loss": eval_loss,
  }


def check_same_clips(
  settings: TrainSettings, corpus: Corpus, start: StartingWeights
) -> None:
  """Refuses to train on from a model that saw other samples under the id of a clip.

  Raises:
    SettingError: names the clip.
  """
  seen = _seen(start.initial)[1] if start.initial else {}
  for clip in corpus.clips:
    if seen.get(clip.id, clip.sha256) != clip.sha256:
      raise SettingError(
        f"initial={settings.initial}: it was trained on other samples of {clip.id};"
        " open the corpus as it was for it, or rename the track"
      )


def _seen(record: dict[str, Any]) -> tuple[set[str | None], dict[str, str]]:
  """(groups, hashes of clips by id) that a model's record says it was trained on."""
  training = record["training"] or {}
  clips = {clip["id"]: clip["sha256"] for clip in training.get("clips") or ()}
  # One whose clips are several groups' has none of its own.
  return ({training.get("group")} if clips else set()), clips
