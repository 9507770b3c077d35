"""Takes networks that embedded models have in common out of each, into one file.

python -m benchmarks.share --models=musicldm-multigenre-a,musicldm-piano-a \
  --parts=vae,vocoder --name=musicldm-parts

The models are embedded ones, whole as launch.train exported them. Their hashes stay.
"""

from absl import app, flags

from launch import command
from lsaprobe_jax.models import checkpoints

_MODELS = flags.DEFINE_list("models", None, "Embedded models.")
_PARTS = flags.DEFINE_list("parts", None, "Networks that are the same in all.")
_NAME = flags.DEFINE_string("name", None, "Of the folder beside them.")


def main(argv):
  """Rewrites the models' weights."""
  command.refuse_arguments(argv)
  folders = [checkpoints.find_model(name) for name in _MODELS.value]
  try:
    checkpoints.share(folders, _PARTS.value, _NAME.value)
  except ValueError as error:
    raise app.UsageError(str(error)) from error


if __name__ == "__main__":
  flags.mark_flags_as_required(["models", "parts", "name"])
  command.run(main)
