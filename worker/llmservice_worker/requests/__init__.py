"""What a request may say, route by route: strict schemas, one source for each range."""
