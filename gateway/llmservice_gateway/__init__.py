"""HAProxy and the agent beside it: keys, routes and errors in front of the models."""
