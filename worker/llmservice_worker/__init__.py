"""The worker: one Ray Serve application that serves one model with vLLM, in OpenAI's form."""
