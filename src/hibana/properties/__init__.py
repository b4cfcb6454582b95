"""Pure functions from what the code said to what is claimed of a material."""
