"""SimA: the noise a model sees in a clean clip (arXiv 2509.25003). One evaluation."""

from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.attacks.pia import p_norm


class SimA(struct.PyTreeNode):
  """`||e(x_0, t)||_p` of the clean clip, no noise added; lower = member.

  Attributes:
    order: p of the norm.
  """

  order: float = struct.field(pytree_node=False, default=4.0)

  def __call__(self, generator, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    del key  # No noise is drawn.
    noise = generator.predict_noise(generator.encode(audio), t)
    return Outcome(
      score=-p_norm(noise, self.order), forward_passes=1, backward_passes=0
    )
