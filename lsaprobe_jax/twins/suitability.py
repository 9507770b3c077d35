"""Which twins can carry signal under a model, measured without any label."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax.diffusion import add_noise, timestep
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models.diffusion_model import DiffusionModel
from lsaprobe_jax.parallel import node_types, products_in_float32
from lsaprobe_jax.twins.changes import Resung
from lsaprobe_jax.twins.mirrored import mirrored
from lsaprobe_jax.twins.registry import get, names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suitability:
  """What a model makes of a twin, measured without any label.

  Attributes:
    name: of the twin.
    encoder: how far the clean states of clip and twin differ, over the size of the
      clip's: 0 where the encoder cannot tell them apart.
    network: how far the network's errors on clip and twin differ, over their size, in
      the quarter of the state where they differ least: 0 where the network treats the
      twin as it treats the clip, but for the borders.
    reason: why the twin can carry no signal; empty where it can.
  """

  name: str
  encoder: float
  network: float
  reason: str

  @property
  def suitable(self) -> bool:
    """Whether the twin can carry signal."""
    return not self.reason


def suitable(
  model: DiffusionModel,
  audio: np.ndarray,
  which: Sequence[str] | None = None,
  *,
  t_ratio: float = 0.2,
  seed: int = 0,
) -> list[Suitability]:
  """Measures which twins can carry signal under a model, without any label.

  Args:
    model: the model, ready for clips of this length (`for_length`).
    audio: a few clips of any music, float32 [clips, samples] or
      [clips, channels, samples]. Whether they were trained on does not matter.
    which: names of twins; those of `names` by default, but for twins of another pitch
      or tempo, which take librosa.
    t_ratio: the time over T at which the network is asked.
    seed: of the noise.

  Returns:
    One for each twin, in their order.
  """
  t = timestep(model.schedule, t_ratio)
  if which is None:
    which = [name for name in names() if not isinstance(get(name), Resung)]
  return [_suitability(name, model, audio, t, seed) for name in which]


def check(
  model: DiffusionModel, audio: np.ndarray, which: Sequence[str], **how: Any
) -> None:
  """Refuses twins that can carry no signal under a model; see `suitable`.

  Raises:
    SettingError: it begins with `twins` and names the twin and the reason.
  """
  for found in suitable(model, audio, which, **how):
    if not found.suitable:
      raise SettingError(
        f"twins.names={found.name}: {found.reason}; leave it out, or ask"
        " lsaprobe_jax.twins.suitable(model, audio) for others"
      )


# A network whose errors on clip and twin differ by less than this share treats them
# alike. It tells symmetries from the rest and no more: shifts under a convolutional
# network come to 1e-6, a turn of phases by ten degrees to 0.05, and the twins that find
# most to 0.2 and more (docs/twins.md).
LEAST_NETWORK = 1e-3
# Log-mel spectrograms of two phases differ by rounding, or by 0.01 at their borders.
LEAST_ENCODER = 0.05
_INNER = 0.25


def _suitability(name, model, audio, t, seed) -> Suitability:
  twin = get(name)
  if reason := _without_swap(twin, audio):
    return Suitability(name=name, encoder=0.0, network=0.0, reason=reason)
  keys = jax.random.split(jax.random.key(seed), len(audio))
  types = node_types((twin, model))
  # As scores are.
  with products_in_float32():
    changes = [
      _changes(twin, model, key, x, t, types)
      for key, x in zip(keys, audio, strict=True)
    ]
  encoder, network = (float(np.mean(x)) for x in zip(*changes, strict=True))
  reason = ""
  if encoder < LEAST_ENCODER:
    reason = (
      f"the encoder hardly tells it from the clip (their states differ by"
      f" {encoder:.1%}), as front ends that see magnitudes only do"
    )
  elif network < LEAST_NETWORK:
    reason = (
      f"the network treats it like the clip (its errors differ by {network:.1%}), so"
      " that what was learnt of the clip holds for it too"
    )
  return Suitability(name=name, encoder=encoder, network=network, reason=reason)


def _without_swap(twin, audio: np.ndarray) -> str:
  """Says why channels cannot be swapped; nothing where they can."""
  if not getattr(twin, "swap", False):
    return ""
  if audio.ndim < 3:
    return "the clips have a single channel"
  if np.array_equal(audio, audio[:, ::-1]):
    return "the channels of the clips are equal, so that the twin is the clip"
  return ""


@functools.partial(jax.jit, static_argnums=5)
def _changes(twin, model, key, audio, t, types) -> tuple[jax.Array, jax.Array]:
  """How far states and errors of a twin differ from those of its clip."""
  del types  # It tells programs apart, see `parallel.node_types`.
  x_0, copy = model.encode(audio), model.encode(twin(audio))
  noise = jax.random.normal(key, x_0.shape)

  def error(model, x_0):
    x_t = add_noise(model.schedule, x_0, t, noise)
    return noise - model.predict_noise(x_t, t)

  own = error(model, x_0)
  if hasattr(twin, "undo"):
    other = error(mirrored(model, twin), mirrored(model, twin).encode(audio))
  else:
    other = error(model, copy)
  size = jnp.linalg.norm
  # Convolutions treat a shifted clip alike but for its borders, where their padding is.
  inner = lambda x: jnp.quantile(jnp.abs(x), _INNER)
  return size(copy - x_0) / size(x_0 - jnp.mean(x_0)), inner(other - own) / inner(own)
