"""Licences of everything that is installed with the package, and known holes in it.

python .ci/audit.py

Ends with 1 on a licence that is not on the list, or on an advisory of pip-audit. Where
pip-audit cannot be run or its service cannot be reached, it says so and goes on.
"""

import importlib.metadata
import json
import re
import subprocess
import sys

from packaging.requirements import Requirement

ROOT = "lsaprobe_jax"
EXTRAS = ("", "datasets")
# As they stand in metadata: SPDX expressions, classifiers or the first line of a text.
ALLOWED = re.compile(
  r"apache|\bmit\b|bsd|isc\b|mpl|mozilla|python software foundation|\bpsf|zlib|"
  r"public domain|unlicense|0bsd|lgpl-2\.1|lgplv?2|lgplv?3|lesser general",
  re.IGNORECASE,
)
# What metadata do not say, looked up in the projects' own LICENSE files.
KNOWN: dict[str, str] = {}


def closure(root: str) -> dict[str, importlib.metadata.Distribution]:
  """Distributions that `root` needs, those of `EXTRAS` included, by name."""
  found, todo = {}, [(root, extra) for extra in EXTRAS]
  seen = set()
  while todo:
    name, extra = todo.pop()
    key = re.sub(r"[-_.]+", "-", name).lower()
    if (key, extra) in seen:
      continue
    seen.add((key, extra))
    try:
      found[key] = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
      continue  # for another platform or Python
    for line in found[key].requires or ():
      need = Requirement(line)
      if need.marker is None or need.marker.evaluate({"extra": extra}):
        todo += [(need.name, more) for more in ("", *need.extras)]
  return found


def licence(distribution: importlib.metadata.Distribution) -> str:
  """What its metadata say of its licence."""
  meta = distribution.metadata
  said = [meta.get("License-Expression", ""), (meta.get("License") or "")[:200]]
  said += [c for c in meta.get_all("Classifier") or () if c.startswith("License")]
  return " | ".join(part.strip().splitlines()[0] for part in said if part.strip())


def audit() -> list[str]:
  """Advisories of pip-audit; prints how much of the environment it could look up."""
  command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--format=json"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  try:
    listed = json.loads(done.stdout)["dependencies"]
  except (ValueError, KeyError):
    lines = done.stderr.strip().splitlines() or ["no message"]
    print(f"pip-audit could not run, nothing is known of advisories: {lines[-1]}")
    return []
  looked_up = [package for package in listed if "vulns" in package]
  print(f"pip-audit: advisories were looked up for {len(looked_up)} of {len(listed)}")
  if not looked_up:
    print("pip-audit: its service knows none of them here; this shows nothing")
  return [
    f"{package['name']} {package['version']}: {hole['id']}"
    for package in looked_up
    for hole in package["vulns"]
  ]


def main() -> int:
  """Prints what is refused; returns the exit status."""
  found = closure(ROOT)
  licences = {
    name: licence(dist) or KNOWN.get(name, "") for name, dist in found.items()
  }
  refused = {n: text for n, text in licences.items() if not ALLOWED.search(text)}
  refused.pop(re.sub("_", "-", ROOT), None)
  for name, text in sorted(refused.items()):
    print(f"licence not on the list: {name}: {text or 'none stated'}")
  print(f"{len(found)} distributions, {len(refused)} licences refused")
  advisories = audit()
  for line in advisories:
    print(f"advisory: {line}")
  return int(bool(refused or advisories))


if __name__ == "__main__":
  sys.exit(main())
