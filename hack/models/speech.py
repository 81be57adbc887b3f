"""Makes a model that hears: Whisper of random weights of a fixed seed, with a tokenizer of bytes and Whisper's special
tokens; for the way that audios take and the shape of answers only.

usage: python speech.py ANYTHING DESTINATION
"""

import sys
from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

END, START, SILENT = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
TASKS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>")
STEPS = 1500
"""Positions of 30 s, each of two frames and with a token of its time."""
LONGEST = 64
"""Tokens of a transcript: weights that learned nothing seldom end one."""


def make(destination: Path) -> None:
    """Write config, processor and safetensors."""
    tokenizer = byte_tokenizer()
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config(tokenizer)).to(torch.float32)
    model.generation_config = GenerationConfig.from_model_config(model.config)
    model.save_pretrained(destination, safe_serialization=True)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(destination)
    for file in destination.iterdir():
        file.chmod(0o644)  # safetensors makes its files for their owner only


def byte_tokenizer() -> WhisperTokenizer:
    """One token for each byte; then Whisper's own, in its order."""
    vocabulary = {character: number for number, character in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = WhisperTokenizer(vocabulary, [])
    special = [END, START, *(f"<|{code}|>" for code in LANGUAGES), *TASKS, SILENT]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens([f"<|{step * 0.02:.2f}|>" for step in range(STEPS + 1)])
    return tokenizer


def config(tokenizer: WhisperTokenizer) -> WhisperConfig:
    """Small, with weights that spread enough for an audio to change what comes after it."""
    end, start = (tokenizer.convert_tokens_to_ids(token) for token in (END, START))
    layers = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    return WhisperConfig(
        **layers,
        vocab_size=len(tokenizer),
        d_model=64,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        init_std=0.3,
        max_source_positions=STEPS,
        max_target_positions=LONGEST,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )


if __name__ == "__main__":
    make(Path(sys.argv[2]))
