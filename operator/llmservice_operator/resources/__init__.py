"""One child, one `make_…`: pure functions from what is wanted to the object, with no client within reach."""
