"""Converts a published PyTorch checkpoint into a model folder.

python -m launch.convert --source=weights.pt --output=DIR
python -m launch.convert --source=PIPELINE_FOLDER --output=DIR [--prompt="..."]
  [--embedding=FILE.npy] [--lora=FILE [--lora_scale=1.0]]
python -m launch.convert --source=hf:OWNER/NAME --output=DIR

It reads the `.pt` files of LMNT's DiffWave, and MusicLDM, AudioLDM, Stable Audio and
ACE-Step pipelines that diffusers saved in safetensors. It needs no PyTorch, and runs
nothing that the files contain. Only `--prompt` runs PyTorch, once. `--lora` merges a
LoRA that was trained on the pipeline. See docs/musicldm.md, docs/stable_audio.md,
docs/ace_step.md and docs/lora.md.
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
_LORA = flags.DEFINE_string(
  "lora",
  None,
  "A LoRA to merge into the pipeline: a safetensors file with names of diffusers or"
  " peft, or the folder that either wrote.",
)
_LORA_SCALE = flags.DEFINE_float(
  "lora_scale", 1.0, "What the LoRA adds is multiplied by it."
)


def main(argv):
  """Converts the checkpoint."""
  command.refuse_arguments(argv)
  folder = conversion.convert(
    _SOURCE.value,
    _OUTPUT.value,
    prompt=_PROMPT.value,
    embedding=_EMBEDDING.value,
    lora=_LORA.value,
    lora_scale=_LORA_SCALE.value,
  )
  logging.info("wrote %s", folder)


if __name__ == "__main__":
  command.run(main)
