"""Training the networks of a model on groups of a corpus.

`train` and `estimate` take `TrainSettings`; the parts they are made of (`losses`,
`optimiser`, `train_state`) serve who writes a loop of their own.
"""

from lsaprobe_jax.training.cost_estimate import TrainingEstimate, estimate
from lsaprobe_jax.training.loop import train
from lsaprobe_jax.training.settings import TrainCorpus, TrainSettings

__all__ = ["TrainCorpus", "TrainSettings", "TrainingEstimate", "estimate", "train"]
