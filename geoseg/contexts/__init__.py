"""Contexts: the sizes of patches as the method sees them: which there are, how they are drawn, scored, chosen."""
