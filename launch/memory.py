"""How much memory a search takes under a model, by the compiler; runs no model.

python -m launch.memory --model=MODEL [--seconds=10] [--precision=bfloat16]
  [--num_inference_steps=1] [--distance=mr_stft] [--topology=v5p:2x2x1]

MODEL is an embedded model, a model folder, a pipeline's folder, or the name of a
published configuration, `stable-audio-open-1.0` or `ace-step-1.5`. It compiles the
gradient of D by the perturbation for one clip, which a search holds one of for each
clip on a device, and prints what that needs besides the weights. Flags given several
times make a table. --topology compiles for a chip that need not be there (`jax[tpu]`).
"""

import itertools
import pathlib
import shlex
import sys

from absl import flags, logging

from launch import command, devices
from lsaprobe_jax import backends, distances
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models.checkpoints import CheckpointError
from lsaprobe_jax.scoring import memory_estimate

_MODEL = flags.DEFINE_string("model", None, "The model.", required=True)
_SECONDS = flags.DEFINE_multi_float("seconds", [10.0], "Length of the clip.")
_PRECISION = flags.DEFINE_multi_enum(
  "precision", ["float32"], ["float32", "bfloat16"], "What networks compute in."
)
_STEPS = flags.DEFINE_multi_integer("num_inference_steps", [1], "S, steps of R_t.", 1)
_DISTANCE = flags.DEFINE_string("distance", "mr_stft", "The distance.")
_KEEP = flags.DEFINE_bool(
  "keep", False, "Keep what a backward pass needs instead of rematerialising it."
)
_AS_ACCELERATOR = flags.DEFINE_bool(
  "as_accelerator", False, "Count accelerators' convolutions, on whatever compiles."
)
_TOPOLOGY = flags.DEFINE_string(
  "topology", None, "TPUs to compile for, say v5p:2x2x1; else the backend."
)
_OUTPUT = flags.DEFINE_string("output", None, "A Markdown file for the table, too.")

# Whether a distance is there does not depend on it.
_ANY_RATE = 16_000
_PAGE = """# Memory of the probe's gradient: {model}

`{command}`

{table}
"""


def main(argv):
  """Prints the table, a line at a time."""
  command.refuse_arguments(argv)
  devices.use_one()
  try:
    config = memory_estimate.read_config(_MODEL.value)
    distances.get(_DISTANCE.value, sample_rate=_ANY_RATE)
    _table(config)
  except CheckpointError as error:
    raise ArgumentError(f"model: {error}") from error
  except SettingError as error:
    raise ArgumentError(str(error)) from error


def _table(config):
  """Prints a line for each precision, length and number of steps."""
  lines = [memory_estimate.HEAD]
  print(memory_estimate.HEAD, flush=True)
  device = backends.tpu_devices(_TOPOLOGY.value)[0] if _TOPOLOGY.value else None
  cells = itertools.product(_PRECISION.value, _SECONDS.value, _STEPS.value)
  for precision, seconds, steps in cells:
    found = memory_estimate.estimate_memory(
      config,
      seconds=seconds,
      num_inference_steps=steps,
      distance=_DISTANCE.value,
      precision=precision,
      rematerialise=not _KEEP.value,
      as_accelerator=_AS_ACCELERATOR.value,
      device=device,
    )
    lines.append(str(found))
    print(found, flush=True)
    if _OUTPUT.value:
      text = _PAGE.format(
        model=_MODEL.value,
        command=f"python -m launch.memory {shlex.join(sys.argv[1:])}",
        table="\n".join(lines),
      )
      write_whole(pathlib.Path(_OUTPUT.value), text)
      logging.info("wrote %s", _OUTPUT.value)


if __name__ == "__main__":
  command.run(main)
