"""LoRA adapters of a replica: checked, kept as copies, loaded into the running engine, each alone in its failure."""
