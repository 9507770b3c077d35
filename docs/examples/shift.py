"""The twin that fails: a shift in time, to which convolutions are blind.

  python docs/examples/shift.py

prints, for shifts and other twins, how far the network treats them apart and what the
Loss finds by them, on tune tracks of the embedded benchmark.
"""

import numpy as np
from flax import struct
from jax import numpy as jnp
from sklearn.metrics import roc_auc_score

import lsaprobe_jax as lsa
from lsaprobe_jax import twins
from lsaprobe_jax.data import splits
from lsaprobe_jax.scoring.row_store import RowStore
from lsaprobe_jax.scoring.scorer import Scorer


class Shift(struct.PyTreeNode):
  """A shift round the end. It is a mirror in all but its use: it can be undone."""

  by: int = struct.field(pytree_node=False)

  def __call__(self, audio):
    """Returns T x of a waveform."""
    return jnp.roll(audio, self.by, axis=-1)

  def undo(self, audio):
    """Returns x of T x."""
    return jnp.roll(audio, -self.by, axis=-1)

  def on_state(self, state, kind):
    """Moves a state with the clip."""
    return self(state) if kind == "waveform" else state

  def undo_on_state(self, state, kind):
    """Moves a state back."""
    return self.undo(state) if kind == "waveform" else state


def auc_by(
  names, *, family: str = "diffwave", limit: int | None = None
) -> dict[str, float]:
  """Returns the cross-over AUC of the Loss less each twin alone, on tune tracks.

  Args:
    names: twins, by their names.
    family: of the embedded models.
    limit: at most so many clips of each half.
  """
  scorer, aucs = Scorer(0, 0), []
  for group in "ab":
    model, clips = _opened(family, group, limit)
    attack = lsa.attacks.Twinned.by_names(lsa.attacks.Loss(), names)
    rows = scorer(RowStore(), attack, model, clips, method="loss", t_ratio=0.2)
    own = np.array([[row["score"], *row["twin_scores"]] for row in rows])
    less = np.log(-own[:, 1:]) - np.log(-own[:, :1])
    member = [clip.group == group for clip in clips.clips]
    aucs.append([roc_auc_score(member, column) for column in less.T])
  return dict(zip(names, map(float, np.mean(aucs, axis=0)), strict=True))


def _opened(family: str, group: str, limit: int | None = None):
  """A model, and the tune clips of both halves that it or the other was trained on."""
  model = lsa.load_model(f"{family}-multigenre-{group}", name=group)
  clips = lsa.load_audio("multigenre", like=model, groups=["a", "b"], clips_per_track=1)
  clips = clips.take(splits.keep(clips.clips, "tune", limit))
  return model.for_length(clips.audio.shape[1]), clips


def main():
  """Prints the table."""
  for by in (1, 16, 256):
    kind = twins.Kind(twin=Shift(by), assumes="any place is as likely", prefers=False)
    twins.register(f"shift_{by}", kind)
  for degrees in (10, 20, 45):
    turn = twins.Mirror.by_degrees(degrees)
    kind = twins.Kind(twin=turn, assumes="any phase is as likely", prefers=False)
    twins.register(f"phase_{degrees}", kind)
  names = [name for name in twins.names() if not name.startswith(("half", "slower"))]
  names.remove("channel_swap")
  model, clips = _opened("diffwave", "a")
  network = {
    of.name: of.network for of in twins.suitable(model.model, clips.audio[:4], names)
  }
  print("twin               network  AUC by it alone")
  for name, auc in sorted(auc_by(names).items(), key=lambda pair: pair[1]):
    print(f"{name:18} {network[name]:7.3f}  {auc:.3f}")


if __name__ == "__main__":
  main()
