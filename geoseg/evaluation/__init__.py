"""Confusion counts and the metrics that follow from them."""
