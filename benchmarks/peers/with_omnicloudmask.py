# /// script
# dependencies = ["omnicloudmask==1.8.1"]
# [tool.geoseg]
# name = "OmniCloudMask"
# bare = []
# ///
