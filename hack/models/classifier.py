"""Puts a classification head on an encoder: random weights of a fixed seed, two labels; for the shape of answers only.

usage: python classifier.py ENCODER DESTINATION
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

LABELS = {0: "negative", 1: "positive"}


def make(encoder: Path, destination: Path) -> None:
    """Write config, tokenizer and safetensors of the model in `encoder` with a head."""
    torch.manual_seed(0)
    names = {name: number for number, name in LABELS.items()}
    model = AutoModelForSequenceClassification.from_pretrained(
        str(encoder), num_labels=len(LABELS), id2label=LABELS, label2id=names, dtype=torch.float32
    )
    model.save_pretrained(destination, safe_serialization=True)
    AutoTokenizer.from_pretrained(str(encoder)).save_pretrained(destination)
    for file in destination.iterdir():
        file.chmod(0o644)  # safetensors makes its files for their owner only


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
