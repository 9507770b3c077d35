"""Adam with clipped gradients, a warm-up and a cosine decay."""

import optax

from lsaprobe_jax.training.settings import TrainSettings


def make_optimiser(
  settings: TrainSettings, total_steps: int
) -> optax.GradientTransformation:
  """Adam; gradients are clipped by their global norm, the rate rises and decays.

  Args:
    settings: `learning_rate`, `warmup_steps`, `final_learning_rate` and
      `max_grad_norm` are read.
    total_steps: steps of the whole run. A warm-up takes at most half of them.
  """
  learning_rate = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=settings.learning_rate,
    warmup_steps=min(settings.warmup_steps, total_steps // 2),
    decay_steps=total_steps,
    end_value=settings.final_learning_rate,
  )
  return optax.chain(
    optax.clip_by_global_norm(settings.max_grad_norm), optax.adam(learning_rate)
  )
