"""Converts a published PyTorch checkpoint into a model folder.

python -m launch.convert --source=weights.pt --output=DIR
python -m launch.convert --source=PIPELINE_FOLDER --output=DIR [--prompt="..."]
  [--embedding=FILE.npy]
python -m launch.convert --source=hf:OWNER/NAME --output=DIR

It reads the `.pt` files of LMNT's DiffWave, and MusicLDM, AudioLDM, Stable Audio and
ACE-Step pipelines that diffusers saved in safetensors. It needs no PyTorch, and runs
nothing that the files contain. Only `--prompt` runs PyTorch, once. See
docs/musicldm.md, docs/stable_audio.md and docs/ace_step.md.
"""

from absl import flags, logging

from launch import command
from lsaprobe_jax.models import conversion

_SOURCE = flags.DEFINE_string(
  "source",
  None,
  "A DiffWave .pt file, the folder of a MusicLDM, AudioLDM, Stable Audio or ACE-Step"
  " pipeline, or hf:owner/name of one on the Hugging Face hub.",
  required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "The model folder.", required=True)
_PROMPT = flags.DEFINE_string(
  "prompt", None, "Text that the pipeline is conditioned on; empty for the empty text."
)
_EMBEDDING = flags.DEFINE_string(
  "embedding",
  None,
  "A .npy file with the CLAP embedding to condition on (MusicLDM and AudioLDM alone).",
)


def main(argv):
  """Converts the checkpoint."""
  command.refuse_arguments(argv)
  folder = conversion.convert(
    _SOURCE.value, _OUTPUT.value, prompt=_PROMPT.value, embedding=_EMBEDDING.value
  )
  logging.info("wrote %s", folder)


if __name__ == "__main__":
  command.run(main)
