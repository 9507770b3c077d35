"""Any attack on a clip and on its twins, in one program (`twins`)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import twins
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.parallel import map_examples
from lsaprobe_jax.twins import Mirror, Twin, mirrored


class Twinned(struct.PyTreeNode):
  """An attack that scores a clip, and its twins beside it.

  Score and NFE are those of the clip alone. The details say what the twins have:
  `twin_scores` [twins], higher = member, and the NFE of all twins together. Noise and
  random starts move with each twin.

  Attributes:
    attack: the attack.
    twins: the twins, in the order of their scores.
    names: their names, which rows say.
  """

  attack: Any
  twins: tuple[Twin, ...]
  names: tuple[str, ...] = struct.field(pytree_node=False, default=())

  @classmethod
  def by_names(cls, attack: Any, names: Sequence[str]) -> "Twinned":
    """Makes it of an attack and the names of twins (`twins.names`).

    Raises:
      SettingError: there is no such twin.
    """
    return cls(attack=attack, twins=tuple(map(twins.get, names)), names=tuple(names))

  @property
  def magnitude(self) -> bool:
    """Whether the score is minus a magnitude, as the attack says."""
    return getattr(self.attack, "magnitude", False)

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    # The clip itself is the mirror that changes nothing, so that the attack is compiled
    # once for all mirrors.
    mirrors = [Mirror(), *(twin for twin in self.twins if isinstance(twin, Mirror))]
    stacked = jax.tree.map(lambda *x: jnp.stack(list(map(jnp.asarray, x))), *mirrors)
    seen = map_examples(
      lambda mirror: self.attack(mirrored(model, mirror), key, audio, t), stacked
    )
    own, *found = (jax.tree.map(lambda x: x[i], seen) for i in range(len(mirrors)))  # noqa: B023
    # In the order of the twins, those that are no mirrors among them.
    others = [
      found.pop(0)
      if isinstance(twin, Mirror)
      else self._alone(twin, model, key, audio, t)
      for twin in self.twins
    ]
    column = lambda read: jnp.stack([jnp.asarray(read(twin)) for twin in others])
    details = {
      "twin_scores": column(lambda twin: twin.score),
      "twin_nfe_forward": jnp.sum(column(lambda twin: twin.nfe_forward)),
      "twin_nfe_backward": jnp.sum(column(lambda twin: twin.nfe_backward)),
    }
    for name in getattr(self.attack, "twin_details", ()):
      details[f"twin_{name}"] = column(lambda twin: twin.details[name])  # noqa: B023
    return own.replace(details={**own.details, **details})

  def _alone(self, twin: Twin, model, key, audio, t) -> Outcome:
    """Scores a twin that is no `Mirror`; its noise moves with it where it can."""
    if hasattr(twin, "undo"):
      return self.attack(mirrored(model, twin), key, audio, t)
    return self.attack(model, key, twin(audio), t)
