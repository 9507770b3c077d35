"""What a twin finds where the noise moves with it, and where it does not.

  python docs/examples/unmoved_noise.py

prints the AUC of the Loss by single twins on tune tracks of the embedded benchmarks,
for models on waveforms and on latents of a mel spectrogram.
"""

from typing import Any

from flax import struct
from shift import auc_by

from lsaprobe_jax import twins


class Unmoved(struct.PyTreeNode):
  """A twin that cannot be undone, so that its noise is that of the clip."""

  twin: Any

  def __call__(self, audio):
    """Returns T x of a waveform."""
    return self.twin(audio)


def main():
  """Prints the table."""
  kinds = ("polarity", "reversal", "phase_90")
  for name in kinds:
    twin = Unmoved(twin=twins.get(name))
    kind = twins.Kind(twin=twin, assumes="as the twin", prefers=True)
    twins.register(f"{name}_unmoved", kind)
  for family, names in (("diffwave", kinds), ("musicldm", ("reversal",))):
    both = [name for kind in names for name in (kind, f"{kind}_unmoved")]
    for name, auc in auc_by(both, family=family).items():
      print(f"{family:9} {name:24} {auc:.3f}")


if __name__ == "__main__":
  main()
