"""Packaging of lsaprobe_jax; tool settings live in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent

# Stated there alone; read, not imported, as dependencies may be missing.
PACKAGE = (HERE / "lsaprobe_jax" / "__init__.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "(.+)"$', PACKAGE, re.MULTILINE)[1]

setup(
  name="lsaprobe_jax",
  version=VERSION,
  description="Membership audits of music diffusion models with LSA-Probe, in JAX.",
  long_description=(HERE / "README.md").read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  python_requires=">=3.11,<3.13",
  packages=find_packages(include=["lsaprobe_jax*", "configs*", "launch*"]),
  package_data={
    "lsaprobe_jax": [
      "data/shipped/*/*",
      "data/tables/*",
      "models/musicldm/*.json",
      "report/templates/*",
      "weights/*.md",
      "weights/*/*",
    ]
  },
  install_requires=[
    "absl-py>=2.1",
    "chex>=0.1.89",
    "flax>=0.10.4",
    "jinja2>=3.1",
    "jax>=0.10,<0.12",
    "librosa>=0.10.2",
    "matplotlib>=3.8",
    "ml_collections>=1.0",
    "numpy>=1.26",
    "optax>=0.2.6",
    "orbax-checkpoint>=0.11",
    "pyloudnorm>=0.1.1",
    "safetensors>=0.4.5",
    "scikit-learn>=1.4",
    "scipy>=1.12",
    "soundfile>=0.12.1",
    "soxr>=0.3.7",
    "tqdm>=4.66",
  ],
  extras_require={
    # What the tests need.
    "test": [
      "array_record>=0.8",
      "hypothesis>=6.100",
      "importlib_resources>=6",
      # Notebooks run in kernels.
      "ipykernel>=6.29",
      "nbclient>=0.10",
      "playwright>=1.49",
      "pytest>=8",
      "pyyaml>=6",
      "ruff>=0.6",
      "statsmodels>=0.14",
      "tensorflow-datasets>=4.9.9",
    ],
    # MAESTRO and FMA (docs/datasets.md); no TensorFlow.
    # importlib_resources: tensorflow-datasets 4.9.10 uses it without requiring it.
    "datasets": [
      "array_record>=0.8",
      "importlib_resources>=6",
      "tensorflow-datasets>=4.9.9",
    ],
    # The originals that ported code is compared with (`pytest -m parity`).
    "parity": [
      "auraloss==0.4.0",
      "diffusers>=0.42",
      "torch>=2.5",
      "transformers>=5.20",
    ],
    # The documentation's site (`mkdocs build --strict`).
    "docs": [
      "mkdocs>=1.6,<2",
      "mkdocs-material>=9.6,<10",
      "mkdocstrings[python]>=1.0,<2",
    ],
    # Its sdist and wheel (`python -m build`).
    "release": ["build>=1.2"],
    # What builds the corpora from their sources (`launch.corpus`).
    "recipes": ["mido>=1.3", "music21==10.5.1"],
    # CDPAM's published weights; read without importing it (see distances/cdpam.py).
    # Installed with `pip install --no-deps cdpam==0.0.6`: its dependencies
    # include PyTorch, which nothing here needs.
  },
)
