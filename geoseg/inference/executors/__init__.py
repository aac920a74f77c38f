"""Where tiles run: in this process, in processes of this machine, or on a Dask cluster. The only room that knows Dask.

One task per tile, a bounded number in flight, nothing listening outside loopback.
"""

from geoseg.inference.executors.options import RETRIES, ClusterOptions
from geoseg.inference.executors.session import Session, open_session

__all__ = ["RETRIES", "ClusterOptions", "Session", "open_session"]
