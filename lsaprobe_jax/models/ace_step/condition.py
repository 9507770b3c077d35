"""What ACE-Step's transformer is told beside the state, read once at conversion.

Its condition encoder stores the learned token that stands for no condition, and the
latents of silence. Both are read as they are stored; a prompt alone needs it to run,
which diffusers does.
"""

import math
import pathlib
from typing import Any

import numpy as np

from lsaprobe_jax.models import checkpoints, pipeline_settings, text_encoder
from lsaprobe_jax.models.ace_step import family
from lsaprobe_jax.models.files import pipeline_files, tensors
from lsaprobe_jax.text import printable

PART, STEM = "condition_encoder", "diffusion_pytorch_model"
_ENCODERS = ("Qwen3Model",)
_NULL, _SILENCE = "null_condition_emb", "silence_latent"
# What the pipeline says where its caller says nothing, and how much silence it takes
# for a reference of timbre.
_LYRICS, _SECONDS, _TIMBRE_SECONDS = "", 60.0, 30
_SETTINGS = {
  "hidden_size": 2048,
  "intermediate_size": 6144,
  "text_hidden_dim": 1024,
  "timbre_hidden_dim": 64,
  "num_lyric_encoder_hidden_layers": 8,
  "num_timbre_encoder_hidden_layers": 4,
  "num_attention_heads": 16,
  "num_key_value_heads": 8,
  "head_dim": 128,
  "rope_theta": 1_000_000.0,
  "attention_bias": False,
  "rms_norm_eps": 1e-6,
  "sliding_window": 128,
  "layer_types": None,
}


def read(
  folder: pathlib.Path, prompt: str | None, frame_rate: float
) -> tuple[dict[str, np.ndarray], Any]:
  """Reads the condition of a pipeline's folder.

  Args:
    folder: of the pipeline.
    prompt: text to condition on; None for the learned null condition.
    frame_rate: latent frames a second.

  Returns:
    (`tokens` [n, D] and `silence` [frames, C], what a training record says of them).

  Raises:
    ValueError: something is missing, damaged or not supported.
  """
  where = folder / PART
  state = pipeline_files.read_weights(where, STEM)
  null, silence = (state.pop(name, None) for name in (_NULL, _SILENCE))
  if silence is None:
    raise ValueError(
      f"{printable(where)} has no {_SILENCE}, which every state stands beside; save the"
      " pipeline anew with diffusers 0.42 or later"
    )
  silence = _rows(_SILENCE, silence)
  if prompt is not None:
    heard = silence[: math.ceil(_TIMBRE_SECONDS * frame_rate)]
    tokens = _encode(folder, prompt, state, heard)
    said = {"prompt": prompt, "lyrics": _LYRICS, "seconds": _SECONDS}
    return {"tokens": tokens, "silence": silence}, said
  if null is None:
    raise ValueError(f"{printable(where)} has no {_NULL}; convert it with a prompt")
  # Attention to equal tokens is attention to one: the pipeline repeats it in vain.
  return {"tokens": _rows(_NULL, null), "silence": silence}, "null"


def _rows(name: str, value: np.ndarray) -> np.ndarray:
  """Returns a tensor [1, n, C] as [n, C]."""
  value = tensors.weight(name, value)
  if value.ndim != 3 or value.shape[0] != 1:
    raise ValueError(f"{PART}: {name} has shape {value.shape}, expected (1, n, C)")
  return value[0]


def _encode(
  folder: pathlib.Path,
  prompt: str,
  state: dict[str, np.ndarray],
  silence: np.ndarray,
) -> np.ndarray:
  """Returns the tokens of empty lyrics, of silence's timbre and of a prompt, [n, D].

  Args:
    folder: of the pipeline.
    prompt: any text.
    state: the condition encoder's weights.
    silence: the timbre's reference, [frames, C].
  """
  encoder, tokenizer = text_encoder.load_parts(folder, _ENCODERS)
  try:
    import torch
    from diffusers import AceStepPipeline
    from diffusers.pipelines.ace_step import AceStepConditionEncoder
  except ImportError as error:
    raise ValueError(
      f"a prompt needs diffusers 0.42 or later ({error}); pip install the extra"
      " [parity]"
    ) from error
  settings = _settings(folder, len(state))
  with torch.device("meta"):
    module = AceStepConditionEncoder(**settings).eval()
  buffers = (_NULL, _SILENCE)
  wanted = {k: v for k, v in module.state_dict().items() if k not in buffers}
  checkpoints.check_fit(state, wanted, str(folder / PART))
  module.load_state_dict(
    {name: torch.tensor(tensors.weight(name, value)) for name, value in state.items()},
    strict=False,
    assign=True,
  )
  # Its parts that draw no music are not needed to word a prompt.
  pipeline = AceStepPipeline(
    vae=None, text_encoder=encoder.float().eval(), tokenizer=tokenizer,
    transformer=None, condition_encoder=None, scheduler=None,
  )  # fmt: skip
  with torch.no_grad():
    told = pipeline.encode_prompt(prompt, _LYRICS, "cpu", audio_duration=_SECONDS)
    reference = torch.tensor(silence)[None]
    tokens, _ = module(*told, reference, torch.zeros(1, dtype=torch.long))
  return tokens[0].numpy()


def _settings(folder: pathlib.Path, count: int) -> dict[str, Any]:
  """Returns the condition encoder's settings, within limits.

  Args:
    folder: of the pipeline.
    count: of the tensors among its weights.
  """
  name = f"{PART}/config.json"
  config = pipeline_files.read_json(folder / PART / "config.json")
  unread = frozenset({"attention_dropout"})
  found = pipeline_settings.read(config, name, _SETTINGS, {}, unread)
  for key in ("num_lyric_encoder_hidden_layers", "num_timbre_encoder_hidden_layers"):
    pipeline_settings.check_blocks(f"{name}: {key}", found[key], count)
  family.check_attention(name, found)
  kinds = found["layer_types"]
  family.near_layers(name, kinds, found["num_lyric_encoder_hidden_layers"])
  return found | {"layer_types": kinds and list(kinds)}
