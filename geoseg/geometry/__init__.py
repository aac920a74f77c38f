"""Windows, grids, lattices and tiles: pure, exact, without raster I/O."""
