"""What TPUs' compiler says: `python tests/for_tpu.py OUT.json`.

It has a process of its own: while tests loaded libtpu in theirs, one of pytest's two
workers ended in a segmentation fault as JAX wrote a program for the CPU to its cache
(jax 0.10.2). Whether that was the worker that had loaded it is not known.
"""

import json
import pathlib
import re
import sys

import jax
import on_devices

from lsaprobe_jax import backends
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.scoring import memory_estimate

TOPOLOGY = "v5p:2x2x1"


def main(path: str) -> None:
  """Writes what is found."""
  chips = backends.tpu_devices(TOPOLOGY)
  try:
    backends.tpu_devices("v99:2x2")
    refused = ""
  except SettingError as error:
    refused = str(error)
  there, here = (
    memory_estimate.estimate_memory(
      on_devices.MODEL, seconds=0.064, distance="waveform", device=device
    )
    for device in (chips[0], None)
  )
  mesh = jax.sharding.Mesh(chips, on_devices.AXIS)
  with backends.written_for("tpu"):
    text = on_devices.program_text(on_devices.diffwave(), mesh)
  collectives = lambda program: len(re.findall(on_devices.COLLECTIVES, program))
  found = {
    "platforms": [chip.platform for chip in chips],
    "refused": refused,
    "weights": [there.weights_bytes, here.weights_bytes],
    "working": [there.working_bytes, here.working_bytes],
    "convolutions": text.count("convolution"),
    "collectives": collectives(text),
    "collectives of a sum": collectives(on_devices.communicating_text(mesh)),
  }
  pathlib.Path(path).write_text(json.dumps(found))


if __name__ == "__main__":
  main(sys.argv[1])
