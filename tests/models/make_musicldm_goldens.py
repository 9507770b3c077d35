"""Writes musicldm_goldens.npz: what diffusers and transformers make of tiny networks.

  pip install -e '.[parity]' && python tests/models/make_musicldm_goldens.py

Seconds. Weights and inputs are drawn from names (`tests/tiny_musicldm.py`), so the
file holds outputs only, beside the names and shapes of the tensors.
"""

import json
import pathlib
import sys

import librosa
import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import tiny_musicldm as tiny

FRAMES = 12  # odd once halved twice, so that the UNet has to crop
STEP = 371


def main() -> None:
  """Runs the originals and writes their outputs."""
  modules, states = tiny.torch_modules(tiny.CONFIGS)
  shapes = {
    part: {name: list(value.shape) for name, value in state.items()}
    for part, state in states.items()
  }
  # [time, mel, channels] here, [1, channels, time, mel] there.
  to_torch = lambda x: torch.tensor(x).permute(2, 0, 1)[None]
  to_ours = lambda y: y[0].permute(1, 2, 0).numpy()
  latent = tiny.draw("latent", (FRAMES // 2, 4, 4))
  log_mel = tiny.draw("log_mel", (FRAMES, 8, 1))
  condition = torch.tensor(tiny.draw("condition", (6,)))
  audio = tiny.draw("audio", (1600, 1))[:, 0]
  with torch.no_grad():
    outputs = {
      "unet": to_ours(
        modules["unet"](
          to_torch(latent),
          STEP,
          encoder_hidden_states=None,
          class_labels=condition[None],
        ).sample
      ),
      "encoded": to_ours(modules["vae"].encode(to_torch(log_mel)).latent_dist.mode()),
      "decoded": to_ours(modules["vae"].decode(to_torch(latent)).sample),
      "vocoder": modules["vocoder"](torch.tensor(log_mel[:, :, 0])).numpy(),
      "log_mel": log_mel_of(audio),
    }
  np.savez_compressed(tiny.GOLDENS, shapes=json.dumps(shapes), **outputs)


def log_mel_of(audio: np.ndarray) -> np.ndarray:
  """AudioLDM's front end by torch.stft and librosa, 64 mels, hop 160: [10, 64]."""
  audio = audio - audio.mean()
  audio = torch.tensor(0.5 * audio / (np.abs(audio).max() + 1e-8))
  window = torch.hann_window(1024)
  magnitude = torch.stft(
    audio, 1024, 160, window=window, pad_mode="reflect", return_complex=True
  ).abs()
  filters = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=64, fmin=0, fmax=8000)
  mel = torch.tensor(filters) @ magnitude
  # The last frame is cut off, so that frames are whole hops (`_pad_spec`).
  return torch.log(mel.clamp(min=1e-5)).T.numpy()[:10]


if __name__ == "__main__":
  main()
