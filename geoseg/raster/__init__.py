"""All that reads or writes rasters: scenes, labels, stores, GeoTIFFs. The only room that knows rasterio and zarr."""
