"""Checks the licences of what the package needs, and looks for known holes in it.

python .ci/audit.py

Ends with 1 on a licence that is not on the list, or on an advisory of pip-audit for the
package or what it needs; one for what only the tests need is printed. Where pip-audit
cannot be run, or its service cannot be reached in time, it says so and goes on.
"""

import importlib.metadata
import json
import re
import subprocess
import sys

from packaging.requirements import Requirement

ROOT = "lsaprobe_jax"
# What users install; the rest is for tests and the site.
EXTRAS = ("", "audit", "corpora", "datasets", "launch", "torch", "train")
# As they stand in metadata: SPDX expressions, classifiers or the first line of a text.
ALLOWED = re.compile(
  r"apache|\bmit\b|bsd|isc\b|mpl|mozilla|python software foundation|\bpsf|zlib|"
  r"public domain|unlicense|0bsd|lgpl-2\.1|lgplv?2|lgplv?3|lesser general",
  re.IGNORECASE,
)
# For all of pip-audit: a network that swallows requests must not hold up CI.
SECONDS = 120


def normal(name: str) -> str:
  """Returns a distribution's name as PyPI compares it."""
  return re.sub(r"[-_.]+", "-", name).lower()


def closure(root: str) -> dict[str, importlib.metadata.Distribution]:
  """Finds the distributions that `root` needs, those of `EXTRAS` too, by name."""
  found, todo = {}, [(root, extra) for extra in EXTRAS]
  seen = set()
  while todo:
    name, extra = todo.pop()
    key = normal(name)
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
  """Returns what its metadata say of its licence."""
  meta = distribution.metadata
  said = [meta.get("License-Expression", ""), (meta.get("License") or "")[:200]]
  said += [c for c in meta.get_all("Classifier") or () if c.startswith("License")]
  return " | ".join(part.strip().splitlines()[0] for part in said if part.strip())


def audit() -> list[tuple[str, str]]:
  """Asks pip-audit for (distribution, advisory), and prints for how many it knew."""
  command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--format=json"]
  try:
    done = subprocess.run(
      command, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    listed = json.loads(done.stdout)["dependencies"]
  except subprocess.TimeoutExpired:
    print(f"pip-audit: no answer in {SECONDS} s, nothing is known of advisories")
    return []
  except (ValueError, KeyError):
    lines = done.stderr.strip().splitlines() or ["no message"]
    print(f"pip-audit could not run, nothing is known of advisories: {lines[-1]}")
    return []
  looked_up = [package for package in listed if "vulns" in package]
  print(f"pip-audit: advisories were looked up for {len(looked_up)} of {len(listed)}")
  if not looked_up:
    print("pip-audit: its service knows none of them here; this shows nothing")
  return [
    (normal(package["name"]), f"{package['name']} {package['version']}: {hole['id']}")
    for package in looked_up
    for hole in package["vulns"]
  ]


def main() -> int:
  """Prints what is refused; returns the exit status."""
  found = closure(ROOT)
  licences = {name: licence(found[name]) for name in found if name != normal(ROOT)}
  refused = {name: text for name, text in licences.items() if not ALLOWED.search(text)}
  for name, text in sorted(refused.items()):
    print(f"licence not on the list: {name}: {text or 'none stated'}")
  print(f"{len(found)} distributions, {len(refused)} licences refused")
  advisories = audit()
  for name, text in advisories:
    print(f"advisory{'' if name in found else ' (only the tests need it)'}: {text}")
  return int(bool(refused) or any(name in found for name, _ in advisories))


if __name__ == "__main__":
  sys.exit(main())
