"""Polygons of class maps: traced tile by tile, joined without seams. Pure: no raster is read or written here."""
