"""Converts a published PyTorch checkpoint into a model folder.

python -m launch.convert --source=weights.pt --output=DIR
python -m launch.convert --source=PIPELINE_FOLDER --output=DIR [--prompt="..."]
  [--embedding=FILE.npy]
python -m launch.convert --source=hf:OWNER/NAME --output=DIR

Reads the `.pt` files of LMNT's DiffWave, and MusicLDM and AudioLDM pipelines that
diffusers saved in safetensors (a folder, or hf:owner/name on the Hugging Face hub). It
does so without PyTorch and without running anything that the files contain. Only
`--prompt` runs PyTorch, once: the embedding is stored beside the weights. See
docs/musicldm.md.
"""

import pathlib

from absl import app, flags, logging

from launch import command
from lsaprobe_jax.models import checkpoints, conversion

_SOURCE = flags.DEFINE_string(
  "source",
  None,
  "A DiffWave .pt file, the folder of a MusicLDM or AudioLDM pipeline, or hf:owner/name"
  " of one on the Hugging Face hub.",
  required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "The model folder.", required=True)
_PROMPT = flags.DEFINE_string(
  "prompt", None, "Text that the pipeline is conditioned on; empty for the empty text."
)
_EMBEDDING = flags.DEFINE_string(
  "embedding", None, "A .npy file with the CLAP embedding to condition on."
)


def main(argv):
  """Converts the checkpoint."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  source, output = _SOURCE.value, pathlib.Path(_OUTPUT.value)
  if output.exists() and not output.is_dir():
    raise app.UsageError(f"--output={output} is a file; name a folder to write to")
  try:
    params, model, training = conversion.convert(
      source, _PROMPT.value, _EMBEDDING.value
    )
  except checkpoints.CheckpointError as error:
    raise app.UsageError(f"--source={source}: {error}") from error
  try:
    checkpoints.save_model(output, params, model, training)
  except OSError as error:
    raise app.UsageError(f"--output={output} cannot be written: {error}") from error
  logging.info("wrote %s", output)


if __name__ == "__main__":
  command.run(main)
