"""The operator: LLMService, GPUPool and APIKey in, RayServices and what belongs to them out."""
