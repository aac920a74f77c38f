# /// script
# dependencies = ["rastervision-core==0.31.1", "rastervision-pytorch-learner==0.31.1"]
# [tool.geoseg]
# name = "Raster Vision"
# bare = []
# ///
