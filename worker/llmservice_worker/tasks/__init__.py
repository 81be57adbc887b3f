"""/v1/tasks/…: what people want of a chat model (a label, a summary, a translation), asked and answered in types."""
