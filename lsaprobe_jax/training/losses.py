"""What a network is trained to do: a denoiser, an autoencoder, a vocoder.

Each objective is a pytree with the same parts: `params`, what is trained; `examples`,
from waveforms to what a step reads, once for all; `loss`, of one example under random
draws; and `eval_loss`, the loss at fixed draws, so that epochs and groups can be
compared.

A corpus of hundreds of hours never sits in memory. A waveform denoiser reads clips as
they come; other examples are computed once, and more than a gibibyte of them lies in a
file.
"""

import math
import tempfile
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import diffusion, parallel
from lsaprobe_jax.distances.spectral import MRSTFT
from lsaprobe_jax.models.musicldm import mel

# Clips turned into examples at once.
_BATCH = 16
# Examples of more bytes are kept in a file (in TMPDIR, gone with the process).
_MOST_BYTES = 1 << 30


class Denoising(struct.PyTreeNode):
  """A denoiser's loss: the mean of `|error| ** power`, t and eps drawn anew.

  The error is that of what the denoiser predicts: of eps, v or a velocity.

  Attributes:
    model: a diffusion model (`models.registry`), whose denoiser is trained.
    power: 1, LMNT's loss, or 2, DDPM's.
    eval_t_ratios: t over T at which `eval_loss` is taken.
    latent: whether examples are latents, which are computed once, or waveforms.
  """

  model: Any
  power: int = struct.field(pytree_node=False)
  eval_t_ratios: tuple[float, ...] = struct.field(pytree_node=False)
  latent: bool = struct.field(pytree_node=False, default=False)

  @property
  def together(self) -> bool:
    """Whether a batch is worth computing at once on a CPU.

    It takes a third of the time for latents, and three times the time for waveforms.
    """
    return self.latent

  @property
  def params(self) -> Any:
    """The denoiser's parameters."""
    return self.model.params

  def examples(self, audio: np.ndarray) -> np.ndarray:
    """[n, samples] -> latents [n, ...], or the waveforms as they are."""
    if not self.latent:
      return audio
    return _map(lambda model, clip: model.encode(clip), self.model, audio)

  def _state(self, example: jax.Array) -> jax.Array:
    return example if self.latent else self.model.encode(example)

  def loss(self, params: Any, example: jax.Array, key: jax.Array) -> jax.Array:
    """The loss of one latent, or of one waveform [samples]."""
    x_0 = self._state(example)
    t_key, noise_key = jax.random.split(key)
    t = jax.random.randint(t_key, (), 1, self.model.schedule.num_train_timesteps + 1)
    noise = jax.random.normal(noise_key, x_0.shape)
    return self.at(params, x_0, t, noise)

  def at(self, params: Any, x_0: jax.Array, t, noise: jax.Array) -> jax.Array:
    """The loss of one clean state at one time under one noise."""
    model = self.model.replace(params=params)
    x_t = diffusion.add_noise(model.schedule, x_0, t, noise)
    wanted = diffusion.target(model.schedule, x_0, t, noise)
    error = wanted - diffusion.predicted(model, x_t, t)
    return jnp.mean(jnp.abs(error) ** self.power)

  def eval_loss(self, params: Any, example: jax.Array, key: jax.Array) -> jax.Array:
    """[len(eval_t_ratios)] losses under the one noise that the key gives."""
    x_0 = self._state(example)
    noise = jax.random.normal(key, x_0.shape)
    times = [
      diffusion.timestep(self.model.schedule, ratio) for ratio in self.eval_t_ratios
    ]
    return jnp.stack([self.at(params, x_0, t, noise) for t in times])


class Autoencoding(struct.PyTreeNode):
  """A VAE's loss on log-mel: reconstruction at several resolutions, and KL.

  It is that of latent diffusion (Rombach et al. 2022) without the discriminator: L1
  between log-mel and its decoded sample, also between both averaged over squares of 2
  and 4, plus a small weight times the KL divergence from a standard normal.

  Attributes:
    params: the VAE's.
    front_end: waveform -> log-mel.
    network: the VAE.
    kl_weight: of the KL divergence per latent element.
  """

  params: Any
  front_end: mel.MelFrontEnd
  network: nn.Module = struct.field(pytree_node=False)
  kl_weight: float = struct.field(pytree_node=False)
  together = False

  def examples(self, audio: np.ndarray) -> np.ndarray:
    """[n, samples] -> log-mel of whole latent frames, [n, frames, mels]."""
    frames = -(-audio.shape[1] // self.front_end.hop)
    frames += -frames % self.network.factor
    return _map(lambda front_end, clip: front_end(clip, frames), self.front_end, audio)

  def loss(self, params: Any, log_mel: jax.Array, key: jax.Array) -> jax.Array:
    """The loss of one log-mel spectrogram under one sample of its latent."""
    run = lambda method, x: self.network.apply({"params": params}, x, method=method)
    mean, log_variance = jnp.split(run("moments", log_mel[:, :, None]), 2, axis=-1)
    log_variance = jnp.clip(log_variance, -30.0, 20.0)
    noise = jax.random.normal(key, mean.shape)
    decoded = run("decode", mean + jnp.exp(log_variance / 2) * noise)[..., 0]
    kl = (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance) / 2
    return _over_resolutions(decoded, log_mel) + self.kl_weight * jnp.mean(kl)

  def eval_loss(self, params: Any, log_mel: jax.Array, key: jax.Array) -> jax.Array:
    """[1] loss under the one sample that the key gives."""
    return self.loss(params, log_mel, key)[None]

  def spread(self, params: Any, log_mel: np.ndarray) -> float:
    """Standard deviation of the latents' modes over examples [n, frames, mels]."""
    encode = lambda params, one: self.network.apply(
      {"params": params}, one[:, :, None], method="encode"
    )
    return float(np.std(_map(encode, params, log_mel)))


class Coding(struct.PyTreeNode):
  """A waveform autoencoder's loss: MR-STFT, L1 and KL.

  It is that of Oobleck (Evans et al. 2024) without the discriminator.

  Attributes:
    params: the autoencoder's.
    distance: MR-STFT.
    network: the autoencoder, `oobleck.Oobleck`.
    kl_weight: of the KL divergence per latent element.
    l1_weight: of the mean absolute difference of samples.
  """

  params: Any
  distance: MRSTFT
  network: nn.Module = struct.field(pytree_node=False)
  kl_weight: float = struct.field(pytree_node=False)
  l1_weight: float = struct.field(pytree_node=False, default=1.0)
  together = False

  def examples(self, audio: np.ndarray) -> np.ndarray:
    """[n, samples] -> whole latent frames of all channels, [n, samples, channels]."""
    network = self.network
    whole = audio.shape[1] // network.hop * network.hop
    cut = lambda _, clip: jnp.repeat(clip[:whole, None], network.audio_channels, 1)
    return _map(cut, None, audio)

  def loss(self, params: Any, audio: jax.Array, key: jax.Array) -> jax.Array:
    """The loss of one waveform under one sample of its latent."""
    run = lambda method, x: self.network.apply({"params": params}, x, method=method)
    mean, deviation = run("moments", audio)
    decoded = run("decode", mean + deviation * jax.random.normal(key, mean.shape))
    variance = jnp.square(deviation)
    kl = (jnp.square(mean) + variance - 1 - jnp.log(variance)) / 2
    heard = jax.vmap(self.distance)(audio.T, decoded.T)
    near = jnp.mean(jnp.abs(audio - decoded))
    return jnp.mean(heard) + self.l1_weight * near + self.kl_weight * jnp.mean(kl)

  def eval_loss(self, params: Any, audio: jax.Array, key: jax.Array) -> jax.Array:
    """[1] loss under the one sample that the key gives."""
    return self.loss(params, audio, key)[None]

  def spread(self, params: Any, audio: np.ndarray) -> float:
    """Standard deviation of the latents' modes over examples."""
    encode = lambda params, one: self.network.apply(
      {"params": params}, one, method="encode"
    )
    return float(np.std(_map(encode, params, audio)))


class Vocoding(struct.PyTreeNode):
  """A vocoder's loss: MR-STFT between waveforms, and L1 between their log-mel.

  It is that of HiFi-GAN's generator (Kong et al. 2020) without its discriminators.
  `mel_weight` takes the place of its 45 against the adversarial losses' 1.

  Attributes:
    params: the vocoder's.
    front_end: waveform -> log-mel.
    distance: MR-STFT.
    network: the vocoder.
    mel_weight: of log-mel.
  """

  params: Any
  front_end: mel.MelFrontEnd
  distance: MRSTFT
  network: nn.Module = struct.field(pytree_node=False)
  mel_weight: float = struct.field(pytree_node=False)
  together = False

  def examples(self, audio: np.ndarray) -> np.ndarray:
    """[n, samples] -> waveforms at the front end's level, [n, whole frames]."""
    length = audio.shape[1] // self.front_end.hop * self.front_end.hop
    level = lambda front_end, clip: front_end.level(clip)[:length]
    return _map(level, self.front_end, audio)

  def loss(self, params: Any, audio: jax.Array, key: jax.Array) -> jax.Array:
    """The loss of one waveform; nothing is drawn."""
    del key
    frames = audio.shape[0] // self.front_end.hop
    log_mel = self.front_end(audio, frames)
    voiced = self.network.apply({"params": params}, log_mel)[: audio.shape[0]]
    again = self.front_end(voiced, frames)
    return self.distance(audio, voiced) + self.mel_weight * jnp.mean(
      jnp.abs(again - log_mel)
    )

  def eval_loss(self, params: Any, audio: jax.Array, key: jax.Array) -> jax.Array:
    """[1] loss."""
    return self.loss(params, audio, key)[None]


def _over_resolutions(decoded: jax.Array, log_mel: jax.Array) -> jax.Array:
  """Mean L1 of two spectrograms, plain and averaged over squares of 2 and 4."""
  difference = (decoded - log_mel)[..., None]
  pooled = [nn.avg_pool(difference, (n, n), strides=(n, n)) for n in (1, 2, 4)]
  return sum(jnp.mean(jnp.abs(one)) for one in pooled) / len(pooled)


def _map(fn: Callable[..., Any], shared: Any, audio: np.ndarray) -> np.ndarray:
  """`fn(shared, clip)` of every clip, batch by batch."""
  run = parallel.over_examples(fn, batch_size=_BATCH)
  examples = None
  for part, found in run(shared, audio):
    if examples is None:
      examples = _room((len(audio), *found.shape[1:]), found.dtype)
    examples[part] = found
  return examples


def _room(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
  """An array to fill: in memory, or in a file without a name where it is large."""
  if math.prod(shape) * dtype.itemsize <= _MOST_BYTES:
    return np.empty(shape, dtype)
  return np.memmap(tempfile.TemporaryFile(), dtype, "w+", shape=shape)
