"""Training states on disk, through Orbax, which no other module imports."""

import pathlib
from typing import Any

import jax

from lsaprobe_jax import optional
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.text import first_line, printable


class TrainingCheckpoints:
  """Training states by step, through Orbax's CheckpointManager."""

  def __init__(self, folder: str | pathlib.Path, max_to_keep: int = 2):
    """Opens a folder of checkpoints, which is created if it is missing."""
    # It is slow to import, and only a training needs it.
    ocp = self._orbax = optional.require("orbax.checkpoint", "train")
    options = ocp.CheckpointManagerOptions(max_to_keep=max_to_keep)
    self._manager = ocp.CheckpointManager(
      pathlib.Path(folder).absolute(), options=options
    )

  def save(self, step: int, state: Any) -> None:
    """Saves and waits: a step that is listed is whole on disk."""
    self._manager.save(step, args=self._orbax.args.StandardSave(state))
    self._manager.wait_until_finished()

  def restore_latest(self, like: Any) -> tuple[int, Any] | None:
    """Returns (step, state) of the newest checkpoint, or None if there is none.

    Args:
      like: a state of the same structure, shapes and types.

    Raises:
      LsaProbeError: the newest cannot be read.
    """
    step = self._manager.latest_step()
    if step is None:
      return None
    ocp = self._orbax
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    try:
      state = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
    # What a damaged file does to TensorStore is of no class of its own.
    except Exception as error:
      folder = pathlib.Path(self._manager.directory) / str(step)
      raise LsaProbeError(
        f"{printable(folder)}: cannot be read ({first_line(error):.200}); delete that"
        " folder, and the training goes on from the one before it"
      ) from error
    return step, state

  def close(self) -> None:
    """Releases Orbax's threads."""
    self._manager.close()
