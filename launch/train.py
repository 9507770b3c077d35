"""Trains one network of a model on groups of a corpus.

python -m launch.train --config=configs/train_diffwave.py:multigenre,a --workdir=DIR

`config.trains` says which network: `denoiser` (DiffWave, or the UNet or transformer of
a latent model), `lora` (matrices of low rank beside its weights), `vae` or `vocoder`.
The other networks of a latent model come from `config.parts`, folders that earlier
trainings exported. `config.initial` is a whole model of the same configuration to train
on from (fine-tuning) instead of random weights; it brings its parts. Steps are counted
from 0 again: draw other noise by another `config.seed` than its own. --dry_run times
some steps and estimates the whole.
"""

from absl import flags

from launch import command, devices

_CONFIG = command.define_config("The training.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Checkpoints and losses go here.")
_EXPORT = flags.DEFINE_string(
  "export", None, "Where the trained model folder goes (default: WORKDIR/model)."
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Time some steps and estimate the training; write nothing."
)


def main(argv):
  """Trains, or goes on where an interrupted run left off."""
  command.refuse_arguments(argv)
  devices.use_one()
  # Optax and Orbax take a second to import, which --help need not wait for.
  from lsaprobe_jax import training

  settings = training.TrainSettings.from_dict(_CONFIG.value.to_dict())
  with command.ending_in_one_line(
    f"the last checkpoint in {_WORKDIR.value}",
    "begin in a new folder with a smaller --config.batch_size, which trains another"
    " model",
  ):
    if _DRY_RUN.value:
      print(training.estimate(settings))
    else:
      training.train(settings, _WORKDIR.value, _EXPORT.value)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
