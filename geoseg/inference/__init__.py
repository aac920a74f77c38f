"""From a plan to stitched classes."""
