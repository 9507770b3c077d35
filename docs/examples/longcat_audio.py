"""LongCat-AudioDiT, a pipeline of diffusers that is not ported: an example for PyTorch.

A flow matching transformer on the latents of a waveform autoencoder, 24 kHz mono.
"""

import torch

import lsaprobe_jax as lsa
from lsaprobe_jax import diffusion


def from_pipeline(pipe, prompt, **settings):
  """Returns the model that a `LongCatAudioDiTPipeline` is under a prompt."""
  with torch.no_grad():
    embedded, _ = pipe.encode_prompt(prompt, "cpu")
  networks = torch.nn.ModuleDict({"transformer": pipe.transformer, "vae": pipe.vae})
  # What is no weight but a tensor all the same belongs to the module, too.
  networks.register_buffer("prompt", embedded)
  return lsa.from_torch(
    networks.eval(),
    diffusion.RECTIFIED_FLOW,
    encode,
    decode,
    call=velocity,
    sample_rate=pipe.sample_rate,
    **settings,
  )


def encode(networks, audio):
  """Returns the latents [frames, channels] of a waveform [samples]: the mean."""
  found = networks["vae"].encode(audio[None, None], sample_posterior=False)
  return found.latents[0].T


def decode(networks, x_0):
  """Returns the waveform of latents."""
  return networks["vae"].decode(x_0.T[None]).sample[0, 0]


def velocity(networks, x, t):
  """Returns the velocity `eps - x_0`: this network counts time from noise to music."""
  everything = torch.ones_like(networks.prompt[..., 0], dtype=torch.bool)
  found = networks["transformer"](
    hidden_states=x[None],
    encoder_hidden_states=networks.prompt,
    encoder_attention_mask=everything,
    timestep=1 - t[None],
    latent_cond=torch.zeros_like(x[None]),
  )
  return -found.sample[0]
