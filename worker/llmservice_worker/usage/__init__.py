"""Usage: what each request made the engine work, counted at the engine, kept on disk, and told to the ledger."""
