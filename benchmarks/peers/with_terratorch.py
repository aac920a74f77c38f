# /// script
# dependencies = ["terratorch==1.2.11"]
# [tool.geoseg]
# name = "terratorch"
# bare = []
# ///
