"""Makes a model that sees: Qwen2-VL of random weights of a fixed seed, with the tokenizer of another model; for the way
that images take and the shape of answers only.

usage: python vision.py TOKENIZER DESTINATION
"""

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor
from transformers.models.qwen2_vl import Qwen2VLImageProcessor, Qwen2VLVideoProcessor

BEGIN, IMAGE, VIDEO, END = "<|vision_start|>", "<|image_pad|>", "<|video_pad|>", "<|vision_end|>"
PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 224 * 224}
"""Bounds of an image's area; each 28 by 28 pixels are a token."""
CHAT = """{% for message in messages %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}\
{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}\
{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def make(tokenizer_of: Path, destination: Path) -> None:
    """Write config, processor and safetensors; the tokenizer in `tokenizer_of` gets the tokens of images."""
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_of))
    tokenizer.add_special_tokens({"additional_special_tokens": [BEGIN, IMAGE, VIDEO, END]})
    torch.manual_seed(0)
    model = Qwen2VLForConditionalGeneration(config(tokenizer)).to(torch.bfloat16)
    model.save_pretrained(destination, safe_serialization=True)
    images, videos = Qwen2VLImageProcessor(size=PIXELS), Qwen2VLVideoProcessor(size=PIXELS)
    Qwen2VLProcessor(images, tokenizer, videos, chat_template=CHAT).save_pretrained(destination)
    for file in destination.iterdir():
        file.chmod(0o644)  # safetensors makes its files for their owner only


def config(tokenizer: Any) -> Qwen2VLConfig:
    """Small, with weights that spread enough for an image to change what comes after it."""
    begin, image, video, end = tokenizer.convert_tokens_to_ids([BEGIN, IMAGE, VIDEO, END])
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    turns = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]}
    text = {**size, **special, "vocab_size": len(tokenizer), "intermediate_size": 128, "rope_parameters": turns}
    vision = {"depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2, "initializer_range": 0.3}
    return Qwen2VLConfig(
        text_config={**text, "max_position_embeddings": 2048, "initializer_range": 0.3},
        vision_config=vision,
        vision_start_token_id=begin,
        image_token_id=image,
        video_token_id=video,
        vision_end_token_id=end,
        tie_word_embeddings=True,
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
