"""Membership audits: two folders of tracks and a model, to a verdict.

`lsaprobe_jax.audit` is a function of the public API and the package behind it.
Importing any file of the package puts the package under that name, so the package can
be called as the function.
"""

import sys
import types

from lsaprobe_jax.audit.findings import to_plain
from lsaprobe_jax.audit.procedure import audit, estimate, prepare
from lsaprobe_jax.audit.result import AuditResult
from lsaprobe_jax.audit.settings import AuditSettings

__all__ = ["AuditResult", "AuditSettings", "audit", "estimate", "prepare", "to_plain"]


class _CallablePackage(types.ModuleType):
  """A package that is called as the function `audit`."""

  __call__ = staticmethod(audit)


sys.modules[__name__].__class__ = _CallablePackage
