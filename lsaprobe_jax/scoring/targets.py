"""The models of one experiment, loaded so that their scores can be compared."""

from collections.abc import Mapping

import jax

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models.checkpoints import CheckpointError
from lsaprobe_jax.models.trained import TrainedModel, load_model


def load_targets(
  targets: Mapping[str, str],
  *,
  num_inference_steps: int = 1,
  precision: str = "float32",
  stop_at: str = "waveform",
  untrained: bool = False,
  seed: int = 0,
) -> list[TrainedModel]:
  """Loads the models of an experiment, in the order of their names.

  Args:
    targets: what `models.trained.load_model` takes, by the name that rows will have.
    num_inference_steps: S, the DDIM steps of the reverse process.
    precision: of the networks' blocks, `float32` or `bfloat16`.
    stop_at: what is decoded to, `waveform`, or `mel` to end before a vocoder.
    untrained: draws random weights in the place of the models' own, for a control.
    seed: of those random weights; each model has others.

  Raises:
    SettingError: it begins with `targets.NAME` where a model cannot be used, with
      `targets` where rates or channels differ or there is no model, and with
      `precision`, `stop_at` or `num_inference_steps` where a family does not have the
      value.
  """
  if not targets:
    raise SettingError("targets={}: name at least one model")
  loaded = []
  for i, (name, source) in enumerate(sorted(targets.items())):
    key = jax.random.fold_in(jax.random.key(seed), i)
    try:
      target = load_model(
        source,
        name=name,
        num_inference_steps=num_inference_steps,
        precision=precision,
        stop_at=stop_at,
        random_key=key if untrained else None,
      )
    except CheckpointError as error:
      raise SettingError(f"targets.{name}: {error}") from error
    loaded.append(target)
  rates = {target.name: target.sample_rate for target in loaded}
  if len(set(rates.values())) > 1:
    raise SettingError(f"targets have different sample rates: {rates}")
  channels = {target.name: target.channels for target in loaded}
  if len(set(channels.values())) > 1:
    raise SettingError(f"targets have different numbers of channels: {channels}")
  return loaded
