"""Options that are one word out of a few. Signatures, the command line and checks all take them from here."""

from typing import Literal, get_args

Stitch = Literal["crop", "hann", "gaussian", "average"]
"""How overlapping patches become one answer; see ``geoseg.geometry.lattice``."""
STITCHES: tuple[Stitch, ...] = get_args(Stitch)

Contexts = int | Literal["adaptive"]
"""How many contexts are fused, or ``adaptive``: doubtful patches are run again at another."""

Fuse = Literal["score", "equal"]
"""Weights of fused contexts: in proportion to their scores, or all alike."""
FUSES: tuple[Fuse, ...] = get_args(Fuse)

Runtime = Literal["auto", "eager", "compile", "openvino"]
"""What runs the network: PyTorch as it is, compiled by it, or OpenVINO; ``auto`` by the size of the job."""
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)

PlannedRuntime = Literal["eager", "compile", "openvino"]
"""What ``auto`` becomes."""
PLANNED_RUNTIMES: tuple[PlannedRuntime, ...] = get_args(PlannedRuntime)

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""Of the network's products; ``auto`` is fp32 on a CPU, and half on CUDA."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

PlannedPrecision = Literal["fp32", "bf16", "fp16"]
"""What ``auto`` becomes."""

Scheduler = Literal["threads", "sync"]
"""In this process. ``threads``: Dask. ``sync``: one tile after the other, for debugging."""
SCHEDULERS: tuple[Scheduler, ...] = get_args(Scheduler)

Resolution = Literal["auto", "native"]
"""``auto``: read at the model's GSD where the scene's differs by more than a quarter. ``native``: never resample."""
RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)

Compression = Literal["deflate", "zstd"]
"""Compression of the Cloud Optimized GeoTIFF."""
COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)

LazyLayer = Literal["classes", "confidence"]
"""What a lazy array holds."""
LAZY_LAYERS: tuple[LazyLayer, ...] = get_args(LazyLayer)

Allocation = Literal["proportional", "equal", "neyman"]
"""How the units of a stratified sample are shared among the classes; see ``geoseg.evaluation.sample_size``."""
ALLOCATIONS: tuple[Allocation, ...] = get_args(Allocation)

UnitShape = Literal["points", "polygons"]
"""What a unit of a sample is drawn as: the pixel's centre, or its square."""
UNIT_SHAPES: tuple[UnitShape, ...] = get_args(UnitShape)

AreaUnit = Literal["ha", "km2", "m2"]
"""Of areas in tables."""
AREA_UNITS: tuple[AreaUnit, ...] = get_args(AreaUnit)

CalibrationPart = Literal["both", "contexts", "temperature"]
"""What ``geoseg calibrate`` finds out on held-out scenes."""
CALIBRATION_PARTS: tuple[CalibrationPart, ...] = get_args(CalibrationPart)
