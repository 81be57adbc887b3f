"""The ledger: each usage event once, what keys and budgets have spent, and reports of it on OpenAI's own paths."""
