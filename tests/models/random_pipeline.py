"""Saves a MusicLDM pipeline of the published size with random weights, by diffusers.

  pip install -e '.[parity]' && python tests/models/random_pipeline.py FOLDER

About 1.2 GB and half a minute. It has no text encoder, which conversion does not need.
Stands in for the published weights where there is no network: the same files, names
and shapes.
"""

import json
import pathlib
import sys

import diffusers
import torch
import transformers

from lsaprobe_jax.models.musicldm import porting


def main(folder: pathlib.Path) -> None:
  """Builds the modules and saves them as a pipeline."""
  published = pathlib.Path(porting.__file__).with_name("published.json")
  config = json.loads(published.read_text())["musicldm"]
  torch.manual_seed(0)
  pipeline = diffusers.MusicLDMPipeline(
    vae=diffusers.AutoencoderKL.from_config(config["vae"]),
    text_encoder=None,
    tokenizer=None,
    feature_extractor=None,
    unet=diffusers.UNet2DConditionModel.from_config(config["unet"]),
    scheduler=diffusers.DDIMScheduler.from_config(config["scheduler"]),
    vocoder=transformers.SpeechT5HifiGan(
      transformers.SpeechT5HifiGanConfig(**config["vocoder"])
    ),
  )
  pipeline.save_pretrained(folder, safe_serialization=True)


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
