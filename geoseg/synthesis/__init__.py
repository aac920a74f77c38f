"""A procedural aerial world with its truth: endless, textured, the same for everybody who asks."""
