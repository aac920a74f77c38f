# /// script
# dependencies = ["tiatoolbox==2.1.3"]
# [tool.geoseg]
# name = "tiatoolbox"
# bare = []
# ///
