"""Packaging of lsaprobe_jax; tool settings live in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent

# Stated there alone; read, not imported, as dependencies may be missing.
PACKAGE = (HERE / "lsaprobe_jax" / "__init__.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "(.+)"$', PACKAGE, re.MULTILINE)[1]

# What loading a model, scoring and the metrics need.
BASE = [
  "absl-py>=2.1",
  "flax>=0.10.4",
  "jax>=0.10,<0.12",
  "numpy>=1.26",
  "optax>=0.2.6",
  "pyloudnorm>=0.1.1",
  "safetensors>=0.4.5",
  "scikit-learn>=1.4",
  "scipy>=1.12",
  "soundfile>=0.12.1",
  "soxr>=0.3.7",
  "tqdm>=4.66",
]
# Mel filters, chroma and the features of the blind baseline: audits, MusicLDM, log-mel.
AUDIO = ["librosa>=0.10.2"]
# Pages, dossiers and figures.
REPORT = ["jinja2>=3.1", "matplotlib>=3.8"]
# Checkpoints of a training.
TRAIN = ["orbax-checkpoint>=0.11"]
# The commands `python -m launch.NAME` of the repository.
LAUNCH = ["ml_collections>=1.0", *AUDIO, *REPORT, *TRAIN]
# MAESTRO and FMA (docs/datasets.md); no TensorFlow.
# importlib_resources: tensorflow-datasets 4.9.10 uses it without requiring it.
DATASETS = [
  "array_record>=0.8",
  "importlib_resources>=6",
  "tensorflow-datasets>=4.9.9",
  *AUDIO,
]
# Any PyTorch model (`lsaprobe_jax.from_torch`). torchax follows PyTorch's operators, so
# that few pairs import: this one does, and models/torch_network.py names it.
TORCH = ["torch==2.13.0", "torchax==0.0.14.dev20261026"]

setup(
  name="lsaprobe_jax",
  version=VERSION,
  description="Membership audits of music diffusion models with LSA-Probe, in JAX.",
  long_description=(HERE / "README.md").read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  python_requires=">=3.11,<3.13",
  # Not launch and configs: names so general belong to the repository, not to
  # site-packages, where other projects have them too.
  packages=find_packages(include=["lsaprobe_jax*"]),
  package_data={
    "lsaprobe_jax": [
      "data/shipped/*/*",
      "data/tables/*",
      "models/musicldm/*.json",
      "models/published/*.json",
      "report/templates/*",
      "weights/*.md",
      "weights/*/*",
    ]
  },
  entry_points={"console_scripts": ["lsaprobe = lsaprobe_jax.cli:main"]},
  install_requires=BASE,
  extras_require={
    "audio": AUDIO,
    "report": REPORT,
    # `lsaprobe audit` and `lsaprobe_jax.audit`, with the dossier.
    "audit": [*AUDIO, *REPORT],
    "train": TRAIN,
    "launch": LAUNCH,
    "datasets": DATASETS,
    "torch": TORCH,
    # What renders the scores of the piano corpus (`launch.corpus`).
    "corpora": ["mido>=1.3", "music21==10.5.1"],
    # What the tests need.
    "test": [
      *LAUNCH,
      *DATASETS,
      "chex>=0.1.89",
      "hypothesis>=6.100",
      # Notebooks run in kernels.
      "ipykernel>=6.29",
      "nbclient>=0.10",
      "playwright>=1.49",
      "pytest>=8",
      "pytest-xdist>=3.7",
      "pyyaml>=6",
      "ruff>=0.6",
      # Python 3.12 has it no longer in every environment.
      "setuptools>=68",
      "statsmodels>=0.14",
    ],
    # The originals that ported code is compared with (`pytest -m parity`).
    "parity": [
      "auraloss==0.4.0",
      "diffusers>=0.42",
      # LoRAs, which diffusers loads through it.
      "peft>=0.17",
      *TORCH,
      # Stable Audio's scheduler imports it.
      "torchsde>=0.2.6",
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
    # CDPAM's published weights; read without importing it (see distances/cdpam.py).
    # Installed with `pip install --no-deps cdpam==0.0.6`: its dependencies
    # include PyTorch, which nothing here needs.
  },
)
