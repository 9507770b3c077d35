"""Where the original of a dataset lies: in the manual folder, else downloaded."""

import pathlib
from collections.abc import Sequence

from lsaprobe_jax.data import audio
from lsaprobe_jax.text import first_line


def find_root(
  dl_manager, wanted: dict[str, str], folders: Sequence[str], instructions: str
) -> pathlib.Path:
  """Finds the folder that holds some paths: below the manual one, else downloaded.

  Args:
    dl_manager: of tensorflow-datasets.
    wanted: path -> the official archive that holds it.
    folders: of the manual folder, where the paths may be.
    instructions: what a user is told to do.

  Raises:
    AudioError: the paths are not there and cannot be downloaded.
  """
  try:
    manual = pathlib.Path(dl_manager.manual_dir)
  except AssertionError:  # It is not there, or empty.
    manual = None
  for folder in folders if manual else ():
    if all((manual / folder / path).exists() for path in wanted):
      return manual / folder
  try:
    archives = dl_manager.download_and_extract(dict(wanted))
    return _linked(wanted, archives, pathlib.Path(dl_manager.download_dir))
  # Whatever went wrong with a download, the way out is the manual folder.
  except Exception as error:
    raise audio.AudioError(
      f"{manual or 'manual_dir'}: lacks {' or '.join(wanted)}, and the download failed"
      f" ({type(error).__name__}: {first_line(error):.200}); {instructions}"
    ) from error


def _linked(wanted, archives, folder: pathlib.Path) -> pathlib.Path:
  """Returns one folder with every wanted path, wherever each was unpacked to."""
  for path, archive in archives.items():
    top = path.split("/")[0]
    found = next(pathlib.Path(archive).rglob(top), None)
    if found is None:
      raise audio.AudioError(f"the archive of {path} holds no {top}")
    if len(wanted) == 1:
      return found.parent
    if not (folder / top).exists():
      (folder / top).symlink_to(found, target_is_directory=True)
  return folder
