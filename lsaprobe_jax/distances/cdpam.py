"""CDPAM, a learned perceptual distance (Manocha et al. 2021, arXiv 2102.05109).

The published network of the PyPI distribution `cdpam` 0.0.6 (MIT), whose weights are
read from where pip put them; the distribution itself is never imported.
"""

import importlib.metadata
import itertools
import os
import pathlib
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax.distances import _conv, resample
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models.files import torch_reader

SAMPLE_RATE = 22050  # Hz, of the audio CDPAM was trained on
WEIGHTS_VARIABLE = "LSAPROBE_CDPAM_WEIGHTS"

_SCALE = 32768.0  # the network was trained on the numbers of 16-bit files
_LAYERS = 16
_CHANNELS = 64
_HEAD = (512, 256, 64, 16, 4)
_BATCH_NORM_EPSILON = 1e-5


class CDPAM(struct.PyTreeNode):
  """Weighted L1 between four layers of activations of two normalised embeddings.

  Sixteen convolutions of 15 taps, a leaky ReLU of 0.1 after each and every fourth
  halving the rate; the mean over time; the first half of the channels (`acoustics`),
  normalised to unit length; four dense layers, and over all of them the sum of
  |w (a - b)|. Batch normalisation, in inference form, is folded into the convolutions;
  outputs that the original computes and drops (every other position, the second half
  of the channels) are not computed.

  The original's `load_audio` rounds samples to 16-bit integers. Rounding has no
  gradient, so it is off by default; `quantise=True` rounds with the gradient passed
  straight through, and then values are the original's on any input at 22.05 kHz.

  Attributes:
    encoder: the convolutions.
    head: weight `[in, out]`, bias `[out]` and channel weight `[out]`, by layer.
    resampler: to 22.05 kHz; None where the audio has that rate.
    quantise: whether samples are rounded to 16 bits.
  """

  name: ClassVar[str] = "cdpam"
  downmixes: ClassVar[bool] = True

  encoder: tuple[_conv.DirectConv | _conv.TiledConv, ...]
  head: tuple[tuple[jax.Array, jax.Array, jax.Array], ...]
  resampler: resample.Resampler | None
  quantise: bool = struct.field(pytree_node=False, default=False)

  @classmethod
  def create(
    cls,
    *,
    sample_rate: int,
    weights: str | os.PathLike | None = None,
    quantise: bool = False,
    backend: str | None = None,
  ) -> Self:
    """Loads the published weights.

    Args:
      sample_rate: rate of the audio in Hz; resampled in the graph if not 22050.
      weights: the distribution's `.pth` file; found by `find_weights` where None.
      quantise: whether samples are rounded to 16 bits, as the original's loader does.
      backend: the one to shape the convolutions for; JAX's default where None.

    Raises:
      SettingError: there are no weights, and the message says how to get them; or the
        file is not CDPAM's, and it lists what is missing or has another shape.
    """
    path = find_weights() if weights is None else pathlib.Path(weights)
    if not path.is_file():
      raise SettingError(f"distance=cdpam: its weights are not at {path}")
    state = torch_reader.read_state_dict(path, select="state")
    _check_shapes(state, path)
    resampler = None
    if sample_rate != SAMPLE_RATE:
      resampler = resample.Resampler.create(sample_rate, SAMPLE_RATE)
    return cls(_encoder(state, backend), _head(state), resampler, quantise)

  def embed(self, audio: jax.Array) -> tuple[jax.Array, ...]:
    """Returns activations of the four dense layers, [256], [64], [16] and [4]."""
    if self.resampler is not None:
      audio = self.resampler(audio)
    x = audio * _SCALE
    if self.quantise:
      x += jax.lax.stop_gradient(jnp.round(x) - x)
    x = x[:, None]
    for layer in self.encoder:
      x = jax.nn.leaky_relu(layer(x), 0.1)
    x = jnp.mean(x, axis=0)
    # x / max(||x||, 1e-12), with the bound under the root for a finite gradient.
    x = x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x)), 1e-24))
    activations = []
    *hidden, last = self.head
    for weight, bias, _ in hidden:
      x = jax.nn.leaky_relu(x @ weight + bias, 0.01)
      activations.append(x)
    weight, bias, _ = last
    return (*activations, x @ weight + bias)

  def compare(
    self, reference: tuple[jax.Array, ...], estimate: tuple[jax.Array, ...]
  ) -> jax.Array:
    """Returns the sum over layers and channels of |w (estimate - reference)|."""
    layers = zip(self.head, reference, estimate, strict=True)
    return sum(jnp.sum(jnp.abs(w * (y - x))) for (_, _, w), x, y in layers)

  def __call__(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Returns the distance between two signals [samples], a scalar."""
    return self.compare(self.embed(reference), self.embed(estimate))


def find_weights() -> pathlib.Path:
  """Finds the published weights.

  They are the file that the environment variable LSAPROBE_CDPAM_WEIGHTS names, else the
  one in the installed distribution `cdpam`, which is found by its metadata and not
  imported.

  Raises:
    SettingError: there is neither; the message says how to get them.
  """
  if named := os.environ.get(WEIGHTS_VARIABLE):
    return pathlib.Path(named)
  try:
    files = importlib.metadata.files("cdpam") or []
  except importlib.metadata.PackageNotFoundError:
    files = []
  for file in files:
    if file.suffix == ".pth":
      return pathlib.Path(file.locate())
  raise SettingError(
    "distance=cdpam: its weights are not installed: run `pip install --no-deps"
    f" cdpam==0.0.6`, or set {WEIGHTS_VARIABLE} to the .pth file from that wheel"
  )


def _check_shapes(state: dict[str, Any], path: pathlib.Path) -> None:
  """Refuses weights of which an array is missing or has another shape."""
  expected = {}
  channels = 1
  for i in range(_LAYERS):
    width = _CHANNELS * 2 ** ((i + 1) // 4)
    expected[f"base_encoder.encoder.{i}.weight"] = (width, channels, 15)
    expected[f"base_encoder.encoder.{i}.bias"] = (width,)
    for part in ("weight", "bias", "running_mean", "running_var"):
      expected[f"base_encoder.ebatch.{i}.{part}"] = (width,)
    channels = width
  for i, (size_in, size_out) in enumerate(itertools.pairwise(_HEAD)):
    expected[f"model_dist.convs.{i}.0.weight"] = (size_out, size_in)
    expected[f"model_dist.convs.{i}.0.bias"] = (size_out,)
    expected[f"model_dist.chan_w.{i}"] = (size_out,)
  found = {name: getattr(array, "shape", None) for name, array in state.items()}
  wrong = [
    f"{name}: {found.get(name)} where {shape} belongs"
    for name, shape in expected.items()
    if found.get(name) != shape
  ]
  if wrong:
    raise SettingError(
      f"distance=cdpam: {path} does not hold its weights: {'; '.join(wrong)}"
    )


def _encoder(state: dict[str, np.ndarray], backend: str | None) -> tuple:
  """The convolutions with batch normalisation folded in."""
  layers = []
  for i in range(_LAYERS):
    conv = f"base_encoder.encoder.{i}."
    norm = f"base_encoder.ebatch.{i}."
    gain, shift, mean, variance = (
      state[norm + part].astype(np.float64)
      for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain /= np.sqrt(variance + _BATCH_NORM_EPSILON)
    taps = (state[conv + "weight"] * gain[:, None, None]).transpose(2, 1, 0)
    bias = (state[conv + "bias"] - mean) * gain + shift
    if i == _LAYERS - 1:
      taps, bias = taps[..., : _HEAD[0]], bias[: _HEAD[0]]
    stride = 2 if (i + 1) % 4 == 0 else 1
    layers.append(_conv.conv1d(taps, bias, stride=stride, backend=backend))
  return tuple(layers)


def _head(state: dict[str, np.ndarray]) -> tuple:
  """Weight, bias and channel weight of the dense layers."""
  return tuple(
    (
      jnp.asarray(state[f"model_dist.convs.{i}.0.weight"].T),
      jnp.asarray(state[f"model_dist.convs.{i}.0.bias"]),
      jnp.asarray(state[f"model_dist.chan_w.{i}"]),
    )
    for i in range(len(_HEAD) - 1)
  )
