"""What a twin finds where the noise moves with it, and where it does not.

  python docs/examples/unmoved_noise.py

prints the AUC of the Loss by single twins on tune tracks of the embedded benchmarks,
for models on waveforms and on latents of a mel spectrogram.
"""

from typing import Any

import numpy as np
from flax import struct
from sklearn.metrics import roc_auc_score

import lsaprobe_jax as lsa
from lsaprobe_jax import twins
from lsaprobe_jax.data import splits
from lsaprobe_jax.scoring.row_store import RowStore
from lsaprobe_jax.scoring.scorer import Scorer


class Unmoved(struct.PyTreeNode):
  """A twin that cannot be undone, so that its noise is that of the clip."""

  twin: Any

  def __call__(self, audio):
    """Returns T x of a waveform."""
    return self.twin(audio)


def auc_by(family: str, names, seconds: float, t_ratio: float) -> dict[str, float]:
  """Returns the cross-over AUC of the Loss less each twin, on tune tracks."""
  models = {
    group: lsa.load_model(f"{family}-multigenre-{group}", name=group) for group in "ab"
  }
  clips = lsa.load_audio(
    "multigenre",
    like=models["a"],
    groups=["a", "b"],
    clips_per_track=1,
    clip_seconds=seconds,
  )
  clips = clips.take(splits.keep(clips.clips, "tune", None))
  attack = lsa.attacks.Twinned.by_names(lsa.attacks.Loss(), names)
  scorer, aucs = Scorer(0, 0, len(clips)), []
  for group, model in models.items():
    model = model.for_length(clips.audio.shape[1])
    rows = scorer(RowStore(), attack, model, clips, method="loss", t_ratio=t_ratio)
    own = np.array([[row["score"], *row["twin_scores"]] for row in rows])
    less = np.log(-own[:, 1:]) - np.log(-own[:, :1])
    member = [clip.group == group for clip in clips.clips]
    aucs.append([roc_auc_score(member, column) for column in less.T])
  return dict(zip(names, map(float, np.mean(aucs, axis=0)), strict=True))


def main():
  """Prints the table."""
  kinds = ("polarity", "reversal", "phase_90")
  for name in kinds:
    twin = Unmoved(twin=twins.get(name))
    kind = twins.Kind(twin=twin, assumes="as the twin", prefers=True)
    twins.register(f"{name}_unmoved", kind)
  for family, names, seconds in (
    ("diffwave", kinds, 0.512),
    ("musicldm", ("reversal",), 0.512),
  ):
    both = [name for kind in names for name in (kind, f"{kind}_unmoved")]
    for name, auc in auc_by(family, both, seconds, 0.2).items():
      print(f"{family:9} {name:24} {auc:.3f}")


if __name__ == "__main__":
  main()
