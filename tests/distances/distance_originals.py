"""The published implementations, in PyTorch, that ours are compared with."""

import importlib.metadata
import importlib.util

import auraloss
import librosa
import numpy as np
import torch

torch.set_num_threads(1)


def cdpam():
  """`CDPAM.forward` of the installed wheel, without its imports of audio tools.

  Returns a function of two tensors `[samples]`, full scale at 1, to a scalar.
  """
  files = {file.name: file.locate() for file in importlib.metadata.files("cdpam")}
  spec = importlib.util.spec_from_file_location("cdpam_models", files["models.py"])
  models = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(models)
  # The settings of cdpam/cdpam.py.
  net = models.FINnet(
    dev="cpu", encoder_layers=16, encoder_filters=64, ndim=[16, 6],
    classif_dp=0.05, classif_BN=0, classif_act="no", input_size=512,
  )  # fmt: skip
  weights = files["scratchJNDdefault_best_model.pth"]
  # The file is older than `weights_only`; it is the published one.
  state = torch.load(weights, map_location="cpu", weights_only=False)["state"]
  net.load_state_dict(state)
  net.eval()

  def distance(reference, estimate):
    net.to(reference.dtype)
    embeddings = [
      torch.nn.functional.normalize(net.base_encoder(x[None, None] * 32768)[1], dim=1)
      for x in (reference, estimate)
    ]
    return net.model_dist(*embeddings)[0]

  return distance


def mr_stft():
  """auraloss on one item, with its defaults."""
  loss = auraloss.freq.MultiResolutionSTFTLoss()

  def distance(reference, estimate):
    for resolution in loss.stft_losses:
      resolution.window = torch.hann_window(
        resolution.win_length, dtype=reference.dtype
      )
    return loss(estimate[None, None], reference[None, None])

  return distance


def log_mel(sample_rate):
  """Mean squared error of log-mel magnitudes, by `torch.stft` and librosa's filters."""
  filters = librosa.filters.mel(sr=sample_rate, n_fft=1024, n_mels=80)
  filters, window = torch.tensor(filters), torch.hann_window(1024)

  def embed(x):
    spectrum = torch.stft(x, 1024, 256, window=window, return_complex=True)
    return torch.log(torch.clamp(filters @ spectrum.abs(), min=1e-5))

  return lambda reference, estimate: torch.mean(
    (embed(estimate) - embed(reference)) ** 2
  )


def value_and_grad(distance, reference, estimate, dtype=torch.float32):
  """Value, and gradient by the estimate `[samples]`, as NumPy."""
  reference = torch.tensor(np.asarray(reference), dtype=dtype)
  estimate = torch.tensor(np.asarray(estimate), dtype=dtype, requires_grad=True)
  value = distance(reference, estimate)
  value.backward()
  return value.item(), estimate.grad.numpy()
