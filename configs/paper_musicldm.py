"""The paper's settings for MusicLDM (Liu et al., ICASSP 2026), where it fixes them.

  python -m launch.eval --config=configs/paper_musicldm.py:maestro --workdir=runs/lm
  python -m launch.eval --config=configs/paper_musicldm.py:fma --workdir=runs/lf

Data are built by `launch.corpus --sample_rate=16000` (docs/datasets.md) below `data`;
the models are those that `configs/paper_train.py` trains on the halves. For a converted
pipeline that was trained elsewhere see configs/musicldm.py.

An accelerator is meant: the search differentiates up to 660 reverse processes a clip.
"""

from ml_collections import ConfigDict

from configs import paper_diffwave

# Segments of 4 s at 16,000 Hz of whole tracks, as `launch.corpus` names the folders.
_FOLDERS = {
  "maestro": "data/maestro_v3/16000hz-4s-all/1.0.0",
  "fma": "data/fma/large-16000hz-4s-all/1.0.0",
}


def get_config(corpus: str = "maestro") -> ConfigDict:
  if corpus not in _FOLDERS:
    known = ", ".join(_FOLDERS)
    raise ValueError(f"configs/paper_musicldm.py:{corpus}: known: {known}")
  config = paper_diffwave.get_config(corpus)
  config.corpus.path = _FOLDERS[corpus]
  for name in config.targets:
    config.targets[name] = f"runs/train/musicldm-{corpus}-{name.lower()}/model"
  return config
