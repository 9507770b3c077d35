"""What makes a twin of a clip: mirrors, which can be undone, and other copies."""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import optional
from lsaprobe_jax.models.diffusion_model import StateKind


@runtime_checkable
class Twin(Protocol):
  """A twin: a small pytree that makes another clip of a clip.

  One whose change can be undone, and which maps white noise to white noise, has an
  `undo` and acts on states too; another takes the noise of the clip as it is.
  """

  def __call__(self, audio: jax.Array) -> jax.Array:
    """Returns T x, shaped as the clip x, [samples] or [channels, samples]."""
    ...


class Mirror(struct.PyTreeNode):
  """An orthogonal twin: a turn of phases, then perhaps reversal and a swap of channels.

  The turn by phi is `Re(hilbert(x) exp(i phi))`: cos phi of the clip less sin phi of
  its Hilbert transform. Constant and Nyquist parts, which have no phase, keep their
  size. So the map is orthogonal, spectrum and loudness stay, and white noise stays
  white noise. All are arrays, so that one compiled program runs several of them.

  Attributes:
    cos: cosine of phi.
    sin: sine of phi.
    reverse: whether time runs backwards.
    swap: whether the first channel comes last.
  """

  cos: Any = 1.0
  sin: Any = 0.0
  reverse: Any = False
  swap: Any = False

  @classmethod
  def by_degrees(cls, degrees: float = 0, **others: Any) -> "Mirror":
    """Makes a twin of phi in degrees; multiples of 90 are exact."""
    phi = np.deg2rad(degrees)
    # A cosine of 6e-17 would make a quarter turn inexact for nothing.
    return cls(cos=round(float(np.cos(phi)), 15), sin=round(np.sin(phi), 15), **others)

  def __call__(self, audio: jax.Array) -> jax.Array:
    """Returns T x of a waveform (`Twin`)."""
    return self._turn(self._rotate(audio, self.sin), audio.ndim - 1)

  def undo(self, audio: jax.Array) -> jax.Array:
    """Returns x of T x."""
    return self._rotate(self._turn(audio, audio.ndim - 1), -self.sin)

  def on_state(self, state: jax.Array, kind: StateKind) -> jax.Array:
    """Moves a state, or its noise, as far as a state of this kind can be moved."""
    if kind == "waveform":
      return self(state)
    # Frames of a latent know no phase, but they run backwards as well as sound does.
    return self._turn(state, 0) if kind == "frames" else state

  def undo_on_state(self, state: jax.Array, kind: StateKind) -> jax.Array:
    """Moves a state back."""
    if kind == "waveform":
      return self.undo(state)
    return self._turn(state, 0) if kind == "frames" else state

  def _turn(self, x: jax.Array, time: int) -> jax.Array:
    x = jnp.where(self.reverse, jnp.flip(x, time), x)
    # Waveforms with channels have them first.
    return jnp.where(self.swap, jnp.flip(x, 0), x) if time == 1 and x.ndim == 2 else x

  def _rotate(self, x: jax.Array, sin) -> jax.Array:
    n = x.shape[-1]
    spectrum = jnp.fft.rfft(x)
    phaseless = np.zeros(spectrum.shape[-1], bool)
    phaseless[0] = True
    phaseless[-1] |= n % 2 == 0
    quarter = jnp.fft.irfft(jnp.where(phaseless, 0, -1j * spectrum), n)
    kept = jnp.fft.irfft(jnp.where(phaseless, spectrum, 0), n)
    # Written as a sum so that polarity and identity are exact: both add zeros.
    sign = jnp.where(jnp.asarray(self.cos) < 0, -1.0, 1.0)
    return self.cos * x - sin * quarter + (sign - self.cos) * kept


class Resung(struct.PyTreeNode):
  """A twin at another pitch or tempo, for front ends that see magnitudes only.

  It cannot be undone, so that the noise of the clip is taken as it is, and the phase
  vocoder (librosa) leaves traces, which may make it harder: its null is not exact.

  Attributes:
    semitones: change of pitch.
    rate: tempo over that of the clip, at most 1: a slower clip is cut to its length.
  """

  semitones: float = struct.field(pytree_node=False, default=0.0)
  rate: float = struct.field(pytree_node=False, default=1.0)

  def __call__(self, audio: jax.Array) -> jax.Array:
    """Returns T x of a waveform (`Twin`)."""
    like = jax.ShapeDtypeStruct(audio.shape, audio.dtype)
    return jax.pure_callback(self._change, like, audio, vmap_method="sequential")

  def _change(self, audio) -> np.ndarray:
    librosa = optional.require("librosa", "audio")
    audio = np.asarray(audio)
    changed = audio
    window = {"n_fft": min(2048, 2 ** int(np.log2(audio.shape[-1])))}
    if self.semitones:
      # Pitch alone depends on no rate.
      changed = librosa.effects.pitch_shift(
        changed, sr=1, n_steps=self.semitones, **window
      )
    if self.rate != 1:
      changed = librosa.effects.time_stretch(changed, rate=self.rate, **window)
    return changed[..., : audio.shape[-1]].astype(audio.dtype)
