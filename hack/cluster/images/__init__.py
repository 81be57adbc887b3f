"""Images: built from our Dockerfiles or from one program, named by content, loaded where the pods run."""
