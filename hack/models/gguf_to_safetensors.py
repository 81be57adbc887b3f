"""Turns one GGUF file into a Hugging Face model directory; runs where transformers and torch are (the worker image).

usage: python gguf_to_safetensors.py FILE.gguf DESTINATION
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(source: Path, destination: Path) -> None:
    """Write config, tokenizer (with chat template) and bf16 safetensors of the weights in `source`."""
    here = str(source.parent)
    model = AutoModelForCausalLM.from_pretrained(here, gguf_file=source.name, dtype=torch.bfloat16)
    model.save_pretrained(destination, safe_serialization=True)
    AutoTokenizer.from_pretrained(here, gguf_file=source.name).save_pretrained(destination)
    for file in destination.iterdir():
        file.chmod(0o644)  # safetensors makes its files for their owner only


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
