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


def compare(names, limit: int | None = None) -> dict[str, tuple[float, float]]:
  """Returns (how far the network treats it apart, cross-over AUC by it) of each twin.

  Args:
    names: twins, by their names.
    limit: at most so many clips of each half.
  """
  models = {
    group: lsa.load_model(f"diffwave-multigenre-{group}", name=group) for group in "ab"
  }
  clips = lsa.load_audio(
    "multigenre", like=models["a"], groups=["a", "b"], clips_per_track=1
  )
  clips = clips.take(splits.keep(clips.clips, "tune", limit))
  attack = lsa.attacks.Twinned.by_names(lsa.attacks.Loss(), names)
  return _table(models, clips, attack, names)


def _table(models, clips, attack, names):
  scorer, aucs = Scorer(0, 0, len(clips)), []
  member = {group: [c.group == group for c in clips.clips] for group in models}
  for group, model in models.items():
    rows = scorer(RowStore(), attack, model, clips, method="loss", t_ratio=0.2)
    own = np.array([[row["score"], *row["twin_scores"]] for row in rows])
    less = np.log(-own[:, 1:]) - np.log(-own[:, :1])
    aucs.append([roc_auc_score(member[group], column) for column in less.T])
  found = twins.suitable(models["a"].model, clips.audio[:4], names)
  return {
    of.name: (of.network, float(auc))
    for of, auc in zip(found, np.mean(aucs, axis=0), strict=True)
  }


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
  print("twin               network  AUC by it alone")
  for name, (network, auc) in sorted(compare(names).items(), key=lambda x: x[1][1]):
    print(f"{name:18} {network:7.3f}  {auc:.3f}")


if __name__ == "__main__":
  main()
