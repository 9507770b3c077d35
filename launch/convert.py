"""Converts a published PyTorch checkpoint into a model folder.

python -m launch.convert --source=weights.pt --output=DIR

Reads the `.pt` files of LMNT's DiffWave, without PyTorch and without running
anything that the file contains.
"""

import pathlib

from absl import app, flags, logging

from lsaprobe_jax import checkpoints, torch_reader
from lsaprobe_jax.models import generator as generators
from lsaprobe_jax.models import porting

_SOURCE = flags.DEFINE_string("source", None, "A DiffWave .pt file.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The model folder.", required=True)


def main(argv):
  """Converts the checkpoint."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  source, output = pathlib.Path(_SOURCE.value), pathlib.Path(_OUTPUT.value)
  if output.exists() and not output.is_dir():
    raise app.UsageError(f"--output={output} is a file; name a folder to write to")
  try:
    checkpoint = torch_reader.read_state_dict(source)
    for key in ("model", "params"):
      if not isinstance(checkpoint.get(key), dict):
        raise ValueError(f"no {key!r} in it: not a checkpoint of LMNT's DiffWave")
    model = porting.diffwave_model_config(checkpoint["params"], checkpoint["model"])
    params = porting.diffwave_params(checkpoint["model"])
    checkpoints.check_fit(params, generators.abstract_params(model), str(source))
  except (ValueError, OSError, KeyError) as error:
    raise app.UsageError(f"--source={source}: {error}") from error
  training = {"converted_from": source.name, "steps": checkpoint.get("step")}
  checkpoints.save_model(output, params, model, training)
  logging.info("wrote %s", output)


if __name__ == "__main__":
  app.run(main)
